"""A file is written whole or not at all, and nothing lies beside it afterwards."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit.files import (
    FileError,
    make_folder,
    require_room,
    write_beside,
    write_new,
)


def failing(number: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


def test_the_text_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_beside(tmp_path / "a" / "b.json", "grüße\n")
    assert (tmp_path / "a" / "b.json").read_bytes() == "grüße\n".encode()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_beside(tmp_path / "x", b"\xff\x00\r\n")
    assert (tmp_path / "x").read_bytes() == b"\xff\x00\r\n"


@pytest.mark.parametrize(("asked", "found"), [(None, 0o644), (0o600, 0o600)])
def test_a_new_file_has_the_mode_asked_for(
    tmp_path: Path, asked: int | None, found: int
) -> None:
    write_beside(tmp_path / "x", "", mode=asked)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == found


def test_an_old_file_keeps_its_mode_and_loses_its_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("long old content")
    path.chmod(0o640)
    write_beside(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_beside(path, "old")
    with path.open() as reader:
        write_beside(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("os.fsync", errno.ENOSPC),
        ("os.fsync", errno.EIO),
        ("pathlib.Path.replace", errno.ENOSPC),
        ("pathlib.Path.chmod", errno.EPERM),
        ("tempfile.mkstemp", errno.EROFS),
    ],
)
def test_when_the_disk_refuses_the_old_file_stands_and_no_stray_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    monkeypatch.setattr(where, failing(number))
    with pytest.raises(FileError) as caught:
        write_beside(path, "new")
    assert os.strerror(number) in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.mend
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="could not be written"):
        write_beside(tmp_path / "file" / "x", "new")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_no_stray_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupt(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(error):
        write_beside(tmp_path / "x", "new")
    assert list(tmp_path.iterdir()) == []


def test_text_that_has_no_bytes_leaves_no_stray_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        write_beside(tmp_path / "x", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_with_those_above_it_and_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert make_folder(folder) == make_folder(folder) == folder
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="could not be made") as caught:
        make_folder(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.mend
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_with_too_little_room_is_told_with_both_sizes(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(FileError, match=f"{2**50} KiB are needed") as caught:
        require_room(tmp_path, 2**60)
    assert caught.value.mend


def test_a_new_file_is_there_whole_with_its_mode_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a" / "key"
    write_new(path, "secret\n", mode=0o400)
    assert path.read_text() == "secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert path.stat().st_nlink == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_a_new_file_takes_the_place_of_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match="something of this name") as caught:
        write_new(path, "new", mode=0o400)
    assert (caught.value.where, bool(caught.value.mend)) == (str(path), True)
    assert list(tmp_path.iterdir()) == [path]
    assert not path.is_file() or path.read_text() == "mine"


def test_what_appears_while_a_new_file_is_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    real = os.fsync

    def meanwhile(handle: int) -> None:
        path.write_text("somebody else's")
        real(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(FileError, match="something of this name"):
        write_new(path, "mine", mode=0o400)
    assert path.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("os.fsync", errno.ENOSPC),
        ("pathlib.Path.hardlink_to", errno.EPERM),
        ("tempfile.mkstemp", errno.EROFS),
    ],
)
def test_when_the_disk_refuses_there_is_no_new_file_and_no_stray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    monkeypatch.setattr(where, failing(number))
    with pytest.raises(FileError) as caught:
        write_new(tmp_path / "key", "new", mode=0o400)
    assert os.strerror(number) in caught.value.what
    assert list(tmp_path.iterdir()) == []
