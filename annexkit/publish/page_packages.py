"""Package changes on the morning page: what comes first, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from annexkit.publish import packages
from annexkit.publish.night import ImageNight, PackageNight
from annexkit.publish.packages import Kind
from annexkit.publish.page_words import counted, plain

# Package lists as short as this need not be folded.
SHORT = 8
# The package that stands for HTCondor, by the names that distributions give it.
HTCONDOR = ("condor", "htcondor", "minicondor", "libcondor-utils")
# A page asks again for every size that it tries.
kind_of = lru_cache(maxsize=50_000)(packages.kind_of)


@dataclass(frozen=True)
class Shown:
    """The important packages, the others, and how many there was no room for."""

    first: tuple[PackageNight, ...]
    rest: tuple[PackageNight, ...]
    left_out: int


def shown(found: Iterable[PackageNight], most: int) -> Shown:
    """Order packages as ``registry.diff`` does, and keep the first *most*."""
    order = list(Kind)
    ranked = sorted(found, key=lambda one: (order.index(kind_of(one.name)), one.name))
    kept = ranked[:most]
    first = tuple(one for one in kept if kind_of(one.name) is not Kind.OTHER)
    return Shown(first, tuple(kept[len(first) :]), len(ranked) - len(kept))


def versions(one: PackageNight) -> tuple[str, str]:
    """Return the old and the new version in words."""
    return one.old or "not there", one.new or "removed"


def diff_command(image: ImageNight) -> str:
    """Return the command that shows all package changes of an image."""
    return f"invoke registry.diff {image.before} {image.build} --image {image.image}"


def in_short(found: Iterable[PackageNight]) -> str:
    """Return what changed in a few words, or nothing.

    >>> in_short([PackageNight(name="condor", old="23.9.6", new="23.10.1")])
    'HTCondor 23.9.6 → 23.10.1'
    """
    by_kind: dict[Kind, list[PackageNight]] = {}
    for one in found:
        by_kind.setdefault(kind_of(one.name), []).append(one)
    said = []
    if condor := by_kind.get(Kind.HTCONDOR):
        said.append(_version(min(condor, key=_rank)))
    said += [str(kind) for kind in (Kind.KERNEL, Kind.RUNTIME) if kind in by_kind]
    if others := len(by_kind.get(Kind.OTHER, ())):
        other = "other package" if said else "package"
        said.append(counted(others, other))
    return ", ".join(said)


def _rank(one: PackageNight) -> tuple[int, str]:
    first = HTCONDOR.index(one.name) if one.name in HTCONDOR else len(HTCONDOR)
    return first, one.name


def _version(one: PackageNight) -> str:
    old, new = (plain(said, 40) for said in versions(one))
    return f"{Kind.HTCONDOR} {old} → {new}"
