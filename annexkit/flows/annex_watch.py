"""``invoke watch``: wait until annexes have ended, and say how each node did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from annexkit import annexes, tags
from annexkit.errors import Exit, UsageError
from annexkit.flows import annex_ledger
from annexkit.flows.annex_pool import InPool
from annexkit.flows.launch_request import region_of
from annexkit.flows.site import Site
from annexkit.instances import ENDED, Instance
from annexkit.waiting import wait_for

NOT_ASKED = InPool(unknown="the pool was not asked")
WITH_LEASE = 10.0  # seconds before its lease's end from which a node ends by it


@dataclass(frozen=True)
class Ended:
    """One node's end: ``early`` is how many seconds before its lease it was seen."""

    annex: str
    id: str
    reason: str
    early: float | None

    @property
    def how(self) -> str:
        """Say which way it ended, as far as the time tells."""
        if self.early is None:
            return "no lease is known"
        if self.early <= WITH_LEASE:
            return "with its lease"
        return f"{self.early:.0f} s before its lease"


@dataclass
class _Watch:
    site: Site
    region: str
    names: tuple[str, ...]
    ended: dict[str, Ended] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def look(self) -> bool:
        """Ask EC2 once for each annex; True when no node is alive."""
        alive = 0
        for name in self.names:
            found = annexes.find(self.site.cloud, self.region, name, ended=True)
            before = len(self.ended)
            for node in found.nodes:
                if node.state not in ENDED:
                    alive += 1
                    self.seen.add(node.id)
                elif node.id in self.seen and node.id not in self.ended:
                    self._note(name, node)
            if len(self.ended) > before:
                self._keep(found)
        return alive == 0

    def _keep(self, annex: annexes.Annex) -> None:
        """Note for the receipt when nodes ended: EC2 does not say it later."""
        record = annexes.folder(self.site.state, annex.name).read()
        if record is not None and record.region == annex.region:
            annex_ledger.note(self.site, annex, NOT_ASKED, record)

    def _note(self, name: str, node: Instance) -> None:
        expires = tags.expiry(node.tags)
        early = None if expires is None else expires - self.site.clock.time()
        one = Ended(name, node.id, node.reason, early)
        self.ended[node.id] = one
        self.site.console.detail(f"{name}: {node.id} ended {one.how}; {node.reason}")


def watch(site: Site, names: Sequence[str], region: str, timeout: float) -> Exit:
    """Wait until no node of these annexes is alive, and tell of each end as it comes.

    :param timeout: seconds.
    :raises UsageError: no annex of these names has a node.
    :raises Deadline: nodes are still alive.
    """
    chosen = tuple(annexes.check_name(name) for name in names)
    work = _Watch(site, region_of(site, region), chosen)
    work.look()
    if not work.seen:
        raise UsageError(
            f"no node of {', '.join(chosen)} is alive",
            where=work.region,
            mend="see: invoke status; another region: --region",
        )
    site.console.step(f"{len(work.seen)} nodes are alive: waiting for their end")
    wait_for(
        work.look,
        what=f"the end of {', '.join(chosen)}",
        timeout=timeout,
        poll=max(1.0, site.settings.poll),
        clock=site.clock,
        mend="see: invoke status; end them now: invoke terminate",
    )
    rows = [(one.annex, one.id, one.how) for one in work.ended.values()]
    data: list[dict[str, Any]] = [
        {"annex": o.annex, "id": o.id, "early": o.early, "reason": o.reason}
        for o in work.ended.values()
    ]
    site.console.table(("annex", "instance", "ended"), rows, data=data)
    return Exit.DONE
