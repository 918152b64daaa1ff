"""Asking EC2 for a launch's nodes: the request, its tokens, its schedules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from annexkit import instances, userdata
from annexkit.flows import launch_run
from annexkit.flows.launch_run import LaunchError, Run
from annexkit.instances import Launch
from annexkit.launch import schedule
from annexkit.launch.launched import Launched
from annexkit.launch.nodes import (
    Doors,
    Order,
    Pace,
    found_by_token,
    launch_nodes,
)
from annexkit.launch.target import Target

DEADLINE_AFTER = 60  # seconds; where the contract runs, its own timer comes first


def start(run: Run, count: int) -> Launched:
    """Ask EC2 for nodes, target after target; what came of it is in the run, too."""
    site, region = run.site, run.region
    wave = Launched(count)
    run.waves.append(wave)
    order = Order(
        region=region,
        annex=run.annex,
        count=count,
        targets=run.ready.plan.targets,
        spot_timeout=run.ready.launch.spot_timeout,
    )
    doors = Doors(
        request=partial(request, run),
        run=partial(instances.run, site.cloud),
        find=partial(found_by_token, site.cloud, region),
        capacity=run.ready.capacity,
        before=lambda token, target, asked: _sent(run, token),
        after=lambda token, ids: _came(run, ids),
        clock=site.clock,
        pace=Pace(poll=site.settings.poll),
    )
    launch_nodes(order, doors, wave)
    run.failures += wave.errors
    launch_run.record(run)
    return wave


def request(run: Run, target: Target, count: int, token: str) -> Launch:
    """Return the request for *count* nodes at a target."""
    if run.needs is None:
        raise LaunchError("nothing was provided for the launch yet")
    return Launch(
        region=run.region,
        ami=run.ready.chosen.ami,
        instance_type=target.instance_type,
        count=count,
        token=token,
        user_data=user_data(run),
        tags=run.tags,
        security_group=run.needs.group_id,
        subnet_id=target.subnet,
        public_ip=run.site.settings.ssh.interface == "public_ip",
        least=1,
        instance_profile=run.needs.profile,
        key_name=run.ready.key.pair,
        market=target.market,
    )


def user_data(run: Run) -> str:
    """Return the nodes' user data; no secret is in it (law 6).

    The same text for every node: equal arguments are what a client token stands for.

    :raises UsageError: the file of it cannot be used.
    """
    launch, pool = run.ready.launch, run.ready.pool
    users = [launch.owner if user == "owner" else user for user in launch.users]
    annex = {
        "annex": run.annex,
        "owner": launch.owner,
        "mode": "pool",
        "lease_expires": int(run.probation_ends),
        "idle_seconds": int(launch.idle),
        "lease_poll_seconds": max(1, round(launch.lease_poll)),
        # A node that drains for most of its life would do no work.
        "drain_seconds": int(min(launch.drain, launch.lease / 4)),
        "probation": run.probation_ends < run.lease_ends,
        "pool": {
            "collector": pool.collector,
            "method": pool.method,
            "trust_domain": pool.trust_domain,
            "uid_domain": pool.uid_domain,
            "ccb": pool.ccb,
            "users": list(dict.fromkeys(users)),
            "update_seconds": pool.update_interval,
        },
        "secret": {"ssm": run.secret.name, "region": run.region},
    }
    return userdata.render(
        run.site.root / "cloud-init" / "annexkit.yaml",
        {
            "authorized_keys": [run.key.public_line],
            "annex": userdata.annex_json(annex),
            # A floor below the contract's own timer, which moves this one along.
            "seconds": int(run.probation_ends - run.began) + DEADLINE_AFTER,
        },
    )


def _sent(run: Run, token: str) -> None:
    """Write down a client token, before the call that it stands for (law 4)."""
    run.entry.token = token
    run.site.journal.write(run.entry)


def _came(run: Run, ids: Sequence[str]) -> None:
    """Arm the schedules that end what EC2 launched."""
    if not (ids and run.ready.launch.scheduler and run.needs):
        return
    schedule.arm(
        run.site.cloud,
        run.region,
        run.id,
        dict.fromkeys(ids, run.probation_ends),
        run.needs.scheduler_role_arn,
        new=True,
        poll=run.site.settings.poll,
        clock=run.site.clock,
    )
