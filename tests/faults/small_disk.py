"""A folder on a small file system of its own, which a test fills and makes room on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

CHUNK = 1 << 16
PAGE = 4096  # bytes; what a tmpfs gives and takes


@dataclass(frozen=True)
class SmallDisk:
    """*folder* is where it is mounted."""

    folder: Path

    @property
    def _filling(self) -> Path:
        return self.folder / "filling"

    def fill(self) -> None:
        """Take all that is left; after that no file grows here."""
        with self._filling.open("ab", buffering=0) as file:
            for size in (CHUNK, PAGE):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        assert self.free == 0

    def make_room(self) -> None:
        self._filling.unlink()

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Put a folder, with what is in it, on a file system of *size*, as tmpfs reads it.

    Where this process may not mount, the test is skipped, whatever the machine is
    asked to be able to do: a user's own machine need not allow it.
    """
    aside = folder.with_name(f"{folder.name}.aside")
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "annexkit-test", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    shutil.copytree(folder, aside)
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        _not_mounted(done.stderr.strip())
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield SmallDisk(folder)
    finally:
        # Lazily: whatever still holds a file of it open, nobody finds it here again.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _not_mounted(said: str) -> None:
    forbidden = os.strerror(errno.EPERM).lower() in said.lower() or "denied" in said
    if not forbidden and os.environ.get("ANNEXKIT_REQUIRE_MACHINES") == "1":
        pytest.fail(f"no small disk could be mounted: {said}")
    pytest.skip(f"no small disk can be mounted here: {said}")
