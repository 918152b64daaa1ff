"""``invoke status``: instances, collector, lease and money in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annexkit import annexes, tags
from annexkit.annexes import Annex, Record
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Exit, Finding, Level
from annexkit.flows import annex_ledger, annex_pool, lease
from annexkit.flows.annex_pool import InPool, NodeInPool
from annexkit.flows.annex_regions import regions_of
from annexkit.flows.annex_table import UNKNOWN, AnnexLine, NodeLine, show
from annexkit.flows.site import Site
from annexkit.instances import Instance


@dataclass(frozen=True)
class Known:
    """What is known besides EC2: the pool, the records, the schedules and the registry.

    :param schedules: how many schedules each launch has; None: nobody could be asked.
    :param current: the builds that a channel ``current`` points to.
    """

    now: float
    pool: InPool
    records: Mapping[str, Record] = field(default_factory=dict)
    schedules: Mapping[str, int] | None = None
    current: frozenset[str] = frozenset()


def show_status(site: Site, name: str = "", regions: Sequence[str] = ()) -> Exit:
    """Show every annex of the regions; with a name, that annex and each of its nodes.

    A pool, a schedule or a region that cannot be asked leaves its part of the table
    empty, with the reason below it.

    :returns: PARTLY when a region could not be asked.
    """
    if name:
        annexes.check_name(name)
    asked = regions_of(site, regions, _record(site, name) if name else None)
    found, unreachable = _find(site, name, asked)
    known = _known(site, name, found)
    lines = [annex_line(site, annex, known) for annex in found]
    if name:
        _keep(site, found, known)
    show(site, lines, known.pool.unknown, name, asked)
    for region, why in unreachable.items():
        site.console.finding(Finding(Level.WARNING, why, region, "run this again"))
    return Exit.PARTLY if unreachable else Exit.DONE


def annex_line(site: Site, annex: Annex, known: Known) -> AnnexLine:
    """Add up one annex; one look at each node."""
    record = known.records.get(annex.name)
    nodes = tuple(_node_line(site, node, record, known) for node in annex.nodes)
    blind = bool(known.pool.unknown)
    here = set(annex.launches)  # those of the same name before it are over
    launches = [one for one in record.launches if one.id in here] if record else []
    wanted = sum(launch.wanted for launch in launches) if launches else None
    prices = [node.price for node in nodes]
    priced = [price for price in prices if price is not None]
    paid = [
        node.price * (known.now - node.launched) / annex_ledger.HOUR
        for node in nodes
        if node.price is not None
    ]
    dear = len(priced) == len(nodes)
    owners = Counter(node.tags.get(tags.OWNER, UNKNOWN) for node in annex.nodes)
    return AnnexLine(
        name=annex.name,
        region=annex.region,
        owner=", ".join(sorted(owners)),
        wanted=wanted,
        running=sum(node.state == "running" for node in nodes),
        in_pool=None if blind else sum(bool(node.in_pool) for node in nodes),
        claimed=None if blind else sum(node.claimed or 0 for node in nodes),
        cores=None if blind else sum(node.cores or 0 for node in nodes),
        expires=annex.expires,
        hourly=sum(priced) if dear else None,
        spent=sum(paid) if dear else None,
        oldest=min((node.launched for node in nodes), default=known.now),
        layers=_layers(annex, known),
        nodes=nodes,
    )


def _node_line(
    site: Site, node: Instance, record: Record | None, known: Known
) -> NodeLine:
    there = known.pool.nodes.get(node.id, NodeInPool())
    blind = bool(known.pool.unknown)
    build = node.tags.get(tags.FROM_BUILD, "")
    return NodeLine(
        id=node.id,
        instance_type=node.instance_type,
        zone=node.zone,
        market=node.market,
        state=node.state,
        in_pool=None if blind else node.id in known.pool.nodes,
        claimed=None if blind else there.claimed,
        cores=None if blind else there.cpus,
        identity=there.identity,
        build=build,
        outdated=build not in known.current if build and known.current else None,
        expires=tags.expiry(node.tags),
        launched=node.launched,
        price=annex_ledger.price_of(site, record, node),
    )


def _layers(annex: Annex, known: Known) -> tuple[str, ...]:
    layers = [lease.NODE] if annex.expires is not None else []
    if known.schedules is None:
        layers.append("schedules: not known")
    else:
        count = sum(known.schedules.get(launch, 0) for launch in annex.launches)
        layers += [f"{count} schedules"] if count else []
    return (*layers, lease.REAP)


def _find(
    site: Site, name: str, regions: Sequence[str]
) -> tuple[list[Annex], dict[str, str]]:
    found: list[Annex] = []
    unreachable = {}
    for region in regions:
        try:
            if name:
                annex = annexes.find(site.cloud, region, name)
                found += [annex] if annex.nodes else []
            else:
                found += annexes.find_all(site.cloud, region)
        except AwsError as error:
            unreachable[region] = str(error)
    return found, unreachable


def _schedules(site: Site, region: str) -> list[str] | None:
    """Return the names of the schedules there; a column of a table is no error."""
    try:
        return lease.scheduled(site, region)
    except AwsError:
        return None


def _known(site: Site, name: str, found: Sequence[Annex]) -> Known:
    """Ask everybody else, once each."""
    records = {annex.name: _record(site, annex.name) for annex in found}
    counts: Counter[str] | None = Counter()
    for region in dict.fromkeys(annex.region for annex in found):
        names = _schedules(site, region)
        if names is None or counts is None:
            counts = None
            continue
        counts.update(one.partition("-")[0] for one in names)
    return Known(
        now=site.clock.time(),
        pool=annex_pool.ask(site, name) if found else InPool(),
        records={one: record for one, record in records.items() if record},
        schedules=counts,
        current=_current(site),
    )


def _record(site: Site, name: str) -> Record | None:
    try:
        return annexes.folder(site.state, name).read()
    except AnnexkitError as error:
        site.console.finding(Finding(Level.WARNING, error.what, error.where))
        return None


def _current(site: Site) -> frozenset[str]:
    """Return the builds that are current somewhere; none when nobody can say."""
    try:
        registry = site.registry.read()
    except AnnexkitError:
        return frozenset()
    return frozenset(
        names.current
        for image in registry.images.values()
        for there in image.channels.values()
        for names in there.values()
        if names.current
    )


def _keep(site: Site, found: Sequence[Annex], known: Known) -> None:
    """Note what is seen for the receipt, of the annexes that this checkout knows."""
    for annex in found:
        record = known.records.get(annex.name)
        if record and record.region == annex.region:
            annex_ledger.note(site, annex, known.pool, record)
