"""Let the jobs of an annex end before it does."""

from __future__ import annotations

from annexkit import annexes, tags
from annexkit.annexes import Annex
from annexkit.errors import Finding, Level
from annexkit.flows import annex_pool, lease
from annexkit.flows.site import Site
from annexkit.waiting import Deadline, wait_for


def drain(site: Site, annex: Annex) -> None:
    """Let jobs end: nodes take no new ones when their lease is about to end.

    The lease is the one thing that reaches a node without rights in the pool. It is
    set so that a node that looks as late as it may still has the whole time to drain;
    who is done earlier is not waited for.
    """
    settings = site.settings.launch
    now = site.clock.time()
    over = now + settings.lease_poll + settings.drain
    if annex.expires is not None and annex.expires <= over:
        site.console.detail("the lease ends before a drain would")
    else:
        for launch in annex.launches:
            ids = [
                node.id
                for node in annex.nodes
                if node.tags[tags.LAUNCH] == launch
                # An earlier end stays: a later one would lease a node on probation.
                and (tags.expiry(node.tags) or over) >= over
            ]
            lease.grant(site, annex.region, annex.name, launch, ids, expires=over)
    left = min(over, annex.expires or over) - now
    site.console.step(f"draining: jobs have up to {left / 60:.0f} min to end")
    seen = now + settings.lease_poll + settings.drain / 10

    def idle() -> bool:
        if not annexes.find(site.cloud, annex.region, annex.name).nodes:
            return True
        if site.clock.time() < seen:  # a node may not know of it yet
            return False
        pool = annex_pool.ask(site, annex.name)
        return not pool.unknown and not any(n.claimed for n in pool.nodes.values())

    try:
        wait_for(
            idle,
            what=f"the jobs on annex {annex.name}",
            timeout=max(0.0, left),
            poll=site.settings.poll,
            clock=site.clock,
        )
    except Deadline as error:
        site.console.finding(Finding(Level.WARNING, error.what, annex.name))
