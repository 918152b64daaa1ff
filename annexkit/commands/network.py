"""Tasks for who may reach hosts in EC2.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(
    help={
        "group": "its id or its name; the default group of the VPC else",
        "cidr": "who may come in; several by repeating it or with commas",
        "world-open": "let everybody on the internet in, as the guide does",
        "rules": "of the guide's six: self,vpc,ssh,icmp,condor-udp,condor or all; "
        "self,ssh,condor else",
        "undo": "take back what annexkit added to the group, and nothing else",
        "dry-run": "show what differs and stop",
        "region": "where; the first of bake.regions by default",
        "json": "print as JSON",
    },
    iterable=["cidr"],
)
@reported
def security_group(
    c: Context,
    cidr: list[str],
    group: str = "default",
    world_open: bool = False,
    rules: str | None = None,
    undo: bool = False,
    dry_run: bool = False,
    region: str = "",
    json: bool = False,
) -> int:
    """Add the guide's rules to a security group, for networks you name; or undo it."""
    from annexkit.flows.security_group import GroupRequest, open_group

    request = GroupRequest(
        group=group,
        cidrs=tuple(cidr),
        world_open=world_open,
        rules=rules,
        undo=undo,
        dry_run=dry_run,
        region=region,
    )
    return open_group(site_of(c, json), request)
