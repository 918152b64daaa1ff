from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake import repository
from annexkit.bake.fetch import Cache, FetchError
from annexkit.bake.repository import Answer, Repository, ask
from tests.unit.bake.repo import PACKERS, Repo, serve


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def at(uri: str, origin: str = "Debian", arch: str = "amd64") -> Repository:
    return Repository(uri, "trixie", "main", arch, origin)


@pytest.mark.parametrize("extension", [".xz", ".gz", ""])
@pytest.mark.parametrize("by_hash", [True, False])
@pytest.mark.parametrize("release", ["InRelease", "Release"])
def test_the_version_is_found_in_every_form_of_a_repository(
    repo: Repo, cache: Cache, extension: str, by_hash: bool, release: str
) -> None:
    repo.publish(
        "trixie", "23.9.6", extension=extension, by_hash=by_hash, release=release
    )
    assert ask(at(repo.uri), "condor", cache).version == "23.9.6"


def test_the_newest_of_several_is_found_as_dpkg_sorts(repo: Repo, cache: Cache) -> None:
    repo.publish("trixie", "23.9.6-1", "23.10.1-1", "23.10.1~rc1-1", "9.0")
    assert ask(at(repo.uri), "condor", cache).version == "23.10.1-1"


def test_a_package_at_the_end_or_named_elsewhere_only(repo: Repo, cache: Cache) -> None:
    repo.publish("trixie", "1.0")
    assert ask(at(repo.uri), "zzz", cache).version == "2"
    assert ask(at(repo.uri), "cond", cache) == Answer(
        True, "", ask(at(repo.uri), "condor", cache).index_sha256
    )


def test_an_unlisted_architecture_is_a_suite_without_the_package(
    repo: Repo, cache: Cache
) -> None:
    repo.publish("trixie", "1.0", arch="amd64")
    assert ask(at(repo.uri, arch="riscv64"), "condor", cache) == Answer(True)


def test_another_origin_is_not_there(repo: Repo, cache: Cache) -> None:
    repo.publish("trixie", "1.0", origin="Vendor")
    assert not ask(at(repo.uri), "condor", cache).there
    assert ask(at(repo.uri, origin=""), "condor", cache).version == "1.0"


def test_an_index_is_downloaded_once_and_then_one_request_is_enough(
    repo: Repo, cache: Cache
) -> None:
    repo.publish("trixie", "1.0")
    with serve(repo.root) as server:
        for _ in range(3):
            assert ask(at(server.uri), "condor", cache).version == "1.0"
        repo.publish("trixie", "1.1")
        assert ask(at(server.uri), "condor", cache).version == "1.1"
    release, codes = "/dists/trixie/InRelease", [200, 304, 304, 200]
    assert [c for path, c in server.asked if path == release] == codes
    indexes = [path for path, _ in server.asked if path != release]
    assert len(indexes) == 2
    assert all("/by-hash/SHA256/" in path for path in indexes)


def test_a_mirror_without_the_announced_hash_folder_still_answers(
    repo: Repo, cache: Cache
) -> None:
    index = repo.publish("trixie", "1.0")
    for path in (index.parent / "by-hash" / "SHA256").iterdir():
        path.unlink()
    assert ask(at(repo.uri), "condor", cache).version == "1.0"


def test_a_changed_shortened_or_lengthened_index_is_refused_and_not_kept(
    repo: Repo, cache: Cache
) -> None:
    index = repo.publish("trixie", "1.0", by_hash=False)
    good = index.read_bytes()
    for bad in (good[:-1] + b"?", good[:-1], good + b"more", b""):
        index.write_bytes(bad)
        with pytest.raises(FetchError, match="not what the release file lists"):
            ask(at(repo.uri), "condor", cache)
    index.write_bytes(good)
    assert ask(at(repo.uri), "condor", cache).version == "1.0"


def test_an_index_that_is_listed_but_no_archive_is_refused(
    repo: Repo, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKERS, ".xz", bytes)
    repo.publish("trixie", "1.0")
    with pytest.raises(FetchError, match="not a package index"):
        ask(at(repo.uri), "condor", cache)


def test_sizes_are_bounded(
    repo: Repo, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.publish("trixie", "1.0")
    monkeypatch.setattr(repository, "PLAIN_LIMIT", 10)
    with pytest.raises(FetchError, match="larger than 10 bytes unpacked"):
        ask(at(repo.uri), "condor", cache)
    monkeypatch.setattr(repository, "INDEX_LIMIT", 10)
    with pytest.raises(FetchError, match="larger than 10 bytes"):
        ask(at(repo.uri), "condor", cache)


def test_a_missing_suite_is_told_from_a_failing_mirror(
    repo: Repo, cache: Cache
) -> None:
    repo.root.mkdir()
    with serve(repo.root) as server:
        with pytest.raises(FetchError) as caught:
            ask(at(server.uri), "condor", cache)
        assert caught.value.missing
        server.answer = 503
        with pytest.raises(FetchError, match="HTTP 503") as caught:
            ask(at(server.uri), "condor", cache)
        assert not caught.value.missing
