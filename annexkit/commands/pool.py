"""Tasks for the pool's own hosts.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(
    name="config",
    help={
        "from": "mend this file of the 2016 guide alone: what works goes beside it",
        "htcondor": "print for a host with this version, and touch nothing here",
        "write": "write it without asking",
        "undo": "take the file away again",
        "json": "print as JSON",
    },
)
@reported
def pool_config(
    c: Context,
    htcondor: str = "",
    write: bool = False,
    undo: bool = False,
    json: bool = False,
    from_: str = "",
) -> int:
    """Write what a host of the pool needs so that annexes can join; shows it first."""
    from annexkit.flows.pool_config import ConfigRequest, configure

    request = ConfigRequest(htcondor, write, undo, from_)
    return configure(site_of(c, json), request)


@task(name="secret", help={"replace": "put a new one in the place of the old"})
@reported
def pool_secret(c: Context, replace: bool = False) -> int:
    """Store the pool password on this host; it is read from standard input."""
    from annexkit.flows.pool_secret import store

    return store(site_of(c), replace=replace)


@task(
    name="check",
    help={
        "from": "look at this file of the 2016 guide alone; no pool is asked",
        "json": "print as JSON",
    },
)
@reported
def pool_check(c: Context, json: bool = False, from_: str = "") -> int:
    """Say what is missing on a live pool before annexes can join it."""
    from annexkit.flows.pool_check import check, check_guide

    site = site_of(c, json)
    return check_guide(site, from_) if from_ else check(site)
