"""``invoke terminate``: end an annex, whoever launched it and wherever from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from annexkit import annexes, instances
from annexkit.annexes import Annex, AnnexFolder, Record
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Exit, Finding, Interrupted, Level
from annexkit.flows import annex_pool, annex_receipt, lease
from annexkit.flows.annex_drain import drain
from annexkit.flows.annex_owner import refuse_foreign
from annexkit.flows.annex_regions import check_alone, regions_of
from annexkit.flows.asking import confirmed
from annexkit.flows.site import Site
from annexkit.journal import Entry, this_process
from annexkit.launch import parameter, schedule
from annexkit.stopping import Stop
from annexkit.waiting import Deadline, wait_for

BATCH = 100  # instances of one TerminateInstances call
ENDING = 300.0  # seconds until all of them have to be shutting down
SETTLE = 60.0  # seconds that EC2 may hide what it has accepted


@dataclass(frozen=True)
class TerminateRequest:
    """What was asked for; ``drain`` lets running jobs end first."""

    annex_name: str
    regions: Sequence[str] = ()
    yes: bool = False
    drain: bool = False
    force: bool = False

    @property
    def command(self) -> str:
        """The command that asks for the same, without a question."""
        words = ["invoke terminate", "--annex-name", self.annex_name]
        words += [f"--region {region}" for region in self.regions]
        return " ".join([*words, *(["--drain"] if self.drain else []), "--yes"])


@dataclass
class Ended:
    """What was done, for the report; ``problems`` by what resists."""

    annex: str
    regions: tuple[str, ...]
    nodes: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    receipt: annex_receipt.Receipt | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "annex": self.annex,
            "regions": list(self.regions),
            "terminated": self.nodes,
            "schedules": self.schedules,
            "secrets": self.secrets,
            "problems": self.problems,
            "receipt": self.receipt.as_json() if self.receipt else None,
        }


def terminate(site: Site, request: TerminateRequest) -> Exit:
    """End every node of the annex of exactly this name, and what belongs to it.

    Nothing here needs the state folder: nodes, schedules and secrets are found by tags
    and names. Asked again when all is gone, it says so and is done.

    :returns: PARTLY when something resists.
    :raises UsageError: no such name can be, a launch of it is running here, or nobody
        is there to ask.
    :raises Interrupted: with the command that does the rest.
    """
    name = annexes.check_name(request.annex_name)
    folder = annexes.folder(site.state, name)
    record = _record(site, folder)
    regions = regions_of(site, request.regions, record)
    check_alone(site, name, regions)
    found = [annexes.find(site.cloud, region, name) for region in regions]
    refuse_foreign(site, found, force=request.force, command=request.command)
    count = sum(len(annex.nodes) for annex in found)
    if count and not _confirmed(site, request, found):
        return Exit.DONE
    done = Ended(name, regions)
    try:
        for annex in found:
            _end_region(site, annex, request, done, record)
    except Stop as stop:
        raise Interrupted(
            f"stopped by {stop.name}; {len(done.nodes)} of {count} nodes were ended",
            mend=request.command,
        ) from None
    if not done.problems and (record is None or record.region in regions):
        folder.remove()
    return _report(site, done)


def _record(site: Site, folder: AnnexFolder) -> Record | None:
    """Read the record if it can be: nothing here depends on it."""
    try:
        return folder.read()
    except AnnexkitError as error:
        site.console.finding(Finding(Level.WARNING, error.what, error.where))
        return None


def _confirmed(site: Site, request: TerminateRequest, found: list[Annex]) -> bool:
    for annex in found:
        if annex.nodes:
            what = f"{len(annex.nodes)} nodes of annex {annex.name}"
            site.console.step(f"{what} in {annex.region} are to end")
    return confirmed(
        f"End annex {request.annex_name}?",
        yes=request.yes,
        what="an annex would be ended",
        mend=request.command,
    )


def _end_region(
    site: Site,
    annex: Annex,
    request: TerminateRequest,
    done: Ended,
    record: Record | None,
) -> None:
    entries = [_journal(site, annex, launch) for launch in annex.launches]
    if annex.nodes:
        pool = annex_pool.ask(site, annex.name)
        if request.drain:
            drain(site, annex)
            pool = annex_pool.ask(site, annex.name)
        _end_nodes(site, annex, done)
        _bill(site, annex, pool, done, record)
    _clean(site, annex, done, record)
    if not done.problems:
        for entry in entries:
            site.journal.close(entry.id)
        _close_dead(site, annex)


def _journal(site: Site, annex: Annex, launch: str) -> Entry:
    """Write that this launch is to end: killed now, and a reap does the rest."""
    now = site.clock.time()
    return site.journal.write(
        Entry(
            id=f"{launch}-end-{annex.region}",
            kind="launch",
            account=site.cloud.account,
            endpoint=site.cloud.endpoint,
            region=annex.region,
            image="",
            build="",
            owner=this_process(),
            created=now,
            deadline=now + ENDING,
            launch=launch,
            annex=annex.name,
            tags={},
        )
    )


def _end_nodes(site: Site, annex: Annex, done: Ended) -> None:
    """Terminate, and look again until EC2 shows none that is not ending."""

    def ended() -> bool:
        left = [n.id for n in annexes.find(site.cloud, annex.region, annex.name).nodes]
        fresh = [one for one in left if one not in done.problems]
        _terminate(site, annex.region, fresh, done)
        return not fresh

    _terminate(site, annex.region, [node.id for node in annex.nodes], done)
    try:
        wait_for(
            ended,
            what=f"the end of annex {annex.name} in {annex.region}",
            timeout=ENDING,
            poll=site.settings.poll,
            clock=site.clock,
        )
    except Deadline as error:
        done.problems[f"annex {annex.name} in {annex.region}"] = error.what


def _terminate(site: Site, region: str, ids: Sequence[str], done: Ended) -> None:
    for start in range(0, len(ids), BATCH):
        _terminate_batch(site, region, ids[start : start + BATCH], done)


def _terminate_batch(site: Site, region: str, ids: Sequence[str], done: Ended) -> None:
    try:
        instances.terminate(site.cloud, region, ids)
    except AwsError as error:
        if len(ids) == 1 or not error.refused:
            done.problems |= dict.fromkeys(ids, str(error))
            return
        # EC2 ends all of a request or none: find the ones that resist.
        for one in ids:
            _terminate_batch(site, region, [one], done)
        return
    known = set(done.nodes)
    done.nodes += [one for one in ids if one not in known]


def _bill(
    site: Site,
    annex: Annex,
    pool: annex_pool.InPool,
    done: Ended,
    record: Record | None,
) -> None:
    """Make the receipt; it may never stop the end of an annex."""
    try:
        now = annexes.find(site.cloud, annex.region, annex.name, ended=True)
        done.receipt = annex_receipt.make(site, now, pool, record)
        annex_receipt.keep(site, done.receipt)
    except AnnexkitError as error:
        site.console.finding(
            Finding(Level.WARNING, f"no receipt: {error.what}", annex.name)
        )


def _clean(site: Site, annex: Annex, done: Ended, record: Record | None) -> None:
    """Delete what belongs to the annex besides its nodes; all of it may be gone."""
    try:
        for one in parameter.listed(site.cloud, annex.region, annex.name):
            parameter.delete(site.cloud, annex.region, one.name)
            done.secrets.append(one.name)
    except AwsError as error:
        done.problems[f"secrets in {annex.region}"] = str(error)
    try:
        for launch in _launches(site, annex, record):
            names = lease.scheduled(site, annex.region, launch) or []
            ids = [name.removeprefix(f"{launch}-") for name in names]
            schedule.disarm(site.cloud, annex.region, launch, ids)
            done.schedules += names
    except AwsError as error:
        done.problems[f"schedules in {annex.region}"] = str(error)


def _launches(site: Site, annex: Annex, record: Record | None) -> list[str]:
    """Return the launches it had; EC2 shows ended nodes for about an hour."""
    seen = annexes.find(site.cloud, annex.region, annex.name, ended=True)
    known = [launch.id for launch in record.launches] if record else []
    return sorted({*annex.launches, *seen.launches, *known})


def _close_dead(site: Site, annex: Annex) -> None:
    """Strike the entries of dead launches of the annex, when EC2 hides no more."""
    now = site.clock.time()
    for entry in site.journal.entries():
        mine = entry.annex == annex.name and entry.region == annex.region
        if mine and entry.owner.gone and now > entry.deadline + SETTLE:
            site.journal.close(entry.id)


def _report(site: Site, done: Ended) -> Exit:
    console = site.console
    for what, why in done.problems.items():
        console.finding(Finding(Level.ERROR, why, what, "invoke reap, or this again"))
    if console.as_json:
        console.result(done.as_json())
    elif not (done.nodes or done.problems or done.secrets or done.schedules):
        where = ", ".join(done.regions)
        console.result({}, f"there is no annex '{done.annex}' in {where}")
    else:
        console.result(
            {}, f"annex {done.annex} is ended: {len(done.nodes)} nodes terminated"
        )
        if done.receipt:
            annex_receipt.show(site, done.receipt)
    return Exit.PARTLY if done.problems else Exit.DONE
