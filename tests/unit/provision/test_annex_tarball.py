"""Upstream's tarball taken apart: both layouts, and nothing that has no place in it."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.provision.node import load

tarball = load("annex_tarball")

FLAT = {"00ec2-dynamic.config": "AnnexName", "password_file.pl": "secret"}
TREE = {
    "config.d/00ec2-dynamic.config": "AnnexName",
    "tokens.d/grid.alice@pool.test": "token",
    "passwords.d/POOL": "secret",
}


def packed(files: dict[str, str], *more: tarfile.TarInfo) -> bytes:
    """Pack files, and members that are none, as condor_annex calls tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            member.mode = 0o666
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in more:
            tar.addfile(member)
    return data.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_the_flat_layout_is_for_config_d() -> None:
    found = tarball.read(packed(FLAT))
    assert found.layout == "flat"
    assert [(file.path, file.mode, file.data) for file in found.files] == [
        ("/etc/condor/config.d/00ec2-dynamic.config", 0o644, b"AnnexName"),
        ("/etc/condor/config.d/password_file.pl", 0o600, b"secret"),
    ]


def test_the_tree_layout_has_its_own_folders() -> None:
    folders = [special(name, tarfile.DIRTYPE) for name in tarball.FOLDERS]
    found = tarball.read(packed(TREE, *folders))
    assert found.layout == "tree"
    assert [(file.path, file.mode) for file in found.files] == [
        ("/etc/condor/config.d/00ec2-dynamic.config", 0o644),
        ("/etc/condor/tokens.d/grid.alice@pool.test", 0o600),
        ("/etc/condor/passwords.d/POOL", 0o600),
    ]


def test_a_tree_with_files_at_its_top_gives_them_to_config_d() -> None:
    # what upstream's newer client packs by -config-dir, and its script leaves unread
    found = tarball.read(packed({**TREE, "./50-mine.config": "X = 1"}))
    assert found.layout == "tree"
    assert found.files[-1].path == "/etc/condor/config.d/50-mine.config"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("10-mine", 0o644),
        ("mine.config", 0o644),
        ("mine.conf", 0o644),
        ("password_file.pl", 0o600),
        ("key.pem", 0o600),
        ("mine", 0o600),
    ],
)
def test_what_is_not_named_as_configuration_is_roots_alone(
    name: str, mode: int
) -> None:
    assert tarball.read(packed({name: "x"})).files[0].mode == mode


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/passwd", "leads out of"),
        ("../../etc/passwd", "leads out of"),
        ("config.d/../../x", "leads out of"),
        ("cron.d/job", "lies in none of"),
        ("config.d/config.d/00ec2-dynamic.config", "lies in none of"),
        ("config.d/.hidden", "no name that is expected"),
        ("config.d/a b", "no name that is expected"),
        ("config.d/a\nb", "no name that is expected"),
        ("x" * 300, "no name that is expected"),
        ("60-annexkit-execute.config", "the image's own file"),
        ("config.d/50-annex.config", "the image's own file"),
    ],
)
def test_a_file_that_has_no_place_there_refuses_the_whole(name: str, said: str) -> None:
    with pytest.raises(tarball.TarballError, match=said):
        tarball.read(packed({**FLAT, name: "x"}))


@pytest.mark.parametrize(
    "member",
    [
        special("config.d/x", tarfile.SYMTYPE, "/etc/shadow"),
        special("config.d", tarfile.SYMTYPE, "/etc"),
        special("config.d/x", tarfile.LNKTYPE, "00ec2-dynamic.config"),
        special("config.d/x", tarfile.CHRTYPE),
        special("config.d/x", tarfile.FIFOTYPE),
    ],
    ids=["symlink", "symlinked folder", "hard link", "device", "fifo"],
)
def test_only_files_and_folders_are_taken(member: tarfile.TarInfo) -> None:
    with pytest.raises(tarball.TarballError, match="neither a file nor a folder"):
        tarball.read(packed(FLAT, member))


def test_the_same_file_twice_is_refused() -> None:
    data = packed({"00ec2-dynamic.config": "a", "config.d/00ec2-dynamic.config": "b"})
    with pytest.raises(tarball.TarballError, match=r"00ec2-dynamic.config twice"):
        tarball.read(data)


def test_a_folder_that_is_not_expected_is_refused_even_empty() -> None:
    with pytest.raises(tarball.TarballError, match="lies in none of"):
        tarball.read(packed(FLAT, special("cron.d", tarfile.DIRTYPE)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is cut off"),
        (b"<Error>", "no gzip file"),
        (gzip.compress(b"no tar at all"), "broken"),
        (packed(FLAT)[:-20], "is cut off"),
        (packed({}), "holds no file"),
        (packed({f"{n:03}": "x" for n in range(101)}), "more than 100 files"),
        (gzip.compress(b"\0" * (2 << 20)), "unpacks to more than"),
        (packed({"00big.config": "x" * (2 << 20)}), "unpacks to more than"),
    ],
    ids=["empty", "error page", "no tar", "cut", "nothing", "many", "bomb", "large"],
)
def test_what_is_no_tarball_of_upstreams_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(tarball.TarballError, match=said):
        tarball.read(data)


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    assert "secret" not in repr(tarball.read(packed(FLAT)))
