"""Gather what a launch is planned from, and settle the plan; nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from annexkit import annexes, network
from annexkit.errors import AnnexkitError, Finding, FindingsError, Level
from annexkit.flows import annex_owner, launch_key, launch_request
from annexkit.flows.launch_key import LaunchKey
from annexkit.flows.launch_request import Chosen, LaunchRequest
from annexkit.flows.site import Site
from annexkit.launch import group, longlived
from annexkit.launch.capacity import CapacityTable
from annexkit.launch.longlived import Wants
from annexkit.launch.offers import Offers, offers, targets
from annexkit.launch.plan import LaunchPlan, PlanFacts, make_plan
from annexkit.launch.price import Prices, prices
from annexkit.pool import credentials, target
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool, PoolError
from annexkit.pool.version import skew
from annexkit.sections import LaunchSettings

# What a node may live beyond the time to boot and to join: for the launcher's own work.
MARGIN = 180.0
NODE, SCHEDULE, REAP = (
    "the node's own timer, which follows the lease's tag",
    "an EventBridge schedule that terminates the instances",
    "invoke reap, by anybody who may end instances",
)
IN_SSM = "the secret of this launch in SSM, until its nodes are verified"
T = TypeVar("T")


@dataclass(frozen=True)
class Ready:
    """A launch that is planned: what it is made from, and the plan.

    ``fresh``: the annex has no node now; what is kept of an earlier one is over.
    """

    chosen: Chosen
    launch: LaunchSettings
    pool: Pool
    key: LaunchKey
    wants: Wants
    capacity: CapacityTable
    plan: LaunchPlan
    fresh: bool = True

    @property
    def region(self) -> str:
        """Where the nodes go."""
        return self.chosen.region


@dataclass
class _Gathered:
    """What was found wrong so far; a part that fails stops no other (law 10)."""

    findings: list[Finding] = field(default_factory=list)

    def of(self, ask: Callable[[], T]) -> T | None:
        """Return what *ask* returns, or note why it could not."""
        try:
            return ask()
        except AnnexkitError as error:
            self.findings += error.findings
            return None


def prepare(site: Site, request: LaunchRequest) -> Ready:
    """Look at everything a launch needs, and plan it.

    :raises FindingsError: whatever keeps it from being planned, all at once.
    :raises AnnexkitError: AWS or the registry cannot be asked.
    """
    found = _Gathered()
    launch = launch_request.effective(site, request)
    region = launch_request.region_of(site, request.region)
    site.check_account()
    chosen = found.of(
        lambda: launch_request.choose(site, request, launch.channel, region)
    )
    of_pool = target.findings(site.settings.pool)
    found.findings += of_pool
    unusable = any(f.level is Level.ERROR for f in of_pool)
    key = found.of(lambda: launch_key.find(site, launch, region))
    sources = found.of(lambda: _ssh_sources(launch))
    if chosen is None:
        raise FindingsError(found.findings)
    found.findings += launch_request.check_ami(site, chosen)
    offered = offers(
        site.cloud,
        region,
        types=launch.instance_types,
        subnets=launch.subnets,
        arch=chosen.arch,
        market=launch.market,
    )
    found.findings += offered.findings
    pool = None if unusable else Pool.of(site.settings.pool)
    if pool is None or key is None or sources is None or not offered.vpc:
        # Without these nothing can be planned; what else is wrong is said with it.
        raise FindingsError(found.findings)
    wants = Wants(
        region=region,
        vpc=offered.vpc,
        ssh_cidrs=sources,
        pool_cidrs=None if pool.ccb else tuple(site.settings.pool.cidrs),
        scheduler=launch.scheduler,
    )
    found.findings += _of_live_pool(pool, chosen)
    standing = annexes.find(site.cloud, region, launch.annex_name)
    found.findings += annex_owner.foreign(standing, launch.owner)
    found.of(lambda: credentials.check_settings(pool))
    found.of(annexes.folder(site.state, launch.annex_name).read)
    pieces = found.of(lambda: longlived.look(site.cloud, wants)) or []
    if pieces:  # else a source is no network, or a name is taken
        found.findings += group.findings(wants.ssh_cidrs, wants.pool_cidrs)
    missing = [str(piece) for piece in pieces if piece.state != "there"]
    capacity = _capacity(site, launch)
    facts = _facts(site, launch, chosen, offered, capacity)
    facts = replace(
        facts,
        creates=(*missing, str(key) if standing.nodes else key.anew, IN_SSM),
        canary=request.canary and launch.count > 1,
        findings=(*found.findings, *facts.findings),
    )
    plan, fresh = make_plan(facts), not standing.nodes
    return Ready(chosen, launch, pool, key, wants, capacity, plan, fresh)


def _ssh_sources(launch: LaunchSettings) -> tuple[str, ...]:
    return network.ssh_sources(launch.ssh_cidrs, where="launch.ssh_cidrs")


def _of_live_pool(pool: Pool, chosen: Chosen) -> list[Finding]:
    """Ask the pool whether nodes of this image would be of use to it.

    A pool that cannot be asked from here may still be reached by the nodes.
    """
    try:
        about = Collector(pool).about()
    except PoolError as error:
        what = f"the pool was not asked: {error.what}"
        return [Finding(Level.WARNING, what, error.where, error.mend)]
    return skew(chosen.build.htcondor, about.version)


def _facts(
    site: Site,
    launch: LaunchSettings,
    chosen: Chosen,
    offered: Offers,
    capacity: CapacityTable,
) -> PlanFacts:
    priced = _prices(site, launch, chosen.region, offered)
    asked = targets(offered, launch.market, priced.usd)
    closed = {t: c for t in asked if (c := capacity.closed(chosen.region, t))}
    return PlanFacts(
        now=site.clock.time(),
        annex=launch.annex_name,
        owner=launch.owner,
        region=chosen.region,
        count=launch.count,
        market=launch.market,
        image=chosen.image.name,
        channel=launch.channel,
        build=chosen.build_id,
        ami=chosen.ami,
        ami_created=chosen.build.created.timestamp(),
        targets=asked,
        lease=launch.lease,
        idle=launch.idle,
        boot_timeout=launch.boot_timeout,
        join_timeout=launch.join_timeout,
        margin=MARGIN,
        outdated_after=launch.outdated_after,
        layers=(NODE, *((SCHEDULE,) if launch.scheduler else ()), REAP),
        method=site.settings.pool.method,
        closed=closed,
        free=offered.free,
        max_hourly_cost=launch.max_hourly_cost,
        findings=(*priced.findings, *capacity.findings),
    )


def _prices(site: Site, launch: LaunchSettings, region: str, offered: Offers) -> Prices:
    return prices(
        site.cloud,
        region,
        types=offered.types,
        market=launch.market,
        given=launch.hourly_price,
        cache=site.cache / "prices.json",
        now=site.clock.time(),
    )


def _capacity(site: Site, launch: LaunchSettings) -> CapacityTable:
    """Return the table of this account at this endpoint."""
    whose = f"{site.cloud.account} {site.cloud.endpoint}"
    name = hashlib.sha256(whose.encode()).hexdigest()[:12]
    return CapacityTable(
        site.state / f"capacity-{name}.json",
        pause=launch.capacity_pause,
        now=site.clock.time,
    )
