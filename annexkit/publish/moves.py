"""Which build the channels of each region move to, and what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from annexkit.errors import Finding, Level
from annexkit.pool.version import series, skew
from annexkit.publish.standing import Held, faults, marked, name_of
from annexkit.registry import Channels, RegionBuild, Registry, State
from annexkit.registry.pointers import Move, plan_promotion, plan_rollback


@dataclass(frozen=True)
class Place:
    """An image and architecture of the registry, and the command's words for both."""

    image: str
    arch: str

    @property
    def flags(self) -> str:
        """The flags that name it."""
        return f"--image {self.image} --arch {self.arch}"


@dataclass(frozen=True)
class Stays:
    """A region whose pointers stay as they are, ``now``: nothing to do, or refused."""

    region: str
    now: Channels
    why: str
    mend: str = ""
    refused: bool = False


def places_to_promote(registry: Registry, place: Place, build: str) -> list[str]:
    """Return the regions of a promotion when none is named.

    Those where the build was made; with no build named, those that have a candidate,
    or something current that is left as it is.
    """
    record = registry.images[place.image]
    if build:
        return sorted(record.builds[build].regions)
    channels = record.channels.get(place.arch, {})
    return sorted(
        r for r, names in channels.items() if names.candidate or names.current
    )


def places_to_roll_back(registry: Registry, place: Place) -> list[str]:
    """Return the regions of a rollback when none is named: those with a previous."""
    channels = registry.images[place.image].channels.get(place.arch, {})
    return sorted(region for region, names in channels.items() if names.previous)


def promotion(
    registry: Registry, place: Place, region: str, build: str
) -> Move | Stays:
    """Return what a promotion does in a region.

    :param build: the build to promote; the region's candidate when empty.
    """
    now = registry.channel(place.image, place.arch, region)
    bake = f"invoke bake {place.flags} --region {region}"
    wanted = build or now.candidate
    if wanted is None:
        if now.current:
            return Stays(region, now, "there is no candidate: nothing to do")
        return Stays(region, now, "there is no candidate", bake, refused=True)
    there = registry.images[place.image].builds[wanted].regions.get(region)
    if there is None or there.state is not State.READY:
        why, mend = _unready(there, bake)
        return Stays(region, now, f"build {wanted} {why}", mend, refused=True)
    move = plan_promotion(registry, place.image, place.arch, region, wanted)
    if move.after == move.before:
        return Stays(region, now, f"build {wanted} is current: nothing to do")
    return move


def _unready(there: RegionBuild | None, bake: str) -> tuple[str, str]:
    """Say why a build cannot be current, and what mends it."""
    if there is None:
        return "was not made for this region", "name other regions (--regions)"
    if there.state is State.PENDING:
        return "is not proved yet", f"{bake} proves it, if its input is still the same"
    return f"is {there.state}: {there.reason or 'no reason is kept'}", bake


def rollback(registry: Registry, place: Place, region: str) -> Move | Stays:
    """Return what a rollback does in a region."""
    now = registry.channel(place.image, place.arch, region)
    try:
        return plan_rollback(registry, place.image, place.arch, region)
    except ValueError as error:
        return Stays(region, now, str(error), _another(place, region), refused=True)


def _another(place: Place, region: str) -> str:
    """Return how a build comes back to which no channel leads."""
    return f"invoke registry.promote {place.flags} --regions {region} --build ID"


def forbids(
    registry: Registry, move: Move, held: Held, account: str, pool: str
) -> list[Finding]:
    """Return everything that keeps a move from being made, and what is worth a word.

    :param held: what EC2 says of both AMIs: of the build, and of the one it replaces.
    :param pool: the HTCondor of the pool; empty when it is not known.
    """
    builds = registry.images[move.image].builds
    build = builds[move.build]
    one = name_of(registry, move.image, move.build, build, move.region)
    place = Place(move.image, move.arch)
    bake = f"invoke bake {place.flags} --region {move.region} --force"
    mend = _another(place, move.region) if move.back else bake
    found = [
        Finding(Level.ERROR, f"build {move.build}: {what}", move.region, mend)
        for what in faults(one, held, account)
    ]
    found += too_new(build.htcondor, pool, move.region)
    left = move.after.previous
    if left and not move.back and builds[left].created > build.created:
        what = f"build {move.build} is older than {left}, which is current"
        found.append(Finding(Level.WARNING, what, move.region))
    if left and left != move.before.previous:
        old = name_of(registry, move.image, left, builds[left], move.region)
        found += [
            Finding(Level.WARNING, f"no way back to build {left}: {what}", move.region)
            for what in faults(old, held, account)
        ]
    return found


def too_new(htcondor: str, pool: str, where: str) -> list[Finding]:
    """Say whether the pool is too old for a build, by the rule that a launch has.

    :param htcondor: the build's; empty when it is not known.
    """
    if not pool:
        return []
    if series(htcondor) is None:
        what = "the build's HTCondor is not known: it was not compared with the pool's"
        return [Finding(Level.WARNING, what, where)]
    mend = "upgrade the central manager first, or promote for another pool: --no-pool"
    return [replace(one, where=where, mend=mend) for one in skew(htcondor, pool)]


def has_expiry(move: Move, held: Held) -> bool:
    """Whether the AMI still has the tag by which another checkout's reap takes it."""
    said: Mapping[str, Any] | None = held.images.get(move.there.ami or "")
    return said is not None and marked(said)
