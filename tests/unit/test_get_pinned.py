"""``scripts/get-pinned`` takes what has the digest of its table, and nothing else.

The real script, curl and archives; the addresses of these tables are files here.
"""

from __future__ import annotations

import hashlib
import io
import platform
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from annexkit.process import Completed, run

pytestmark = pytest.mark.usefixtures("real_processes")
SCRIPTS = Path(__file__).parents[2] / "scripts"
TABLE = SCRIPTS / "pinned-programs.tsv"
PROGRAM = b"#!/bin/sh\necho one 1.0\n"


def zipped(folder: Path, name: str = "one") -> Path:
    path = folder / "one_1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("LICENSE", "text")
        archive.writestr(name, PROGRAM)
    return path


def tarred(folder: Path) -> Path:
    path = folder / "one_1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("one")
        member.size = len(PROGRAM)
        archive.addfile(member, io.BytesIO(PROGRAM))
    return path


def table(folder: Path, archive: Path, digest: str = "") -> Path:
    digest = digest or hashlib.sha256(archive.read_bytes()).hexdigest()
    row = ("one", "1.0", platform.machine(), digest, f"file://{archive}")
    path = folder / "table.tsv"
    path.write_text("# name\n" + "\t".join(row) + "\n")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def get(*arguments: str | Path) -> Completed:
    return run("/bin/bash", SCRIPTS / "get-pinned", *arguments, check=False)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_has_the_digest_is_installed_once(
    tmp_path: Path, pack: Callable[[Path], Path]
) -> None:
    archive = pack(tmp_path)
    listed = table(tmp_path, archive)
    done = get("one", tmp_path / "bin", listed)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'bin'}\n"
    assert run(tmp_path / "bin" / "one").stdout == "one 1.0\n"
    assert names(tmp_path / "bin") == [".one.sha256", "one"]
    archive.unlink()  # a second time nothing is fetched
    assert get("one", tmp_path / "bin", listed).stdout == done.stdout


def test_another_version_in_the_table_is_fetched_anew(tmp_path: Path) -> None:
    get("one", tmp_path / "bin", table(tmp_path, zipped(tmp_path)))
    (tmp_path / "bin" / "one").write_bytes(b"old")
    assert (
        get("one", tmp_path / "bin", table(tmp_path, tarred(tmp_path))).exit_code == 0
    )
    assert (tmp_path / "bin" / "one").read_bytes() == PROGRAM


def test_what_has_another_digest_is_neither_installed_nor_run(tmp_path: Path) -> None:
    done = get("one", tmp_path / "bin", table(tmp_path, zipped(tmp_path), "0" * 64))
    assert done.exit_code == 1
    assert done.stdout == "", "nothing that could be put on PATH"
    assert "error: the file has the SHA-256" in done.stderr
    assert "  mend: nothing was installed" in done.stderr
    assert names(tmp_path / "bin") == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("gone", "cannot be fetched from file://"),
        ("empty", "there is no one in one_1.0.zip"),
        ("unlisted", "no two for"),
    ],
)
def test_what_cannot_be_had_is_said(tmp_path: Path, spoil: str, says: str) -> None:
    archive = zipped(tmp_path, "other" if spoil == "empty" else "one")
    listed = table(tmp_path, archive)
    if spoil == "gone":
        archive.unlink()
    name = "two" if spoil == "unlisted" else "one"
    done = get(name, tmp_path / "bin", listed)
    assert done.exit_code != 0
    assert says in done.stderr
    assert "\n  mend: " in done.stderr
    assert done.stdout == ""


def test_every_row_of_the_table_is_whole() -> None:
    rows = [
        line.split("\t")
        for line in TABLE.read_text().splitlines()
        if not line.startswith("#")
    ]
    assert {(row[0], row[2]) for row in rows} == {
        (name, machine)
        for name in ("packer", "actionlint")
        for machine in ("x86_64", "aarch64")
    }
    for _, version, _, digest, address in rows:
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
        assert address.startswith("https://") and version in address
        assert address.endswith((".zip", ".tar.gz"))
