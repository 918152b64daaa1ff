"""A machine with apt sources, and a mirror of Debian that has a few packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from annexkit.bake.recipe import Image
from annexkit.bake.sources import KINDS
from annexkit.bake.updates import Updates, pending
from tests.unit.bake.repo import Repo
from tests.unit.bake.samples import recipe

RELEASE = {"condor": "23.9.6-1", "libc6": "2.41-12", "zstd": "1.5.7-1"}
SID = {"condor": "25.14.1-1", "libc6": "2.42-1", "libnew": "3-1", "zstd": "1.6-1"}


class Machine:
    """Apt sources and a cache of a machine of our own, with one mirror of Debian."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.apt = folder / "apt"
        self.apt.mkdir()
        self.debian = Repo(folder / "debian")
        for suite in ("trixie-updates", "trixie-security"):
            self.debian.offer(suite)
        self.debian.offer("trixie", RELEASE.items())
        self.debian.offer("sid", SID.items())
        self.sources(self.debian.uri)

    def sources(self, uri: str, kinds: tuple[str, ...] = KINDS) -> None:
        lines = [f"deb {uri} bookworm{kind} main\n" for kind in kinds]
        (self.apt / "sources.list").write_text("".join(lines))

    def pending(
        self,
        listed: Mapping[str, str],
        image: Image | None = None,
        arch: str = "x86_64",
    ) -> Updates:
        return pending(
            image or recipe(),
            arch,
            listed,
            cache_dir=self.folder / "cache",
            apt_dir=self.apt,
        )

    def found(self, listed: Mapping[str, str], image: Image | None = None) -> list[str]:
        """Return what is pending, in short; everything has to be checked."""
        updates = self.pending(listed, image)
        assert updates.unchecked == ()
        return [f"{u.name} {u.installed} {u.offered}" for u in updates.found]
