"""``invoke extend``: let an annex end later, or earlier, than it would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from annexkit import annexes, tags
from annexkit.annexes import Annex, Record
from annexkit.aws import AwsError
from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    Level,
    UsageError,
)
from annexkit.flows import annex_ledger, lease
from annexkit.flows.annex_end import new_end
from annexkit.flows.annex_owner import refuse_foreign
from annexkit.flows.annex_regions import check_alone, regions_of
from annexkit.flows.site import Site
from annexkit.launch import parameter
from annexkit.launch.parameter import Parameter
from annexkit.pool.credentials import new_secret
from annexkit.pool.target import Pool

MARGIN = 600.0  # seconds that a new secret outlives the wait for the nodes


@dataclass(frozen=True)
class ExtendRequest:
    """What was asked for: ``lease`` from now on, or ``until`` a moment (ISO 8601)."""

    annex_name: str
    lease: str = ""
    until: str = ""
    regions: Sequence[str] = ()
    force: bool = False
    dry_run: bool = False


@dataclass
class Extended:
    """What was done in one region; ``waiting`` are nodes that did not say yet so."""

    annex: Annex
    expires: float
    armed: list[lease.Armed] = field(default_factory=list)
    waiting: tuple[str, ...] = ()
    unknown: str = ""
    secrets: list[Parameter] = field(default_factory=list)
    token_expires: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "annex": self.annex.name,
            "region": self.annex.region,
            "expires": int(self.expires),
            "nodes": [one for armed in self.armed for one in armed.ids],
            "gone": [one for armed in self.armed for one in armed.gone],
            "layers": sorted({one for armed in self.armed for one in armed.layers}),
            "waiting": list(self.waiting),
            "unknown": self.unknown,
        }


def extend(site: Site, request: ExtendRequest) -> Exit:
    """Move the end of an annex's lease, in every layer, and see the nodes take it.

    A node that joins by a token gets one that outlives the new end, before the lease
    moves: nodes look for it when they see a later end.

    :returns: PARTLY when the nodes did not say so in time, or cannot be asked.
    :raises UsageError: no such annex, an end that is none, or one above the ceiling.
    :raises PoolError: no token could be made; nothing was changed.
    """
    name = annexes.check_name(request.annex_name)
    expires = new_end(
        request.lease, request.until, site.clock.time(), force=request.force
    )
    record = annexes.folder(site.state, name).read()
    regions = regions_of(site, request.regions, record)
    check_alone(site, name, regions)
    found = [annexes.find(site.cloud, region, name) for region in regions]
    there = [annex for annex in found if annex.nodes]
    if not there:
        raise UsageError(
            f"there is no annex '{name}' in {', '.join(regions)}",
            where="--annex-name",
            mend="see: invoke status",
        )
    end = f"--lease {request.lease}" if request.lease else f"--until {request.until}"
    command = f"invoke extend --annex-name {name} {end}"
    refuse_foreign(site, there, force=request.force, command=command)
    for annex in there:
        _say_what(site, annex, expires, record)
    if request.dry_run:
        return Exit.DONE
    done = [_extend_region(site, annex, expires, record) for annex in there]
    for one in done:
        _remember(site, record, one)
    return _report(site, done)


def _say_what(site: Site, annex: Annex, expires: float, record: Record | None) -> None:
    """Say what is about to happen and what it costs; refuse what is too dear."""
    now, ceiling = site.clock.time(), site.settings.launch.max_hourly_cost
    prices = [annex_ledger.price_of(site, record, node) for node in annex.nodes]
    unknown = sorted(
        {n.instance_type for n, p in zip(annex.nodes, prices, strict=True) if p is None}
    )
    hourly = sum(price or 0.0 for price in prices)
    if ceiling and unknown:
        raise UsageError(
            f"the price of {', '.join(unknown)} is not known, and there is a ceiling",
            where="annexkit.launch.max_hourly_cost",
            mend=f"set annexkit.launch.hourly_price: {unknown[0]}=...",
        )
    if ceiling and hourly > ceiling:
        raise UsageError(
            f"annex {annex.name} costs ${hourly:.2f} an hour, the ceiling is "
            f"${ceiling:.2f}",
            where="annexkit.launch.max_hourly_cost",
            mend="raise the ceiling, or end the annex: "
            f"invoke terminate --annex-name {annex.name}",
        )
    until = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    more = hourly * (expires - now) / annex_ledger.HOUR
    cost = "at a price that is not known" if unknown else f"about ${more:.2f} from now"
    site.console.step(
        f"annex {annex.name} in {annex.region}: {len(annex.nodes)} nodes until "
        f"{until}, {cost}"
    )
    if annex.expires is not None and expires < annex.expires:
        earlier = (annex.expires - expires) / 60
        site.console.detail(f"that is {earlier:.0f} min earlier than it was")


def _extend_region(
    site: Site, annex: Annex, expires: float, record: Record | None
) -> Extended:
    done = Extended(annex, expires)
    _renew_token(site, done, record)
    for launch in annex.launches:
        ids = [n.id for n in annex.nodes if n.tags[tags.LAUNCH] == launch]
        done.armed.append(
            lease.grant(site, annex.region, annex.name, launch, ids, expires=expires)
        )
        _adopt(site, annex, launch)
    _wait_seen(site, done)
    if not (done.waiting or done.unknown):
        for one in done.secrets:
            parameter.delete(site.cloud, annex.region, one.name)
    return done


def _renew_token(site: Site, done: Extended, record: Record | None) -> None:
    """Lay a token that outlives the lease where the nodes look."""
    settings, annex, expires = site.settings, done.annex, done.expires
    now = site.clock.time()
    known = {one.id: one.token_expires for one in (record.launches if record else [])}
    short = [one for one in annex.launches if known.get(one, 0.0) < expires]
    if settings.pool.method != "idtokens" or not short:
        return
    lifetime = expires - now + settings.pool.token_grace
    secret = new_secret(Pool.of(settings.pool), lifetime)
    until = now + _patience(site) + MARGIN
    for launch in short:
        one = Parameter(annex.name, launch, until)
        parameter.put(site.cloud, annex.region, one, secret.text)
        done.secrets.append(one)
    done.token_expires = secret.expires or 0.0
    site.console.detail(f"a new token for the nodes of {annex.name}")


def _patience(site: Site) -> float:
    """Return how long nodes may take to see a new end and to say so in the pool."""
    return 2 * site.settings.launch.lease_poll + site.settings.pool.update_interval


def _wait_seen(site: Site, done: Extended) -> None:
    """Wait until the pool says of every node that it knows its new end."""
    asked = {one for armed in done.armed for one in armed.ids}
    site.console.detail(f"waiting for {len(asked)} nodes to see it")

    seen = lease.wait_seen(site, done.annex.name, asked, done.expires, _patience(site))
    done.unknown, done.waiting = seen.unknown, seen.waiting
    if done.waiting:
        # Who ended meanwhile will not say anything any more.
        now = annexes.find(site.cloud, done.annex.region, done.annex.name)
        left = {node.id for node in now.nodes}
        done.waiting = tuple(one for one in done.waiting if one in left)


def _adopt(site: Site, annex: Annex, launch: str) -> None:
    """Strike the entry of a dead launch: somebody wants its nodes, so no reap does."""
    for entry in site.journal.entries():
        here = entry.region == annex.region and entry.owner.gone
        if here and entry.launch == launch:
            site.journal.close(entry.id)


def _remember(site: Site, record: Record | None, done: Extended) -> None:
    if record is None:
        return
    renewed = {one.launch for one in done.secrets}
    for launch in record.launches:
        if launch.id in done.annex.launches:
            launch.expires = done.expires
        if launch.id in renewed:
            launch.token_expires = done.token_expires
    try:
        annexes.folder(site.state, record.name).write(record)
    except (AnnexkitError, AwsError) as error:
        site.console.finding(Finding(Level.WARNING, error.what, error.where))


def _report(site: Site, done: Sequence[Extended]) -> Exit:
    console = site.console
    for one in done:
        count = sum(len(armed.ids) for armed in one.armed)
        for armed in one.armed[:1]:
            console.detail(f"ended by {', '.join(armed.layers)}")
        if one.unknown:
            console.finding(
                Finding(
                    Level.WARNING,
                    f"whether the {count} nodes saw it is not known: {one.unknown}",
                    one.annex.name,
                    "their tags say the new end; look again: invoke status "
                    f"--annex-name {one.annex.name}",
                )
            )
        elif one.waiting:
            console.finding(
                Finding(
                    Level.WARNING,
                    f"{len(one.waiting)} of {count} nodes did not say yet that they "
                    f"saw it: {', '.join(one.waiting[:5])}",
                    one.annex.name,
                    f"invoke why {one.waiting[0]}",
                )
            )
    said = {"extended": [one.as_json() for one in done]}
    partly = any(one.waiting or one.unknown for one in done)
    console.result(said, "" if partly else "every node knows the new end of its lease")
    return Exit.PARTLY if partly else Exit.DONE
