"""Each of the ways in which an annex ends, and what it lives through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from annexkit import tags
from annexkit.launch.schedule import GROUP
from annexkit.rehearsal import pool_jobs
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import LONG, Grounds, end_annexes, grounds
from tests.rehearsal.test_annex_life import TIMERS, timers_of

pytestmark = pytest.mark.machines

DRAIN = 10
NEVER = ("--idle", LONG)


@pytest.fixture(scope="module")
def _grounds(
    baked: Baked, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grounds]:
    place = baked.place.copy(tmp_path_factory.mktemp("life") / "place")
    with grounds(place, "25.14", "idtokens", LAUNCH_DRAIN=f"{DRAIN}s") as found:
        yield found


@pytest.fixture
def found(_grounds: Grounds) -> Iterator[Grounds]:
    """A pool, and no annex but those that a test left to the next ones."""
    _grounds.place.stage.calm()
    yield _grounds
    _grounds.place.stage.calm()


def over(found: Grounds, *names: str) -> None:
    for name in names:
        found.done("terminate", "--annex-name", name, "--yes")


def test_a_schedule_ends_a_node_without_timers_and_a_reap_one_without_both(
    found: Grounds,
) -> None:
    told = found.launch("deaf", 2, *NEVER)
    first, second = sorted(found.ids("deaf"))
    for node in (first, second):  # as if systemd, or the contract, were broken
        stop = ("systemctl", "stop", "annexkit-watch.service", *TIMERS)
        found.on(node, *stop)
    # The reap is not the one to end what still has its lease.
    assert found.told("reap", "--yes")["taken"] == []
    asked = ("extend", "--annex-name", "deaf", "--lease", "1s", "--force")
    found.told(*asked, exit_code=3)  # no node says that it saw it
    scheduler = found.client("scheduler")
    scheduler.delete_schedule(Name=f"{told['launch']}-{second}", GroupName=GROUP)
    bring_forward(found, f"{told['launch']}-{first}")
    found.until_ended(first, timeout=30)
    assert found.state(second) == "running", "nothing ends this one"
    taken = found.told("reap", "--yes")["taken"]
    assert second in taken
    found.until_ended(second, timeout=30)
    assert not [thing for thing in found.left() if second in thing]


def bring_forward(found: Grounds, name: str) -> None:
    """Let a schedule be due now, and be as annexkit made it in all else."""
    scheduler = found.client("scheduler")
    there = scheduler.get_schedule(Name=name, GroupName=GROUP)
    keys = (
        *("Name", "GroupName", "FlexibleTimeWindow", "Target"),
        *("ActionAfterCompletion", "ScheduleExpressionTimezone", "State"),
    )
    now = datetime.fromtimestamp(time.time() + 1, UTC)
    scheduler.update_schedule(
        **{key: there[key] for key in keys if key in there},
        ScheduleExpression=f"at({now:%Y-%m-%dT%H:%M:%S})",
    )


@pytest.mark.matrix
def test_a_spot_notice_lets_no_job_start(found: Grounds) -> None:
    found.place.stage.ask("knobs", "POST", {"spot_notice_seconds": 25})
    found.launch("spot", 1, "--market", "spot", *NEVER)
    (node,) = found.ids("spot")
    found.until_advertised("spot", node)
    running = pool_jobs.submit(found.host, 1, "spot", seconds=12)
    claimed(found, "spot")
    found.place.stage.ask("spot-notice", "POST", {"instance": node})
    wait_for(
        lambda: "AnnexSpotNotice" in found.ads("spot")[node],
        what="the notice in the node's ad",
        timeout=20,
        poll=0.2,
    )
    late = pool_jobs.submit(found.host, 1, "spot", seconds=0)
    until_done(found, running, timeout=30)
    found.until_ended(node, timeout=60)
    assert pool_jobs.done(found.host, late) == []
    found.host.run("alice", "condor_rm", late)


def claimed(found: Grounds, name: str) -> None:
    """Wait until a job runs on an annex."""
    asked = ("-constraint", f'AnnexName == "{name}" && State == "Claimed"')
    wait_for(
        lambda: found.host.run("root", "condor_status", *asked, "-af", "Name").stdout,
        what="a job to start",
        timeout=60,
        poll=0.3,
    )


def until_done(found: Grounds, cluster: str, timeout: float) -> None:
    wait_for(
        lambda: pool_jobs.done(found.host, cluster),
        what="the running job to end well",
        timeout=timeout,
        poll=0.5,
    )


@pytest.mark.matrix
def test_jobs_end_and_none_starts_before_the_lease_ends(found: Grounds) -> None:
    found.launch("drained", 1, *NEVER)
    (node,) = found.ids("drained")
    found.until_advertised("drained", node)
    running = pool_jobs.submit(found.host, 1, "drained", seconds=8)
    claimed(found, "drained")
    asked = ("extend", "--annex-name", "drained", "--lease", f"{DRAIN + 12}s")
    found.done(*asked, "--force")
    expires = int(found.tag(node, tags.EXPIRES))
    wait_for(
        lambda: time.time() > expires - DRAIN, what="the drain", timeout=60, poll=0.2
    )
    assert found.state(node) == "running"
    late = pool_jobs.submit(found.host, 1, "drained", seconds=0)
    until_done(found, running, timeout=30)
    found.until_ended(node, timeout=60)
    assert time.time() >= expires
    assert pool_jobs.done(found.host, late) == []
    found.host.run("alice", "condor_rm", late)


def test_a_canary_that_dies_stops_the_rest(found: Grounds) -> None:
    ill = {"count": 1, "blocked": found.host.collector}
    rule = {"action": "RunInstances", "machines": ill, "times": 1}
    found.place.stage.ask("faults", "POST", [rule])
    asked = ("launch", "--annex-name", "birds", "--count", "3", "--canary")
    waits = {"INVOKE_ANNEXKIT_LAUNCH_JOIN_TIMEOUT": "8s"}
    done = found.also(waits).place.invoke(*asked)
    assert done.exit_code == 1, done.stderr
    assert "mend:" in done.stderr
    launched = [one for one in found.place.stage.called() if one == "RunInstances"]
    assert len(launched) == 1, "the rest was launched"
    assert len(found.instances("birds")) == 1
    found.until_ended(*[str(n["InstanceId"]) for n in found.instances("birds")])
    [bird] = found.instances("birds")
    marked = {tag["Key"]: tag["Value"] for tag in bird["Tags"]}
    assert found.schedules(marked[tags.LAUNCH]) == {}


@pytest.mark.matrix
def test_after_a_canary_that_sings_comes_the_rest(found: Grounds) -> None:
    told = found.launch("birds2", 3, "--canary", *NEVER)
    assert told["good"] == 3
    launched = [one for one in found.place.stage.called() if one == "RunInstances"]
    assert len(launched) == 2
    canary, *rest = sorted(node["seconds"]["joined"] for node in told["nodes"])
    assert all(one > canary for one in rest)
    over(found, "birds2")


@pytest.mark.matrix
def test_a_reboot_keeps_the_lease_and_the_place_in_the_pool(found: Grounds) -> None:
    found.launch("phoenix", 1, *NEVER)
    (node,) = found.ids("phoenix")
    found.until_advertised("phoenix", node)
    found.done("extend", "--annex-name", "phoenix", "--lease", "4h")
    expires = int(found.tag(node, tags.EXPIRES))
    started = found.ads("phoenix", "-master")[node]["DaemonStartTime"]
    found.ec2.reboot_instances(InstanceIds=[node])

    def back() -> bool:
        ad = found.ads("phoenix", "-master").get(node, {})
        return bool(ad.get("DaemonStartTime", 0) > started)

    wait_for(back, what="the node in the pool again", timeout=90, poll=0.5)
    assert timers_of(found, node)[0] == expires
    wait_for(
        lambda: found.ads("phoenix")[node].get("AnnexLeaseExpires") == expires,
        what="the lease in its ad",
        timeout=30,
        poll=0.5,
    )
    done = pool_jobs.jobs(found.host, 1, "phoenix", timeout=60)
    assert done[0].node == node
    over(found, "phoenix")


@pytest.mark.matrix
def test_without_ccb_the_pool_calls_the_node(found: Grounds) -> None:
    subnet = found.place.stage.rehearsal.subnet
    direct = found.also(
        {"INVOKE_ANNEXKIT_POOL_CCB": "false", "INVOKE_ANNEXKIT_POOL_CIDRS": subnet}
    )
    direct.launch("direct", 1, *NEVER)
    (node,) = found.ids("direct")
    found.until_advertised("direct", node)
    ad = found.ads("direct")[node]
    assert "CCBID" not in ad["MyAddress"]
    done = pool_jobs.jobs(found.host, 1, "direct", timeout=60)
    assert done[0].node == node
    over(found, "direct")


def test_teardown_waits_for_the_last_annex_and_then_leaves_nothing(
    found: Grounds,
) -> None:
    end_annexes(found.ec2)
    found.launch("last", 1, *NEVER)
    before = shared(found)
    assert len(before) == 5, before
    refused = found.place.invoke("teardown", "--yes")
    assert refused.exit_code != 0
    assert "invoke terminate --annex-name last" in refused.stderr
    assert shared(found) == before
    over(found, "last")
    assert found.place.invoke("teardown", "--dry-run").exit_code == 0
    assert shared(found) == before
    found.done("teardown", "--yes")
    assert shared(found) == []
    assert found.left() == []
    found.done("teardown", "--yes")  # and once more: nothing to do


def shared(found: Grounds) -> list[str]:
    """Return what there is of the set that annexes share."""
    iam = found.client("iam")
    roles = [one["RoleName"] for one in iam.list_roles()["Roles"]]
    profiles = iam.list_instance_profiles()["InstanceProfiles"]
    groups = found.ec2.describe_security_groups()["SecurityGroups"]
    ended = found.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    names = [
        *roles,
        *(f"profile {one['InstanceProfileName']}" for one in profiles),
        *(one["GroupName"] for one in groups),
        *(f"schedules {one['Name']}" for one in ended),
    ]
    return sorted(name for name in names if "annexkit" in name)
