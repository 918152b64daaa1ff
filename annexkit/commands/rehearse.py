"""Tasks of the cloud on this machine.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

import os

from invoke import Context, task

from annexkit.commands import shared
from annexkit.commands.shared import reported, site_of

# HTCondor's own are made for thousands of machines; a rehearsal has a few.
POOL_INTERVALS = {
    "NEGOTIATOR_CYCLE_DELAY": "1",
    "NEGOTIATOR_INTERVAL": "3",
    "NEGOTIATOR_MIN_INTERVAL": "1",
    "SCHEDD_INTERVAL": "3",
    "SCHEDD_MIN_INTERVAL": "1",
}


# What an administrator has configured long before annexkit comes.
POOL_PATH = "/etc/condor/config.d/10-pool.config"
POOL_CONFIG = """\
use ROLE: CentralManager
use ROLE: Submit
CONDOR_HOST = cm.pool.test
UID_DOMAIN = pool.test
TRUST_DOMAIN = pool.test
"""


def pool_files(htcondor: str, method: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return what `invoke pool.config` would write on the rehearsal's pool host.

    With the pool password there is a second set, for root alone: a new password, in
    the form that `invoke pool.secret` stores.
    """
    import secrets
    from typing import cast

    from annexkit.pool.config import render
    from annexkit.pool.password import scrambled
    from annexkit.pool.target import Method, Pool
    from annexkit.rehearsal.pool_host import DOMAIN
    from annexkit.sections import PoolSettings

    pool = Pool(
        host=f"cm.{DOMAIN}",
        method=cast(Method, method),
        trust_domain=DOMAIN,
        uid_domain=DOMAIN,
        identity=f"annex@{DOMAIN}",
        password_file=PoolSettings().password_file,
    )
    files = render(f"{htcondor}.0", {"cm", "ap"}, pool, fast=POOL_INTERVALS)
    files |= {POOL_PATH: POOL_CONFIG}
    hidden = {pool.password_file: scrambled(secrets.token_urlsafe(24))}
    return files, hidden if method == "password" else {}


@task(
    name="pool",
    help={
        "htcondor": "23.9 or 25.14, from the distribution",
        "method": "idtokens or password (pool.method)",
        "down": "take it down instead",
    },
)
@reported
def rehearsal_pool(
    c: Context, htcondor: str = "25.14", method: str = "", down: bool = False
) -> None:
    """Bring up a real pool in the rehearsal: central manager and access point."""
    from annexkit.rehearsal import condor_pool, control

    site = site_of(c)
    settings = site.settings.rehearsal
    if down:
        there = condor_pool.pool_down(settings, shared.ROOT)
        site.console.step("the pool is down" if there else "no pool was up")
        return
    control.running(settings, shared.ROOT)
    wanted = method or site.settings.pool.method
    files, hidden = pool_files(htcondor, wanted)
    for name, seconds in POOL_INTERVALS.items():
        site.console.detail(f"{name} = {seconds} (shorter than HTCondor's own)")
    host = condor_pool.pool_up(
        settings,
        shared.ROOT,
        cache=site.cache,
        htcondor=htcondor,
        files=files,
        secrets=hidden,
        method=wanted,
        progress=site.console.step,
    )
    site.console.step(f"the pool is up: HTCondor {host.version} at {host.collector}")


@task(
    name="jobs",
    help={"annex-name": "the annex to run on", "count": "how many jobs"},
)
@reported
def rehearsal_jobs(c: Context, annex_name: str = "", count: int = 4) -> None:
    """Run real jobs on an annex, submitted by an ordinary user of the pool."""
    from annexkit.rehearsal import condor_pool, pool_jobs

    site = site_of(c)
    host = condor_pool.standing(site.settings.rehearsal, shared.ROOT)
    name = annex_name or site.settings.launch.annex_name
    found = pool_jobs.jobs(host, count, name)
    rows = [(job.id, job.node, job.exit_code, job.output) for job in found]
    site.console.table(("job", "node", "exit code", "output"), rows)


@task(name="up")
@reported
def rehearsal_up(c: Context) -> None:
    """Bring up the rehearsal: EC2's API and real machines, on this machine."""
    from annexkit.rehearsal import control

    site = site_of(c)
    found = control.up(
        site.settings.rehearsal,
        shared.ROOT,
        cache=site.cache,
        progress=site.console.step,
    )
    site.console.step(f"the rehearsal is up: EC2 answers at {found.endpoint}")


@task(name="down")
@reported
def rehearsal_down(c: Context) -> None:
    """Take the rehearsal down: its machines, images, network and server."""
    from annexkit.rehearsal import control

    site = site_of(c)
    there = control.down(site.settings.rehearsal, shared.ROOT)
    site.console.step("the rehearsal is down" if there else "no rehearsal was up")


@task(name="status", help={"json": "print as JSON"})
@reported
def rehearsal_status(c: Context, json: bool = False) -> None:
    """Say whether the rehearsal is up, and which machines and images it has."""
    from annexkit.rehearsal import control, report

    site = site_of(c, json)
    report.show(control.status(site.settings.rehearsal, shared.ROOT), site.console)


@task(name="env")
@reported
def rehearsal_env(c: Context) -> None:
    """Print the environment that points annexkit at the rehearsal, for eval."""
    import shlex

    from annexkit.rehearsal import control

    found = control.running(site_of(c).settings.rehearsal, shared.ROOT)
    for name, value in control.environment(found).items():
        print(f"export {name}={shlex.quote(value)}")


@task(name="console", positional=["instance"])
@reported
def rehearsal_console(c: Context, instance: str) -> None:
    """Print a machine's console, as GetConsoleOutput gives it."""
    from annexkit.rehearsal import control

    print(control.console(site_of(c).settings.rehearsal, shared.ROOT, instance), end="")


@task(name="shell", positional=["instance"])
@reported
def rehearsal_shell(c: Context, instance: str) -> None:
    """Open a root shell on a machine of the rehearsal."""
    from annexkit.rehearsal import control

    command = control.shell(site_of(c).settings.rehearsal, shared.ROOT, instance)
    os.execvp(command[0], command)
