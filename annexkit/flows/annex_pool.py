"""What the pool says of an annex's nodes, added up by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from annexkit.errors import AnnexkitError
from annexkit.flows.site import Site
from annexkit.pool.collector import Collector, Slot
from annexkit.pool.target import Pool


@dataclass
class NodeInPool:
    """One node's slots, added up; ``claimed`` and ``cpus`` count cores.

    ``claimed_seconds`` is the time that the slots it has now were claimed so far, None
    when no ad says it; slots that were cut for a job take theirs along when they go.
    """

    slots: int = 0
    cpus: float = 0
    claimed: float = 0
    identity: str = ""
    method: str = ""
    lease_expires: float | None = None
    build: str = ""
    claimed_seconds: float | None = None


@dataclass(frozen=True)
class InPool:
    """What the pool knows, by instance id; ``unknown`` says why it knows nothing."""

    nodes: dict[str, NodeInPool] = field(default_factory=dict)
    unknown: str = ""


def ask(site: Site, annex: str = "") -> InPool:
    """Ask the collector once for all slots of an annex, or of all annexes.

    A pool that cannot be asked is no error here: everything else is still true.
    """
    if not site.settings.pool.collector:
        return InPool(unknown="no pool is named: pool.collector in invoke.yaml")
    try:
        slots = Collector(Pool.of(site.settings.pool)).slots(annex=annex)
    except AnnexkitError as error:
        return InPool(unknown=str(error))
    return InPool(added_up(slots))


def added_up(slots: Iterable[Slot]) -> dict[str, NodeInPool]:
    """Add the slots up by instance; one look at each."""
    nodes: dict[str, NodeInPool] = {}
    for slot in slots:
        if not slot.instance_id:  # no annex's: the pool has nodes of its own
            continue
        node = nodes.setdefault(slot.instance_id, NodeInPool())
        node.slots += 1
        node.cpus += slot.cpus or 0
        if slot.state == "Claimed":
            node.claimed += slot.cpus or 0
        node.identity = slot.authenticated_identity
        node.method = slot.authentication_method
        node.lease_expires = slot.lease_expires
        node.build = slot.build
        times = (slot.claimed_busy, slot.claimed_idle)
        if times != (None, None):
            seconds = sum(time or 0 for time in times)
            node.claimed_seconds = (node.claimed_seconds or 0) + seconds
    return nodes
