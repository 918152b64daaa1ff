"""Tasks of an annex, from its launch to its end.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context, task

from annexkit.commands.shared import reported, site_of

if TYPE_CHECKING:
    from annexkit.flows.site import Site

LAUNCH_HELP = {
    "annex-name": "the annex (launch.annex_name)",
    "count": "how many nodes (launch.count)",
    "image": "the recipe whose AMI is launched (bake.image)",
    "channel": "current, previous or candidate (launch.channel)",
    "region": "where (the first of bake.regions)",
    "instance-type": "types, the first choice first (launch.instance_types)",
    "market": "on-demand, spot or spot-then-on-demand (launch.market)",
    "lease": "when it ends whatever happens: 90m, 2h (launch.lease)",
    "idle": "how long a node may be unclaimed (launch.idle)",
    "owner": "whose annex it is (launch.owner)",
    "max-hourly-cost": "no launch above so many dollars an hour",
    "canary": "one node first, through to the pool, then the rest",
    "dry-run": "plan, ask EC2 whether it would, and stop",
    "json": "print the result as JSON",
}


def _named(site: Site, given: str | None) -> str:
    """Return the annex of a flag, else of the settings.

    A flag without a word is passed on: an empty variable of a shell is no annex's name.
    """
    return site.settings.launch.annex_name if given is None else given


@task(help=LAUNCH_HELP)
@reported
def launch(
    c: Context,
    annex_name: str | None = None,
    count: str | None = None,
    image: str = "",
    channel: str | None = None,
    region: str = "",
    instance_type: str | None = None,
    market: str | None = None,
    lease: str | None = None,
    idle: str | None = None,
    owner: str | None = None,
    max_hourly_cost: str | None = None,
    canary: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Start an annex: launch nodes, verify them, see them in the pool, lease them."""
    from annexkit.flows.launch_annex import launch_annex
    from annexkit.flows.launch_request import LaunchRequest

    given = {
        "annex_name": annex_name,
        "count": count,
        "channel": channel,
        "instance_types": instance_type,
        "market": market,
        "lease": lease,
        "idle": idle,
        "owner": owner,
        "max_hourly_cost": max_hourly_cost,
    }
    flags = {name: value for name, value in given.items() if value is not None}
    request = LaunchRequest(flags, image, region, canary, dry_run)
    return launch_annex(site_of(c, json), request)


@task(
    help={
        "annex-name": "the annex (launch.annex_name)",
        "region": "where it is",
        "json": "print as JSON",
    }
)
@reported
def verify(
    c: Context, annex_name: str | None = None, region: str = "", json: bool = False
) -> int:
    """Check every node of an annex again, over SSH and in the pool."""
    from annexkit.flows.verify_annex import verify_annex

    site = site_of(c, json)
    return verify_annex(site, _named(site, annex_name), region)


@task(
    positional=["instance"],
    help={"region": "where it is", "json": "print as JSON"},
)
@reported
def why(c: Context, instance: str, region: str = "", json: bool = False) -> int:
    """Say why a node is not in the pool: the first broken step, and its mend."""
    from annexkit.flows.why import why

    return why(site_of(c, json), instance, region)


@task(
    help={
        "annex-name": "one annex, node by node; all annexes by default",
        "region": "where to look; several by repeating it or with commas",
        "json": "print as JSON",
    },
    iterable=["region"],
)
@reported
def status(
    c: Context, region: list[str], annex_name: str = "", json: bool = False
) -> int:
    """Show annexes: instances, pool, lease and money in one table."""
    from annexkit.flows.annex_status import show_status

    return show_status(site_of(c, json), annex_name, tuple(region))


@task(
    help={
        "annex-name": "the annex (launch.annex_name)",
        "lease": "how long it lives from now: 3h",
        "until": "or until when: 2026-11-23T18:00Z",
        "region": "where it is",
        "force": "allow an end that is very near, or somebody else's annex",
        "dry-run": "say what would change",
        "json": "print as JSON",
    },
    iterable=["region"],
)
@reported
def extend(
    c: Context,
    region: list[str],
    annex_name: str | None = None,
    lease: str = "",
    until: str = "",
    force: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Move the end of an annex's lease: tags, schedules, tokens, nodes' timers."""
    from annexkit.flows.annex_extend import ExtendRequest
    from annexkit.flows.annex_extend import extend as move

    site = site_of(c, json)
    name = _named(site, annex_name)
    request = ExtendRequest(name, lease, until, tuple(region), force, dry_run)
    return move(site, request)


@task(
    help={
        "annex-name": "the annex, its whole name",
        "region": "where it is",
        "yes": "do not ask",
        "drain": "let running jobs end first",
        "force": "although it is somebody else's annex",
        "json": "print the receipt as JSON",
    },
    iterable=["region"],
)
@reported
def terminate(
    c: Context,
    region: list[str],
    annex_name: str | None = None,
    yes: bool = False,
    drain: bool = False,
    force: bool = False,
    json: bool = False,
) -> int:
    """End an annex now, with all that belongs to it, and print its receipt."""
    from annexkit.flows.annex_terminate import TerminateRequest
    from annexkit.flows.annex_terminate import terminate as end

    site = site_of(c, json)
    name = _named(site, annex_name)
    return end(site, TerminateRequest(name, tuple(region), yes, drain, force))


@task(
    help={
        "annex-name": "the annex (launch.annex_name)",
        "region": "where it is or was",
        "json": "print as JSON",
    },
    iterable=["region"],
)
@reported
def receipt(
    c: Context, region: list[str], annex_name: str | None = None, json: bool = False
) -> int:
    """Show what an annex came to: node-hours, claimed hours, cost, failures."""
    from annexkit.flows.annex_receipt import show_receipt

    site = site_of(c, json)
    name = _named(site, annex_name)
    return show_receipt(site, name, tuple(region))


@task(
    help={
        "annex-name": "one or several, with commas (launch.annex_name)",
        "region": "where they are",
        "timeout": "how long to wait: 30m",
        "json": "print as JSON",
    }
)
@reported
def watch(
    c: Context,
    annex_name: str = "",
    region: str = "",
    timeout: str = "1h",
    json: bool = False,
) -> int:
    """Wait until annexes have ended, and say how each node did."""
    from annexkit.flows.annex_watch import watch as look
    from annexkit.settings import duration_flag, split_flag

    site = site_of(c, json)
    default = (site.settings.launch.annex_name,)
    names = split_flag(annex_name or None, default, where="--annex-name")
    return look(site, names, region, duration_flag(timeout, where="--timeout"))


@task(
    help={
        "region": "where; the first of bake.regions by default",
        "all-regions": "the roles too, although other regions may use them",
        "yes": "do not ask",
        "dry-run": "list only",
        "json": "print as JSON",
    },
    iterable=["region"],
)
@reported
def teardown(
    c: Context,
    region: list[str],
    all_regions: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Remove what annexes share: security group, roles, profile, schedule group."""
    from annexkit.flows.teardown import teardown as remove

    site = site_of(c, json)
    return remove(site, tuple(region), everywhere=all_regions, yes=yes, dry_run=dry_run)
