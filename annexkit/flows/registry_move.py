"""Moving the channels: planned for all regions, then done region by region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from annexkit import tags
from annexkit.errors import AnnexkitError, Finding, Interrupted, Level
from annexkit.flows.pool_word import PoolWord
from annexkit.flows.site import Site
from annexkit.publish.holding import ask
from annexkit.publish.moves import Stays, forbids, has_expiry
from annexkit.publish.standing import Held, Named, name_of
from annexkit.registry import Channels, Registry
from annexkit.registry.pointers import Move, carry_out

AT_ONCE = 16  # regions


class Result(StrEnum):
    """What becomes, or became, of one region."""

    MOVES = "moves"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True)
class Step:
    """One region: what it is to be, why, and how far it got.

    ``now``: the channels as they were looked at. ``move`` is None where nothing is to
    move. ``unmark``: its AMI still has the expiry of one that is not proved, which
    comes off first.
    """

    region: str
    result: Result
    now: Channels
    move: Move | None = None
    why: str = ""
    findings: tuple[Finding, ...] = ()
    unmark: bool = False


@dataclass(frozen=True)
class MovePlan:
    """All regions of one promotion or rollback, before anything was changed."""

    steps: tuple[Step, ...]
    pool: PoolWord
    registry: Registry = field(repr=False, default_factory=Registry)


def make_plan(
    site: Site,
    registry: Registry,
    chosen: Iterable[Move | Stays],
    pool: PoolWord,
) -> MovePlan:
    """Ask EC2 about every AMI that a channel is to point to; nothing is changed.

    Two calls a region where something moves, all regions at once. A region that does
    not answer is refused, like one whose AMI does not fit.
    """
    chosen = list(chosen)
    moves = [one for one in chosen if isinstance(one, Move)]
    held = ask_regions(site, {m.region: _both(registry, m) for m in moves})
    account = site.cloud.account
    steps = tuple(
        _stays(one)
        if isinstance(one, Stays)
        else _moves(registry, one, held[one.region], account, pool)
        for one in chosen
    )
    return MovePlan(steps, pool, registry)


def ask_regions(
    site: Site, wanted: Mapping[str, list[Named]]
) -> dict[str, Held | AnnexkitError]:
    """Ask all regions at once what they hold; the error of one is its answer."""

    def asked(region: str) -> Held | AnnexkitError:
        try:
            return ask(site.cloud, region, wanted[region])
        except AnnexkitError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(wanted, threads.map(asked, wanted), strict=True))


def run_plan(site: Site, plan: MovePlan, tell: Callable[[Step], None]) -> MovePlan:
    """Make the moves, region by region; one that fails keeps its pointer.

    :param tell: hears of each region as it is done.
    :raises Interrupted: a person stopped it; the regions done stay done.
    """
    steps = []
    for step in plan.steps:
        done = _run(site, step)
        steps.append(done)
        if step.result is Result.MOVES:
            tell(done)
    return replace(plan, steps=tuple(steps))


def _run(site: Site, step: Step) -> Step:
    if step.move is None or step.result is not Result.MOVES:
        return step
    try:
        if step.unmark:
            _unmark(site, step.move)
        moved = _move(site, step.move)
    except Interrupted:
        raise
    except AnnexkitError as error:
        why = error.findings[0].what
        found = (*step.findings, *error.findings)
        return replace(step, result=Result.REFUSED, why=why, findings=found)
    if not moved:
        why = "somebody else did the same meanwhile"
        return replace(step, result=Result.UNCHANGED, why=why)
    return replace(step, result=Result.MOVED)


def _move(site: Site, move: Move) -> bool:
    at = datetime.fromtimestamp(site.clock.time(), UTC)
    moved = []
    site.registry.update(lambda now: moved.append(carry_out(now, move, at)))
    return moved[0]


def _unmark(site: Site, move: Move) -> None:
    """Take the expiry off before the pointer moves: what is current must not be reaped.

    The build is proved already, so it is right also when the pointer then stays.
    """
    parts = [part for part in (move.there.ami, move.there.snapshot) if part]
    expiry = [{"Key": tags.EXPIRES}]
    site.cloud.call(move.region, "delete_tags", Resources=parts, Tags=expiry)


def _both(registry: Registry, move: Move) -> list[Named]:
    """Return the AMI that becomes current, and the one that becomes previous."""
    builds = registry.images[move.image].builds
    name = partial(name_of, registry, move.image)
    ids = dict.fromkeys(b for b in (move.build, move.after.previous) if b)
    return [name(one, builds[one], move.region) for one in ids]


def _stays(one: Stays) -> Step:
    if not one.refused:
        return Step(one.region, Result.UNCHANGED, one.now, why=one.why)
    found = (Finding(Level.ERROR, one.why, one.region, one.mend),)
    return Step(one.region, Result.REFUSED, one.now, why=one.why, findings=found)


def _moves(
    registry: Registry,
    move: Move,
    held: Held | AnnexkitError,
    account: str,
    pool: PoolWord,
) -> Step:
    step = Step(move.region, Result.MOVES, move.before, move)
    if isinstance(held, AnnexkitError):
        found = list(held.findings)
        unmark = False
    else:
        found = forbids(registry, move, held, account, pool.version)
        unmark = has_expiry(move, held)
    errors = [f for f in (*found, *pool.findings) if f.level is Level.ERROR]
    if errors:
        return replace(
            step, result=Result.REFUSED, why=errors[0].what, findings=tuple(found)
        )
    return replace(step, findings=tuple(found), unmark=unmark)
