"""The pool's side of a node: is it in, as whom, and is it what was baked and leased?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annexkit import tags
from annexkit.instances import Instance
from annexkit.pool.collector import Slot
from annexkit.pool.identity import mismatch
from annexkit.pool.target import Pool
from annexkit.verify.checks import Check

LEASE_TOLERANCE = 5.0  # seconds between the tag and what the node advertises


@dataclass(frozen=True)
class Join:
    """How a node joined.

    :param seconds: since the waiting began.
    :param slots: how many of its slots the collector knows.
    :param start: START as the node evaluates it without a job; None when it depends.
    :param problem: what is wrong with who it is; empty when all is well.
    """

    id: str
    seconds: float
    identity: str
    method: str
    slots: int
    start: bool | None
    problem: str = ""


def by_node(slots: Iterable[Slot]) -> dict[str, list[Slot]]:
    """Sort slots by the instance they run on."""
    found: dict[str, list[Slot]] = {}
    for slot in slots:
        found.setdefault(slot.instance_id, []).append(slot)
    return found


def join(node: str, slots: Sequence[Slot], pool: Pool, seconds: float) -> Join:
    """Say how a node joined that has at least one slot."""
    first = slots[0]
    return Join(
        id=node,
        seconds=seconds,
        identity=first.authenticated_identity,
        method=first.authentication_method,
        slots=len(slots),
        start=first.start,
        problem=_identity(slots, pool),
    )


def pool_checks(node: Instance, slots: Sequence[Slot], pool: Pool) -> tuple[Check, ...]:
    """Judge a node by its slots, in the same form as the checks on the node.

    The node's tags say what is right: the lease's end, and the build of its AMI.
    """
    if not slots:
        return (_check("in-pool", "the collector has no slot of it"),)
    count = f"{len(slots)} slot{'s' * (len(slots) > 1)}"
    identity = f"{slots[0].authenticated_identity} by {slots[0].authentication_method}"
    return (
        _check("in-pool", "", count),
        _check("pool-identity", _identity(slots, pool), identity),
        _check("pool-start", _start(slots)),
        _check("pool-lease", _lease(node, slots)),
        _check("pool-image", _image(node, slots)),
    )


def _check(name: str, wrong: str, detail: str = "") -> Check:
    return Check(name=name, ok=not wrong, detail=wrong or detail or "ok", seconds=0.0)


def _identity(slots: Sequence[Slot], pool: Pool) -> str:
    """Say what is wrong with who it is; empty when nothing is."""
    return next(filter(None, (mismatch(slot, pool) for slot in slots)), "")


def _start(slots: Sequence[Slot]) -> str:
    # A claimed slot has its job; until a job is known START may well depend on it.
    refusing = [s.name for s in slots if s.start is False and s.state != "Claimed"]
    return f"START is false on {refusing[0]}: it takes no job" if refusing else ""


def _lease(node: Instance, slots: Sequence[Slot]) -> str:
    wanted = tags.expiry(node.tags)
    found = slots[0].lease_expires
    if wanted is None or found is None:
        return "" if wanted == found else f"it says {found}, its tag says {wanted}"
    off = found - wanted
    return "" if abs(off) <= LEASE_TOLERANCE else f"{off:+.0f} s from what its tag says"


def _image(node: Instance, slots: Sequence[Slot]) -> str:
    wanted, found = node.tags.get(tags.FROM_BUILD, ""), slots[0].build
    return "" if wanted in ("", found) else f"build {found or 'none'}, not {wanted}"
