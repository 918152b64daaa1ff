"""What was seen of an annex's nodes while they lived, kept until the receipt."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from annexkit import annexes, tags
from annexkit.annexes import Annex, Record
from annexkit.files import write_beside
from annexkit.flows.annex_pool import InPool
from annexkit.flows.site import Site
from annexkit.instances import ENDED, Instance

HOUR = 3600.0


class NodeUse(BaseModel):
    """What one node came to so far; times in epoch seconds, ``price`` in USD an hour.

    ``ended`` is None while it lives; ``claimed`` (seconds) where no ad ever said it.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    instance_type: str = ""
    zone: str = ""
    market: str = "on-demand"
    launched: float
    seen: float
    ended: float | None = None
    claimed: float | None = None
    price: float | None = None

    def hours(self, now: float) -> float:
        """Return how long it has run, or did."""
        return (
            max(0.0, (now if self.ended is None else self.ended) - self.launched) / HOUR
        )

    def cost(self, now: float) -> float | None:
        """Return an estimate: its price by the second; None without a price."""
        return None if self.price is None else self.price * self.hours(now)


LEDGER: TypeAdapter[dict[str, NodeUse]] = TypeAdapter(dict[str, NodeUse])


def price_of(site: Site, record: Record | None, node: Instance) -> float | None:
    """Return a node's price: as its launch found it, else as the settings say."""
    key = f"{node.instance_type}/{node.market}"
    for launch in reversed(record.launches if record else []):
        if key in launch.price:
            return launch.price[key]
    return site.settings.launch.hourly_price.get(node.instance_type)


def read(site: Site, name: str) -> dict[str, NodeUse]:
    """Return what was kept; nothing when it is not there, or damaged."""
    try:
        text = annexes.folder(site.state, name).ledger.read_bytes()
        return LEDGER.validate_json(text)
    except (OSError, ValidationError):
        return {}


def note(
    site: Site, annex: Annex, pool: InPool, record: Record | None, *, keep: bool = True
) -> dict[str, NodeUse]:
    """Add what is seen now to what was kept, and return all of it.

    :param annex: with its ended nodes: EC2 shows those for about an hour.
    :param keep: write it down; where this checkout knows the annex.
    """
    now = site.clock.time()
    known = read(site, annex.name)
    seen = {node.id: node for node in annex.nodes}
    for node in annex.nodes:
        price = price_of(site, record, node)
        known[node.id] = _use(node, known.get(node.id), pool, price, now)
    for one in known.keys() - seen.keys():
        if known[one].ended is None:  # EC2 has forgotten it
            known[one] = known[one].model_copy(update={"ended": known[one].seen})
    if keep and known:
        path = annexes.folder(site.state, annex.name).ledger
        write_beside(path, LEDGER.dump_json(known).decode() + "\n", mode=0o600)
    return known


def _use(
    node: Instance,
    before: NodeUse | None,
    pool: InPool,
    price: float | None,
    now: float,
) -> NodeUse:
    there = pool.nodes.get(node.id)
    claimed = there.claimed_seconds if there else None
    if there is None and not pool.unknown:
        claimed = 0.0  # who is not in the pool is not claimed; what was is below
    if before and before.claimed is not None:
        claimed = max(before.claimed, claimed or 0.0)
    return NodeUse(
        id=node.id,
        instance_type=node.instance_type,
        zone=node.zone,
        market=node.market,
        launched=node.launched,
        seen=now if node.state not in ENDED else before.seen if before else now,
        ended=_ended(node, before, now),
        claimed=claimed,
        price=before.price if price is None and before else price,
    )


def _ended(node: Instance, before: NodeUse | None, now: float) -> float | None:
    """Return when a node ended: EC2 does not say, so when it was first seen ended."""
    if node.state not in ENDED:
        return None
    if before and before.ended is not None:
        return before.ended
    # None outlives its lease by more than a moment.
    return max(node.launched, min(now, tags.expiry(node.tags) or now))
