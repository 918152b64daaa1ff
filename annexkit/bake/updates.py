"""Which packages of a build have a newer version by now; nothing is booted for that.

The build's saved package list is held against the indexes that a bake of today would
read. Two families, two ways to choose among repositories; the rest is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from annexkit.bake import newest, updates_apt, updates_rpm
from annexkit.bake.newest import Caches
from annexkit.bake.recipe import Family, Image


@dataclass(frozen=True)
class Update:
    """A package of a build, and the version that a bake of today would install."""

    name: str
    installed: str
    offered: str


@dataclass(frozen=True)
class Updates:
    """What a bake of today would bring.

    ``found``: by name. ``unchecked``: reasons why there may be more; empty when all was
    checked. ``compared``: how many packages some index knows; ``unknown``: how many
    none does, be it that they came without a repository or are gone from it.
    """

    found: tuple[Update, ...]
    unchecked: tuple[str, ...] = ()
    compared: int = 0
    unknown: int = 0


def pending(
    image: Image,
    arch: str,
    listed: Mapping[str, str],
    *,
    cache_dir: Path,
    apt_dir: Path = Path("/etc/apt"),
) -> Updates:
    """Hold a build's package list against the repositories that its recipe uses.

    For family ``debian`` the mirrors are those of this machine's own apt sources. An
    index is read once; after that it is one conditional request a suite or repository.

    :param arch: ``x86_64`` or ``arm64``.
    :param listed: name → installed version (see :func:`as_listed`).
    :param cache_dir: where answers are kept.
    """
    caches = Caches.below(cache_dir)
    stock: updates_apt.Stock | updates_rpm.Stock
    if image.family == "el":
        stock = updates_rpm.gather(image, arch, caches)
    else:
        stock = updates_apt.gather(image, arch, caches, apt_dir)
    found: list[Update] = []
    odd: list[str] = []
    unknown = 0
    for name, installed in sorted(listed.items()):
        try:
            offered = stock.offer(name, installed)
        except ValueError:
            odd.append(name)
            continue
        if not offered:
            unknown += 1
        elif offered != installed:
            found.append(Update(name, installed, offered))
    compared = len(listed) - unknown - len(odd)
    unchecked = (*stock.unchecked, *_odd(odd))
    return Updates(tuple(found), unchecked, compared, unknown)


def as_listed(family: Family, rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return name → newest installed version, of (name, version) pairs.

    Kernels of the Red Hat family are kept beside each other: the newest is the one that
    an update would have to beat.
    """
    newer = updates_rpm.newer if family == "el" else newest.newer
    found: dict[str, str] = {}
    for name, version in rows:
        try:
            found[name] = newer(found.get(name, version), version)
        except ValueError:  # pending() says so
            found[name] = version
    return found


def _odd(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (f"versions that cannot be compared: {', '.join(names[:3])}{more}",)
