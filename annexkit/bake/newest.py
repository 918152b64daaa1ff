"""The newest version of every package that a repository has, from its index.

An index is read once, by its hash; what it says is kept packed, one file a repository,
so that the cache does not grow with every night.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from debian_inspector.version import Version

from annexkit.bake import repomd
from annexkit.bake.fetch import Cache, FetchError, redacted
from annexkit.bake.repository import (
    Index,
    Repository,
    index_in,
    paragraphs,
    read_index,
    read_release,
    valid_until,
)

FIELD = re.compile(
    rb"^(Package|Version|Phased-Update-Percentage): *(.*?) *$", re.MULTILINE
)


@dataclass(frozen=True)
class Shelf:
    """What a repository has: name → newest version.

    ``stale``: why that may not be what it has today; empty when it is.
    """

    versions: Mapping[str, str]
    stale: str = ""


@dataclass(frozen=True)
class Caches:
    """Where answers are kept: release files as they are, long lists packed."""

    small: Cache
    packed: Cache

    @classmethod
    def below(cls, cache_dir: Path) -> Caches:
        """Return those of a cache folder; the small one is the bake's own."""
        folder = cache_dir / "index"
        return cls(Cache(folder), Cache(folder, packed=True))


def in_suite(
    repository: Repository, components: Iterable[str], caches: Caches
) -> Shelf | None:
    """Return what a suite of a Debian repository has in these components.

    :return: None when it is of another origin than the wanted one.
    :raises FetchError: it cannot be read, or lacks a component for the architecture.
    """
    release = read_release(repository, caches.small)
    if release is None:
        return None
    found: dict[str, str] = {}
    for component in components:
        there = replace(repository, component=component)
        index = index_in(release, there)
        if index is None:
            what = f"it has no '{component}' for {repository.arch}"
            raise FetchError(repository.root, what)
        add_newest(found, _of_index(index, caches).items())
    return Shelf(found, _stale(repository, release))


def in_rpm_repository(root: str, arch: str, caches: Caches) -> Shelf:
    """Return what an rpm repository has for an architecture, and for any.

    :param root: the folder that holds ``repodata``.
    :param arch: rpm's name of it.
    :raises FetchError: it cannot be read.
    """
    primary = repomd.find_list(root, caches.small)

    def read() -> dict[str, str]:
        return repomd.read_list(primary, lambda plain: repomd.all_newest(plain, arch))

    place = f"{redacted(root)} for {arch}"
    return Shelf(_kept(place, primary.sha256, read, caches.packed))


def all_newest(plain: IO[bytes]) -> dict[str, str]:
    """Return the newest version of every package of an unpacked Debian list.

    What Ubuntu gives to a part of all machines only, so far, is passed over: whether a
    builder would get it is left to chance (Ubuntu wiki, "Phased updates").

    :raises ValueError: it grows too large.
    """
    found: dict[str, str] = {}
    for text in paragraphs(plain):
        fields = dict(FIELD.findall(text))
        if b"Package" not in fields or b"Version" not in fields:
            continue
        if int(fields.get(b"Phased-Update-Percentage", b"100")) < 100:
            continue
        add_newest(found, [(fields[b"Package"].decode(), fields[b"Version"].decode())])
    return found


def add_newest(found: dict[str, str], versions: Iterable[tuple[str, str]]) -> None:
    """Add (name, version) pairs to name → newest version.

    Of two that cannot be compared the first one stays: one odd package makes no index
    unreadable.
    """
    for name, version in versions:
        with suppress(ValueError):
            found[name] = newer(found.get(name, version), version)


def newer(one: str, other: str) -> str:
    """Return the newer of two Debian versions, as dpkg sorts; *one* if they are equal.

    :raises ValueError: they differ, and one of them is no version.
    """
    if one == other:
        return one
    return other if Version.from_string(one) < Version.from_string(other) else one


def _of_index(index: Index, caches: Caches) -> Mapping[str, str]:
    def read() -> dict[str, str]:
        return read_index(index, all_newest)

    return _kept(redacted(index.url), index.sha256, read, caches.packed)


def _kept(
    place: str, sha256: str, read: Callable[[], dict[str, str]], cache: Cache
) -> Mapping[str, str]:
    """Return what is kept of a place's index, if it is this one; read it otherwise."""
    key = f"newest packages of {place}"
    kept = cache.get(key)
    versions = kept.get("versions")
    if kept.get("sha256") == sha256 and isinstance(versions, dict):
        return versions
    versions = read()
    cache.put(key, {"sha256": sha256, "versions": versions})
    return versions


def _stale(repository: Repository, release: str) -> str:
    until = valid_until(release)
    if until is None or until > datetime.now(UTC):
        return ""
    root = redacted(repository.root)
    return f"{root} was good until {until:%Y-%m-%d}: the mirror has stopped there"
