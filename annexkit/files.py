"""Writing files so that nothing is lost: beside, flushed, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annexkit.errors import AnnexkitError


class FileError(AnnexkitError):
    """A file could not be written; what was there before is as it was."""


def make_folder(path: Path) -> Path:
    """Make a folder and those above it; return it.

    :raises FileError: the disk refused, or a file stands in the way.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"the folder could not be made: {error.strerror or error}",
            where=str(path),
            mend="move what stands in the way, make room (df -h) or correct the "
            "permissions (ls -ld)",
        ) from error
    return path


def require_room(folder: Path, needed: int) -> None:
    """Refuse a file system that has less than *needed* bytes free.

    :raises FileError: naming both.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FileError(
            f"{free >> 10} KiB are free here, {needed >> 10} KiB are needed",
            where=str(folder),
            mend="make room on the disk (df -h), or set state_dir to another one",
        )


def write_beside(path: Path, content: str | bytes, *, mode: int | None = None) -> None:
    """Write a file beside *path*, flush it to disk and rename it over *path*.

    :param content: text is written as UTF-8.
    :param mode: permission bits; those of the old file, or 0644, when None.
    :raises FileError: the disk refused; *path* is as it was.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is None:
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        with _beside(path, content, mode) as written:
            written.replace(path)


def write_new(path: Path, content: str | bytes, *, mode: int) -> None:
    """Write a file beside *path*, flush it to disk and give it that name, if free.

    The name is given by a hard link, which takes the place of nothing, not even of what
    appeared a moment ago; a rename would (link(2), rename(2)). Then the folder is
    flushed, too, so that the file is there even if the power fails now.

    :param content: text is written as UTF-8.
    :raises FileError: the name is taken, or the disk refused; *path* is as it was.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path, content, mode) as written:
            try:
                path.hardlink_to(written)
            except FileExistsError:
                raise FileError(
                    "something of this name is there by now; it is as it was",
                    where=str(path),
                    mend="run the same command again",
                ) from None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _beside(path: Path, content: str | bytes, mode: int) -> Iterator[Path]:
    """Write a file beside *path* and flush it; what is left of it at the end goes."""
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        yield Path(name)
    finally:  # not for OSError alone: a signal may end the writing, too
        if name:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say for people what the disk refused."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"the file could not be written ({error.strerror or error}); "
            "what was there before is as it was",
            where=str(path),
            mend="make room on the disk (df -h) or correct its permissions (ls -l)",
        ) from error
