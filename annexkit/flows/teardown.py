"""``invoke teardown``: remove what all annexes share, once there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from annexkit import annexes, network
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Exit, Finding, Level, raise_on_errors
from annexkit.flows.asking import confirmed
from annexkit.flows.site import Site
from annexkit.launch import group, parameter, roles, schedule
from annexkit.launch.policies import node_role, scheduler_role
from annexkit.launch.roles import RoleError
from annexkit.settings import split_flag

HELD = 600.0  # seconds that an ended instance may hold its security group
COLUMNS = ("fate", "kind", "region", "id", "reason")
NOWHERE = "-"  # the region of what has none

Kind = Literal["schedule", "schedule-group", "parameter", "security-group", "iam-role"]


@dataclass(frozen=True)
class Part:
    """One thing of the set; ``reason`` says why it stays, and is empty when it goes."""

    kind: Kind
    region: str
    id: str
    reason: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The part as a row of the table."""
        fate = "keep" if self.reason else "remove"
        return (fate, self.kind, self.region, self.id, self.reason)


def teardown(
    site: Site,
    regions: Sequence[str] = (),
    *,
    everywhere: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> Exit:
    """Show the set that annexes share, and remove it.

    :param regions: where; the first of ``bake.regions`` by default.
    :param everywhere: remove the IAM roles even when another region still has a group.
    :returns: DONE, or PARTLY when something resists or a region could not be asked.
    :raises FindingsError: an annex lives, or a launch may be under way.
    """
    chosen = split_flag(",".join(regions), ()) if regions else ()
    site.cloud.check_regions(chosen)
    site.check_account()
    chosen = chosen or site.settings.bake.regions[:1]
    looked, unreachable = _others(site, chosen)
    raise_on_errors(_in_use(site, [*chosen, *looked]))
    keep_roles = _reason_to_keep_roles(looked, unreachable, everywhere)
    parts = _survey(site, chosen, keep_roles)
    doomed = [part for part in parts if not part.reason]
    removed: list[Part] = []
    failed: dict[str, str] = {}
    if doomed and not dry_run and _agreed(site, parts, len(doomed), yes=yes):
        # Somebody may have launched while the question stood.
        raise_on_errors([] if yes else _in_use(site, [*chosen, *looked]))
        removed, failed = _remove_all(site, doomed)
    _report(site, parts, removed, failed, listed=bool(doomed) and not dry_run)
    for region, reason in unreachable.items():
        site.console.finding(Finding(Level.WARNING, reason, region, "run this again"))
    return Exit.PARTLY if failed or unreachable else Exit.DONE


def _agreed(site: Site, parts: list[Part], count: int, *, yes: bool) -> bool:
    if not site.console.as_json:
        site.console.table(COLUMNS, [part.row for part in parts])
    return confirmed(
        f"Remove these {count} things?",
        yes=yes,
        what=f"{count} things would be removed",
        mend="invoke teardown --yes",
    )


def _others(
    site: Site, chosen: Sequence[str]
) -> tuple[dict[str, bool], dict[str, str]]:
    """Say of every other region that may have annexes whether it has our group.

    :returns: that, by region, and why some could not be asked.
    """
    known = {
        *site.settings.bake.regions,
        *(region for region, _ in site.registry.read().amis()),
        *(e.region for e in site.journal.entries() if e.kind == "launch"),
    }
    looked: dict[str, bool] = {}
    unreachable = {}
    for region in sorted(known - set(chosen)):
        try:
            looked[region] = any(g.ours for g in group.find(site.cloud, region))
        except AwsError as error:
            unreachable[region] = str(error)
    return looked, unreachable


def _reason_to_keep_roles(
    looked: dict[str, bool], unreachable: dict[str, str], everywhere: bool
) -> str:
    if everywhere:
        return ""
    with_group = [region for region, there in looked.items() if there]
    if with_group:
        return f"annexes may start in {', '.join(with_group)}; --all-regions removes it"
    if unreachable:
        return f"{', '.join(unreachable)} could not be asked; --all-regions removes it"
    return ""


def _in_use(site: Site, regions: Iterable[str]) -> list[Finding]:
    """Return an error for each annex that lives and each launch under way."""
    found = [
        Finding(
            Level.ERROR,
            f"annex {annex.name} has {len(annex.nodes)} nodes",
            region,
            f"invoke terminate --annex-name {annex.name} --region {region}",
        )
        for region in regions
        for annex in annexes.find_all(site.cloud, region)
    ]
    whose = (site.cloud.account, site.cloud.endpoint)
    return found + [
        Finding(
            Level.ERROR,
            f"annex {e.annex} is being launched (pid {e.owner.pid})",
            e.region,
            f"wait until it is, or end it, it cleans up: kill {e.owner.pid}",
        )
        for e in site.journal.entries()
        if (e.account, e.endpoint) == whose and e.kind == "launch" and e.owner.alive
    ]


def _survey(site: Site, chosen: Iterable[str], keep_roles: str) -> list[Part]:
    """Return what is there of the set, in an order in which it can go."""
    parts: list[Part] = []
    first = ""
    for region in chosen:
        first = first or region
        names = schedule.names(site.cloud, region)
        parts += [Part("schedule", region, name) for name in names]
        if schedule.group_state(site.cloud, region):
            parts.append(Part("schedule-group", region, schedule.GROUP))
        parts += _parameters(site, region)
        parts += [
            Part("security-group", region, g.id, "" if g.ours else "not annexkit's")
            for g in group.find(site.cloud, region)
        ]
    for role in (node_role(site.cloud, first), scheduler_role(site.cloud, first)):
        try:
            if roles.anything(site.cloud, first, role):
                parts.append(Part("iam-role", NOWHERE, role.name, keep_roles))
        except RoleError as error:
            parts.append(Part("iam-role", NOWHERE, role.name, error.what))
    return parts


def _parameters(site: Site, region: str) -> Iterator[Part]:
    """Yield the leftover secrets; one within its time may be a launch's elsewhere."""
    for secret in parameter.listed(site.cloud, region):
        fresh = (secret.expires or 0.0) > site.clock.time()
        yield Part(
            "parameter",
            region,
            secret.name,
            f"until {datetime.fromtimestamp(secret.expires or 0, UTC):%H:%M} UTC a "
            "launch may use it"
            if fresh
            else "",
        )


def _remove_all(
    site: Site, doomed: Iterable[Part]
) -> tuple[list[Part], dict[str, str]]:
    """Remove parts; one that resists is told and stops no other."""
    removed = []
    failed = {}
    for part in doomed:
        try:
            _remove(site, part)
            removed.append(part)
        except AnnexkitError as error:
            failed[part.id] = str(error)
    return removed, failed


def _remove(site: Site, part: Part) -> None:
    cloud, region = site.cloud, part.region
    poll, clock = site.settings.poll, site.clock
    if part.kind == "schedule":
        schedule.delete(cloud, region, part.id)
    elif part.kind == "schedule-group":
        schedule.delete_group(cloud, region, poll=poll, clock=clock)
    elif part.kind == "parameter":
        parameter.delete(cloud, region, part.id)
    elif part.kind == "security-group":
        network.delete_group(
            cloud, region, part.id, timeout=HELD, poll=poll, clock=clock
        )
    else:
        home = site.settings.bake.regions[0]  # IAM is the same in all of a partition
        wanted = (node_role(cloud, home), scheduler_role(cloud, home))
        for role in wanted:
            if role.name == part.id:
                roles.remove(cloud, home, role)


def _report(
    site: Site,
    parts: list[Part],
    removed: list[Part],
    failed: dict[str, str],
    *,
    listed: bool,
) -> None:
    console = site.console
    if console.as_json:
        console.result(
            {
                "found": [dict(zip(COLUMNS, p.row, strict=True)) for p in parts],
                "removed": [p.id for p in removed],
                "failed": failed,
            }
        )
        return
    for part in removed:
        console.step(f"removed {part.kind} {part.id}")
    for what, error in failed.items():
        console.finding(Finding(Level.ERROR, error, what, "invoke teardown"))
    if not listed:
        if parts:
            console.table(COLUMNS, [part.row for part in parts])
        count = sum(not part.reason for part in parts)
        console.result({}, f"{count or 'no'} things to remove")
