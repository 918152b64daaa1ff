"""``invoke security-group``: the guide's rules in a group, and the way back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.errors import Exit, UsageError
from annexkit.flows.security_group_report import Outcome, Plan, report, show
from annexkit.flows.site import Site
from annexkit.instances import SETTLE
from annexkit.journal import Entry, this_process
from annexkit.setup import groups, rules, security_group
from annexkit.setup.groups import Group
from annexkit.setup.rules import Part, Sources
from annexkit.setup.security_group import Found

# By the policy that `invoke iam` makes: only groups that an administrator marked.
PERMIT = (
    "have an administrator allow it for this group: aws ec2 create-tags --region "
    f"{{0.region}} --resources {{0.id}} --tags Key={tags.MAY_OPEN},Value=yes "
    "(docs/iam-setup.json)"
)


@dataclass(frozen=True)
class GroupRequest:
    """What was asked for; ``rules`` are names of the guide's rules, with commas."""

    group: str = groups.DEFAULT
    cidrs: tuple[str, ...] = ()
    world_open: bool = False
    rules: str | None = None
    undo: bool = False
    dry_run: bool = False
    region: str = ""


def open_group(site: Site, request: GroupRequest) -> Exit:
    """Show what differs from the guide's rules, and add it, or take back what is ours.

    :returns: DONE, or PARTLY when EC2 refused after some rules were added.
    :raises UsageError: the flags contradict each other, or a source cannot be used.
    :raises NetworkError: the group is not there, is not the only one, or is elsewhere.
    :raises AwsError: EC2 refused, and nothing was changed.
    :raises Deadline: EC2 does not show what it accepted.
    """
    _check_flags(request)
    parts, sources = _asked(request)
    region = request.region or site.settings.bake.regions[0]
    site.cloud.check_regions((region,))
    site.check_account()
    group = groups.choose(
        site.cloud,
        region,
        request.group,
        site.settings.bake.subnet_id,
        anywhere=request.undo,
    )
    found = security_group.look(site.cloud, group)
    if request.undo:
        plan = Plan(group, tuple(security_group.way_back(found)), sources)
    else:
        plan = _difference(site, group, parts, sources, found)
    show(site, plan)
    outcome = Outcome() if request.dry_run else _carry_out(site, plan, found)
    report(site, plan, outcome, undo=request.undo, dry_run=request.dry_run)
    return Exit.PARTLY if outcome.error else Exit.DONE


def _check_flags(request: GroupRequest) -> None:
    if not request.group.strip():
        raise UsageError(
            "the flag was given without a word",
            where="--group",
            mend="name a group, or leave the flag out for the default group",
        )
    asks = request.cidrs or request.world_open or request.rules is not None
    if request.undo and asks:
        raise UsageError(
            "--undo takes back all that was added to the group, whatever its source",
            where="--undo",
            mend="leave --cidr, --world-open and --rules out",
        )


def _asked(request: GroupRequest) -> tuple[tuple[Part, ...], Sources]:
    """Return the rules and the sources that were asked for; none of both to undo."""
    if request.undo:
        return (), Sources(())
    parts = rules.chosen(request.rules)
    named = rules.sources(request.cidrs, parts, world_open=request.world_open)
    return parts, named


def _difference(
    site: Site,
    group: Group,
    parts: tuple[Part, ...],
    sources: Sources,
    found: Sequence[Found],
) -> Plan:
    vpc: tuple[str, ...] = ()
    if any(part.source == "vpc" for part in parts):
        vpc = groups.vpc_cidrs(site.cloud, group)
    wanted = rules.wanted(parts, sources.cidrs, group=group.id, vpc=vpc)
    left_out = tuple(part for part in rules.GUIDE if part not in parts)
    lines = security_group.difference(wanted, found)
    return Plan(group, tuple(lines), sources, left_out)


def _carry_out(site: Site, plan: Plan, found: Sequence[Found]) -> Outcome:
    """Do what the plan says, journalled first; nothing to do is no call."""
    outcome = Outcome()
    if plan.adding or plan.going:
        entry = site.journal.write(_entry(site, plan.group))
        try:
            if plan.adding:
                outcome = _add(site, plan, {one.id for one in found})
            else:
                outcome = _take_back(site, plan)
        except AwsError as error:
            if error.refused:
                site.journal.close(entry.id)
            if error.code == "UnauthorizedOperation":
                error.mend = PERMIT.format(plan.group)
            raise
        if outcome.error is None or outcome.error.refused:
            site.journal.close(entry.id)
    _strike_dead(site, plan.group)
    return outcome


def _add(site: Site, plan: Plan, before: set[str]) -> Outcome:
    """Add rules until EC2 refuses one; what was added by then is ours to take back.

    :param before: the ids of the rules that were there.
    :raises AwsError: EC2 refused before any was added.
    """
    made = []
    failed: AwsError | None = None
    for line in plan.adding:
        try:
            if security_group.add(site.cloud, plan.group, line.rule, line.name):
                made.append(line.rule)
            else:
                site.console.detail(f"{line.rule}: it is there by now")
        except AwsError as error:
            if not made:
                raise
            failed = error
            break
    now = security_group.wait_added(
        site.cloud, plan.group, made, poll=site.settings.poll, clock=site.clock
    )
    # A call whose answer was lost, sent again, hears "there already" of its own rule.
    new = tuple(one.id for one in now if one.ours and one.id not in before)
    return Outcome(added=new, error=failed)


def _take_back(site: Site, plan: Plan) -> Outcome:
    taken = security_group.take_back(
        site.cloud, plan.group, plan.going, poll=site.settings.poll, clock=site.clock
    )
    return Outcome(taken=tuple(taken))


def _entry(site: Site, group: Group) -> Entry:
    now = site.clock.time()
    return Entry.model_validate(
        {
            "id": f"rules-{group.id}-{secrets.token_hex(4)}",
            "kind": "rules",
            "account": site.cloud.account,
            "endpoint": site.cloud.endpoint,
            "region": group.region,
            "image": "",
            "build": "",
            "owner": this_process(),
            "created": now,
            "deadline": now + SETTLE,
            "tags": {"group": group.id},
        }
    )


def _strike_dead(site: Site, group: Group) -> None:
    """Strike what a killed run left in the journal: the tags told the rest of it."""
    whose = (site.cloud.account, site.cloud.endpoint, group.region)
    for entry in site.journal.entries():
        of = (entry.account, entry.endpoint, entry.region)
        same = entry.kind == "rules" and entry.tags.get("group") == group.id
        if same and of == whose and entry.owner.gone:
            site.journal.close(entry.id)
