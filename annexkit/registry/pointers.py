"""Moving ``current``: planned from what was read, and done only if that still holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annexkit.registry.edits import EditError, promote
from annexkit.registry.model import Channels, RegionBuild, Registry, State

# Why a proved build is not current although it was: a bake does not promote it again.
ROLLED_BACK = "rolled back on"


class MovedError(EditError):
    """Somebody else changed the channels, or the build, since they were read."""


@dataclass(frozen=True)
class Move:
    """What the channels of one place are, and what they are to be.

    ``build`` becomes current; ``there`` is it in this region, as it was read.
    ``back``: it is a rollback, so that the build it leaves is marked.
    """

    image: str
    arch: str
    region: str
    build: str
    there: RegionBuild
    before: Channels
    after: Channels
    back: bool = False


def plan_promotion(
    registry: Registry, image: str, arch: str, region: str, build: str
) -> Move:
    """Return the move that makes a build current there; the old one is ``previous``.

    :raises ValueError: the build is not ready there.
    """
    there = registry.images[image].builds[build].regions[region]
    _require_ready(build, there, region)
    before = registry.channel(image, arch, region).model_copy()
    after = before.model_copy()
    if before.current != build:
        after.previous, after.current = before.current, build
    if before.candidate == build:
        after.candidate = None
    return Move(image, arch, region, build, there.model_copy(), before, after)


def plan_rollback(registry: Registry, image: str, arch: str, region: str) -> Move:
    """Return the move that swaps ``current`` and ``previous``; nothing else moves.

    :raises ValueError: there is no previous build, or it is not ready.
    """
    before = registry.channel(image, arch, region).model_copy()
    if before.previous is None:
        raise ValueError(f"there is no previous build in {region}")
    build = before.previous
    there = registry.images[image].builds[build].regions[region].model_copy()
    _require_ready(build, there, region)
    swapped = {"current": build, "previous": before.current}
    after = before.model_copy(update=swapped)
    return Move(image, arch, region, build, there, before, after, back=True)


def carry_out(registry: Registry, move: Move, at: datetime) -> bool:
    """Make a planned move in place; return False when it was made already.

    :param at: when, for the mark of a rollback.
    :raises MovedError: the place is neither as it was planned from nor as it is to be.
    """
    names = registry.channel(move.image, move.arch, move.region)
    if names == move.after and names != move.before:
        return False
    if names != move.before or _facts(registry, move) != _key(move.there):
        raise moved_error(move.region, _told(registry, move, names))
    if move.back:
        _swap(registry, move, at)
    else:
        promote(registry, move.image, move.build, move.region)
    return True


def moved_error(region: str, told: str) -> MovedError:
    """Return the error of a region that somebody else changed.

    :param told: what is otherwise than it was looked at.
    """
    return MovedError(
        f"somebody else changed it meanwhile ({told}); nothing of theirs was touched",
        where=region,
        mend="run the same command again: it looks anew",
    )


def rolled_back(there: RegionBuild) -> bool:
    """Whether a person went back from this build: no bake makes it current again."""
    return there.state is State.READY and there.reason.startswith(ROLLED_BACK)


def _swap(registry: Registry, move: Move, at: datetime) -> None:
    record = registry.images[move.image]
    record.channels[move.arch][move.region] = move.after.model_copy()
    record.builds[move.build].regions[move.region].reason = ""
    if left := move.before.current:
        reason = f"{ROLLED_BACK} {at:%Y-%m-%d %H:%M} UTC"
        record.builds[left].regions[move.region].reason = reason


def _require_ready(build: str, there: RegionBuild, region: str) -> None:
    if there.state is not State.READY:
        raise ValueError(f"build {build} is {there.state} in {region}, not ready")


def _facts(registry: Registry, move: Move) -> tuple[object, ...] | None:
    """Return what the move relies on, as it is now; None when the build is gone."""
    record = registry.images.get(move.image)
    build = record.builds.get(move.build) if record else None
    there = build.regions.get(move.region) if build else None
    return _key(there) if there else None


def _key(there: RegionBuild) -> tuple[object, ...]:
    return (there.ami, there.snapshot, there.state)


def _told(registry: Registry, move: Move, names: Channels) -> str:
    for name in Channels.model_fields:
        now, then = getattr(names, name), getattr(move.before, name)
        if now != then:
            return f"{name} is {now or 'unset'}, was {then or 'unset'}"
    now_there = _facts(registry, move)
    return f"build {move.build} is " + (str(now_there[2]) if now_there else "gone")
