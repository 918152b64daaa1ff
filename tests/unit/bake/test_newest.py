"""Every package of an index: read once, kept by its hash."""

from __future__ import annotations

from pathlib import Path

import pytest
from debian_inspector.version import Version
from hypothesis import given
from hypothesis import strategies as st

from annexkit.bake import repository
from annexkit.bake.fetch import FetchError
from annexkit.bake.newest import (
    Caches,
    Shelf,
    add_newest,
    in_rpm_repository,
    in_suite,
    newer,
)
from annexkit.bake.repository import Repository
from tests.unit.bake.repo import Repo, serve
from tests.unit.bake.rpm_repo import RpmRepo

RELEASE = "/dists/trixie/InRelease"
VERSIONS = st.from_regex(
    r"([1-3]:)?[0-9]{1,2}(\.[0-9])?(~rc[12]|\+b1)?-[1-3]", fullmatch=True
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


@pytest.fixture
def caches(tmp_path: Path) -> Caches:
    return Caches.below(tmp_path / "cache")


def shelf(
    uri: str, caches: Caches, components: tuple[str, ...] = ("main",)
) -> Shelf | None:
    there = Repository(uri, "trixie", "main", "amd64", "Debian")
    return in_suite(there, components, caches)


def versions(uri: str, caches: Caches, *components: str) -> dict[str, str]:
    found = shelf(uri, caches, components or ("main",))
    assert found is not None
    return dict(found.versions)


def test_the_newest_of_each_package_is_found(repo: Repo, caches: Caches) -> None:
    offered = [("b", "1.9-1"), ("a", "1:0"), ("b", "1.10-1"), ("b", "1.10~rc1-1")]
    repo.offer("trixie", offered)
    assert versions(repo.uri, caches) == {"a": "1:0", "b": "1.10-1"}


def test_an_index_is_read_once_and_then_one_request_is_enough(
    repo: Repo, caches: Caches
) -> None:
    repo.offer("trixie", [("a", "1"), ("b", "1")])
    with serve(repo.root) as server:
        for _ in range(3):
            assert versions(server.uri, caches) == {"a": "1", "b": "1"}
        repo.offer("trixie", [("a", "2")])  # and b was removed
        assert versions(server.uri, caches) == {"a": "2"}
        assert versions(server.uri, caches) == {"a": "2"}
    codes = [code for path, code in server.asked if path == RELEASE]
    assert codes == [200, 304, 304, 200, 304]
    assert len([path for path, _ in server.asked if path != RELEASE]) == 2


def test_the_cache_does_not_grow_with_every_new_index(
    repo: Repo, caches: Caches
) -> None:
    repo.offer("trixie", [("a", "1")])
    assert versions(repo.uri, caches) == {"a": "1"}
    before = sorted(caches.small.folder.iterdir())
    repo.offer("trixie", [("a", "2")])
    assert versions(repo.uri, caches) == {"a": "2"}
    assert sorted(caches.small.folder.iterdir()) == before


def test_what_is_kept_of_another_index_or_broken_is_read_again(
    repo: Repo, caches: Caches
) -> None:
    repo.offer("trixie", [("a", "1")])
    assert versions(repo.uri, caches) == {"a": "1"}
    [kept] = caches.packed.folder.glob("*.gz")
    kept.write_bytes(b"?")
    assert versions(repo.uri, caches) == {"a": "1"}


def test_components_are_put_together_and_have_to_be_there(
    repo: Repo, caches: Caches
) -> None:
    repo.offer("trixie", [("a", "1"), ("b", "1")])
    release = repo.root / "dists" / "trixie" / "InRelease"
    main = release.read_text()
    repo.offer("trixie", [("b", "2")], component="universe")
    release.write_text(main + release.read_text())
    assert versions(repo.uri, caches, "main", "universe") == {"a": "1", "b": "2"}
    with pytest.raises(FetchError, match="has no 'restricted' for amd64"):
        versions(repo.uri, caches, "main", "restricted")


def test_another_origin_is_not_there(repo: Repo, caches: Caches) -> None:
    repo.offer("trixie", [("a", "1")], origin="Vendor")
    assert shelf(repo.uri, caches) is None


@pytest.mark.parametrize(
    ("until", "stale"),
    [
        ("Fri, 06 Nov 2020 08:08:01 UTC", True),
        ("Fri, 06 Nov 2020 08:08:01 -0000", True),
        ("Thu, 06 Nov 2999 08:08:01 UTC", False),
        ("soon", False),
        ("", False),
    ],
)
def test_a_release_that_ran_out_says_so(
    repo: Repo, caches: Caches, until: str, stale: bool
) -> None:
    repo.offer("trixie", [("a", "1")], valid_until=until)
    found = shelf(repo.uri, caches)
    assert found is not None
    assert found.versions == {"a": "1"}
    assert bool(found.stale) is stale
    if stale:
        assert "/dists/trixie/ was good until 2020-11-06" in found.stale


@pytest.mark.parametrize(("part", "expected"), [(50, {}), (100, {"a": "1"})])
def test_what_only_some_machines_get_does_not_count(
    repo: Repo, caches: Caches, part: int, expected: dict[str, str]
) -> None:
    more = f"Phased-Update-Percentage: {part}\n"
    repo.offer("trixie", [("a", "1")], more=more)
    assert versions(repo.uri, caches) == expected


def test_an_index_that_was_changed_is_refused_and_not_kept(
    repo: Repo, caches: Caches
) -> None:
    index = repo.offer("trixie", [("a", "1")])
    for path in (index, *(index.parent / "by-hash" / "SHA256").iterdir()):
        path.write_bytes(b"?")
    for _ in range(2):
        with pytest.raises(FetchError, match="not what the release file lists"):
            shelf(repo.uri, caches)


def test_what_is_packed_too_small_to_hold_is_bounded(
    repo: Repo, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.offer("trixie", [("a", "1")])
    monkeypatch.setattr(repository, "PLAIN_LIMIT", 10)
    with pytest.raises(FetchError, match="larger than 10 bytes unpacked"):
        shelf(repo.uri, caches)


def test_one_odd_version_makes_no_index_unreadable(repo: Repo, caches: Caches) -> None:
    repo.offer("trixie", [("a", "none"), ("a", "1"), ("b", "1"), ("c", "none")])
    assert versions(repo.uri, caches) == {"a": "none", "b": "1", "c": "none"}


@given(st.lists(st.tuples(st.sampled_from("ab"), VERSIONS)))
def test_nothing_offered_is_newer_than_what_is_found(
    offered: list[tuple[str, str]],
) -> None:
    found: dict[str, str] = {}
    add_newest(found, offered)
    assert set(found) == {name for name, _ in offered}
    for name, version in offered:
        assert not Version.from_string(found[name]) < Version.from_string(version)
        assert (name, found[name]) in offered


@given(VERSIONS, VERSIONS)
def test_the_newer_of_two_does_not_depend_on_their_order(one: str, other: str) -> None:
    there, back = (Version.from_string(newer(*p)) for p in ((one, other), (other, one)))
    assert not there < back
    assert not back < there


class TestRpm:
    def test_the_newest_of_each_package_for_the_architecture(
        self, tmp_path: Path, caches: Caches
    ) -> None:
        repo = RpmRepo(tmp_path / "rpm")
        repo.publish(("0", "24.0.9", "1"), ("0", "24.0.20", "1"))
        with serve(repo.root) as server:
            for _ in range(2):
                found = in_rpm_repository(server.uri, "x86_64", caches).versions
                assert found["condor"] == "24.0.20-1"
                assert set(found) == {"condor", "condor-doc", "aaa", "zzz"}
            repo.offer({"condor": ("1", "24.0.21", "1")})
            found = in_rpm_repository(server.uri, "x86_64", caches).versions
            assert found == {"condor": "1:24.0.21-1"}
        index = "/repodata/repomd.xml"
        codes = [code for path, code in server.asked if path == index]
        assert codes == [200, 304, 200]
        assert len([path for path, _ in server.asked if path != index]) == 2

    def test_other_architectures_do_not_count_and_are_kept_apart(
        self, tmp_path: Path, caches: Caches
    ) -> None:
        repo = RpmRepo(tmp_path / "rpm")
        repo.offer({"a": ("0", "1", "1")}, arch="x86_64")
        assert in_rpm_repository(repo.uri, "aarch64", caches).versions == {}
        assert in_rpm_repository(repo.uri, "x86_64", caches).versions == {"a": "1-1"}
        repo.offer({"a": ("0", "2", "1")}, arch="noarch")
        assert in_rpm_repository(repo.uri, "aarch64", caches).versions == {"a": "2-1"}
