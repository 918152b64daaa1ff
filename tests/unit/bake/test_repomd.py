from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from annexkit.bake import repomd
from annexkit.bake.fetch import Cache, FetchError
from annexkit.bake.repomd import ask
from tests.unit.bake.repo import serve
from tests.unit.bake.rpm_repo import PACKERS, RpmRepo

VERSION = ("0", "24.0.20", "1.el9")


@pytest.fixture
def repo(tmp_path: Path) -> RpmRepo:
    return RpmRepo(tmp_path / "repo")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.mark.parametrize("extension", sorted(set(PACKERS) - {".zst"}))
def test_the_version_is_found_in_every_packing(
    repo: RpmRepo, cache: Cache, extension: str
) -> None:
    repo.publish(VERSION, extension=extension)
    assert ask(repo.uri, "condor", "x86_64", cache).version == "24.0.20-1.el9"
    assert ask(f"{repo.uri}/", "zzz", "x86_64", cache).version == "2-1"


@pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")
@pytest.mark.usefixtures("real_processes")
def test_zstandard_is_read_by_its_program(repo: RpmRepo, cache: Cache) -> None:
    packed = repo.publish(VERSION, extension=".zst")
    assert ask(repo.uri, "condor", "x86_64", cache).version == "24.0.20-1.el9"
    # Named by its own hash, and yet no zstandard.
    cut = packed.read_bytes()[:-5]
    index = repo.root / "repodata" / "repomd.xml"
    before, after = (hashlib.sha256(d).hexdigest() for d in (packed.read_bytes(), cut))
    packed.write_bytes(cut)
    text = index.read_text().replace(f">{before}<", f">{after}<")
    index.write_text(text)
    with pytest.raises(FetchError, match="not a list of packages"):
        ask(repo.uri, "condor", "x86_64", cache)


def test_zstandard_without_its_program_says_what_it_takes(
    repo: RpmRepo, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = repo.publish(VERSION)
    packed.rename(packed.with_suffix(".zst"))
    index = repo.root / "repodata" / "repomd.xml"
    text = index.read_text().replace(packed.name, packed.with_suffix(".zst").name)
    index.write_text(text)
    monkeypatch.setattr("annexkit.bake.repomd.shutil.which", lambda _: None)
    with pytest.raises(FetchError, match="takes the program zstd"):
        ask(repo.uri, "condor", "x86_64", cache)


def test_the_newest_is_found_as_rpm_sorts_and_no_source_package(
    repo: RpmRepo, cache: Cache
) -> None:
    repo.publish(VERSION, ("0", "24.0.9", "9"), ("0", "24.0.20~rc1", "1"))
    assert ask(repo.uri, "condor", "x86_64", cache).version == "24.0.20-1.el9"
    repo.publish(VERSION, ("1", "9.0", "1.el9"))
    assert ask(repo.uri, "condor", "x86_64", cache).version == "1:9.0-1.el9"


def test_packages_of_another_architecture_do_not_count(
    repo: RpmRepo, cache: Cache
) -> None:
    repo.publish(VERSION)
    assert ask(repo.uri, "condor", "aarch64", cache).version == ""
    repo.publish(VERSION, arch="noarch")
    assert ask(repo.uri, "condor", "aarch64", cache).version == "24.0.20-1.el9"


def test_a_list_is_downloaded_once_and_then_one_request_is_enough(
    repo: RpmRepo, cache: Cache
) -> None:
    repo.publish(VERSION)
    with serve(repo.root) as server:
        for _ in range(3):
            ask(server.uri, "condor", "x86_64", cache)
        repo.publish(("0", "24.0.21", "1"))
        assert ask(server.uri, "condor", "x86_64", cache).version == "24.0.21-1"
    index = "/repodata/repomd.xml"
    assert [code for path, code in server.asked if path == index] == [
        200,
        304,
        304,
        200,
    ]
    assert len([path for path, _ in server.asked if path != index]) == 2


def test_a_changed_shortened_or_lengthened_list_is_refused_and_not_kept(
    repo: RpmRepo, cache: Cache
) -> None:
    packed = repo.publish(VERSION)
    good = packed.read_bytes()
    for bad in (good[:-1] + b"?", good[:-1], good + b"more", b""):
        packed.write_bytes(bad)
        with pytest.raises(FetchError, match=r"not what repomd\.xml names"):
            ask(repo.uri, "condor", "x86_64", cache)
    packed.write_bytes(good)
    assert ask(repo.uri, "condor", "x86_64", cache).version == "24.0.20-1.el9"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type="primary"', 'type="other"', "names no list of packages"),
        ("<repomd", "<!DOCTYPE x><repomd", "it defines entities"),
        ("</repomd>", "", "not a repository's index"),
        ('type="sha256"', 'type="md5"', "has no SHA-256"),
        ('href="repodata/f', 'href="repodata/f', ""),
        ('<location href="repodata/{hash}', '<location href="../{hash}', "elsewhere"),
        (
            '<location href="repodata/{hash}',
            '<location href="http://x/{hash}',
            "elsewh",
        ),
        ("<size>", "<size>9999999999", "larger than"),
        ("<size>", "<size>x", "not a repository's index"),
    ],
)
def test_an_index_that_is_none_or_could_harm_is_refused(
    repo: RpmRepo, cache: Cache, old: str, new: str, said: str
) -> None:
    digest = repo.publish(VERSION).name.partition("-")[0]
    index = repo.root / "repodata" / "repomd.xml"
    text = index.read_text()
    old, new = old.format(hash=digest), new.format(hash=digest)
    assert old in text
    index.write_text(text.replace(old, new))
    if not said:  # the untouched index, by the same road
        assert ask(repo.uri, "condor", "x86_64", cache).version
        return
    with pytest.raises(FetchError, match=said):
        ask(repo.uri, "condor", "x86_64", cache)


def test_what_is_packed_too_small_to_hold_is_bounded(
    repo: RpmRepo, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repomd, "PLAIN_LIMIT", 10)
    repo.publish(VERSION)
    with pytest.raises(FetchError, match="larger than 10 bytes unpacked"):
        ask(repo.uri, "condor", "x86_64", cache)


def test_a_missing_repository_is_told_from_a_failing_server(
    repo: RpmRepo, cache: Cache
) -> None:
    repo.root.mkdir()
    with serve(repo.root) as server:
        with pytest.raises(FetchError) as caught:
            ask(server.uri, "condor", "x86_64", cache)
        assert caught.value.missing
        server.answer = 503
        with pytest.raises(FetchError, match="HTTP 503") as caught:
            ask(server.uri, "condor", "x86_64", cache)
        assert not caught.value.missing
