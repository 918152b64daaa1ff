"""What ``invoke security-group`` shows: the difference before, the result after."""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.aws import AwsError
from annexkit.errors import Finding, Level
from annexkit.flows.site import Site
from annexkit.setup.groups import Group
from annexkit.setup.rules import Part, Sources
from annexkit.setup.security_group import Fate, Line

COLUMNS = ("fate", "rule", "guide", "id")


@dataclass(frozen=True)
class Plan:
    """The difference that is shown before anything is changed."""

    group: Group
    lines: tuple[Line, ...]
    sources: Sources
    left_out: tuple[Part, ...] = ()

    @property
    def adding(self) -> list[Line]:
        """What is missing."""
        return [line for line in self.lines if line.fate is Fate.ADD]

    @property
    def going(self) -> list[str]:
        """The ids of what is taken back."""
        return [line.id for line in self.lines if line.fate is Fate.BACK]

    @property
    def world(self) -> list[Line]:
        """What was asked for and lets everybody in."""
        return [
            line
            for line in self.lines
            if line.name and line.rule.source in self.sources.world
        ]

    @property
    def undo(self) -> str:
        """The command that takes back what annexkit added to the group."""
        return (
            f"invoke security-group --group {self.group.id} "
            f"--region {self.group.region} --undo"
        )


@dataclass(frozen=True)
class Outcome:
    """What a run came to: ids that it added or took back, and what stopped it."""

    added: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    error: AwsError | None = None


def show(site: Site, plan: Plan) -> None:
    """Show all of the difference before anything is changed."""
    console = site.console
    console.step(f"{plan.group} in {plan.group.region}")
    for note in plan.sources.notes:
        console.finding(note)
    if console.as_json:  # standard output is for the result alone
        for line in plan.lines:
            console.detail(f"{line.fate}: {line.rule}")
    elif plan.lines:
        rows = [(line.fate, line.rule, line.name, line.id) for line in plan.lines]
        console.table(COLUMNS, rows)
    for part in plan.left_out:
        why = part.needless or "it was not chosen"
        console.detail(f"left out, rule {part.number} of the guide, {part.name}: {why}")
    for line in plan.lines:
        if line.fate is Fate.CHANGED:
            console.finding(_changed(plan.group, line))
    for line in plan.world:
        console.finding(_open_to_all(plan, line))


def _changed(group: Group, line: Line) -> Finding:
    return Finding(
        Level.WARNING,
        f"annexkit added {line.id}, and somebody made '{line.rule}' of it: it is left",
        group.id,
        "if nobody needs it: aws ec2 revoke-security-group-ingress "
        f"--region {group.region} --group-id {group.id} "
        f"--security-group-rule-ids {line.id}",
    )


def _open_to_all(plan: Plan, line: Line) -> Finding:
    verb = "WILL BE OPEN" if line.fate is Fate.ADD else "IS OPEN"
    ours = line.fate in (Fate.ADD, Fate.OURS)
    back = f"take it back: {plan.undo}" if ours else "remove the rule, it is yours"
    return Finding(
        Level.WARNING,
        f"{plan.group.id} {verb} TO EVERYBODY ON THE INTERNET: {line.rule}",
        "--world-open",
        f"name the networks you come from with --cidr; {back}",
    )


def report(
    site: Site, plan: Plan, outcome: Outcome, *, undo: bool, dry_run: bool
) -> None:
    """Show what came of the plan: JSON for machines, a line for people."""
    group = plan.group
    data = {
        "region": group.region,
        "group": {"id": group.id, "name": group.name, "vpc": group.vpc},
        "rules": [
            {"fate": x.fate, "rule": str(x.rule), "guide": x.name, "id": x.id}
            for x in plan.lines
        ],
        "left_out": [part.name for part in plan.left_out],
        "world_open": [str(line.rule) for line in plan.world],
        "added": list(outcome.added),
        "taken_back": list(outcome.taken),
        "dry_run": dry_run,
        "error": str(outcome.error) if outcome.error else "",
    }
    said = _undone if undo else _added
    site.console.result(data, said(plan, outcome, dry_run))
    if outcome.error:
        site.console.error(outcome.error)


def _added(plan: Plan, outcome: Outcome, dry_run: bool) -> str:
    count = len(plan.adding)
    if not count:
        return "nothing to do: every rule that was asked for is there"
    if dry_run:
        return f"{count} rules would be added"
    return (
        f"{len(outcome.added)} of {count} rules added to {plan.group.id}; "
        f"what annexkit added there goes by: {plan.undo}"
    )


def _undone(plan: Plan, outcome: Outcome, dry_run: bool) -> str:
    if not plan.going:
        return f"nothing to do: {plan.group.id} has no rule that annexkit added"
    if dry_run:
        return f"{len(plan.going)} rules would be taken back"
    return f"{len(outcome.taken)} rules taken back from {plan.group.id}"
