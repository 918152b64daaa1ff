"""What people do with an annex that lives."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from annexkit import tags
from annexkit.launch.schedule import MARGIN
from annexkit.process import run
from annexkit.rehearsal import pool_jobs
from annexkit.rehearsal.podman import Podman, limits
from tests.conftest import Baked
from tests.rehearsal.annexes import LONG, Grounds, grounds
from tests.stage import CHANGING

pytestmark = pytest.mark.machines

TIMERS = ("annexkit-lease.timer", "annexkit-deadline.timer")
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


@pytest.fixture(scope="module")
def foo(_grounds: Grounds) -> Iterator[str]:
    """A node of annex ``foo``, for the tests that leave it as it is."""
    _grounds.launch("foo", 1, *NEVER)
    (node,) = _grounds.ids("foo")
    yield node
    _grounds.place.invoke("terminate", "--annex-name", "foo", "--yes")


def test_a_living_annex_can_be_looked_at(found: Grounds, foo: str) -> None:
    found.until_advertised("foo", foo)
    (line,) = found.told("status", "--annex-name", "foo")["annexes"]
    (node,) = line["nodes"]
    assert (line["running"], line["in_pool"], line["wanted"]) == (1, 1, 1)
    assert line["hourly"] == pytest.approx(0.0208)
    assert (node["id"], node["in_pool"]) == (foo, True)
    assert (node["identity"], node["outdated"]) == ("annex@pool.test", False)
    assert node["expires"] == int(found.tag(foo, tags.EXPIRES))
    verified = found.told("verify", "--annex-name", "foo")
    (seen,) = verified["nodes"]
    assert (verified["exit"], seen["ssh"], verified["not_checked"]) == (0, "ok", [])
    names = {check["name"] for check in seen["checks"]}
    assert {"ssh", "in-pool", "pool-identity", "pool-lease", "pool-image"} <= names
    assert len(names) >= 20
    walked = found.told("why", foo)
    assert walked["broken"] is None
    assert {step["state"] for step in walked["steps"]} == {"ok"}
    assert found.place.stage.changing() == [], "looking changes nothing"


def test_what_is_broken_on_a_node_is_found(found: Grounds, foo: str) -> None:
    found.on(foo, "chmod", "644", "/etc/condor/tokens.d/annex")
    (seen,) = found.told("verify", "--annex-name", "foo", exit_code=1)["nodes"]
    failed = [check["name"] for check in seen["checks"] if not check["ok"]]
    found.on(foo, "chmod", "600", "/etc/condor/tokens.d/annex")
    assert len(failed) == 1, failed
    assert found.told("verify", "--annex-name", "foo")["exit"] == 0


def test_extend_moves_every_layer(found: Grounds, foo: str) -> None:
    launch = found.tag(foo, tags.LAUNCH)
    for lease in ("5h", "3h"):  # later, then earlier
        began = time.time()
        found.done("extend", "--annex-name", "foo", "--lease", lease)
        expires = int(found.tag(foo, tags.EXPIRES))
        assert -1 <= expires - began - int(lease[0]) * 3600 <= 60  # whole seconds
        assert schedule_of(found, launch, foo) == expires + MARGIN
        lease_timer, deadline = timers_of(found, foo)
        assert lease_timer == expires
        assert abs(deadline - (expires + 60)) <= 2
        found.until_advertised("foo", foo)
    assert found.client("ssm").describe_parameters()["Parameters"] == []


def schedule_of(found: Grounds, launch: str, node: str) -> float:
    said = found.schedules(launch)[node]
    when = datetime.strptime(said, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    return when.timestamp()


def timers_of(found: Grounds, node: str) -> list[int]:
    """Return when systemd on the node fires each timer, in epoch seconds.

    The one goes by the wall clock and the other by the kernel's: both as the next time.
    """
    show = ("systemctl", "list-timers", "--all", "--output=json")
    told = [json.loads(found.on(node, *show, timer).stdout) for timer in TIMERS]
    return [round(timer["next"] / 1e6) for [timer] in told]


def test_a_longer_lease_comes_with_a_longer_token(found: Grounds, foo: str) -> None:
    read = ("sha256sum", "/etc/condor/tokens.d/annex")
    before = found.on(foo, *read).stdout
    found.done("extend", "--annex-name", "foo", "--lease", "12h")
    assert found.on(foo, *read).stdout != before
    done = pool_jobs.jobs(found.host, 1, "foo", timeout=60)
    assert done[0].node == foo, "it is in the pool by the new one"


def test_a_dry_run_changes_nothing(found: Grounds, foo: str) -> None:
    before = files_of(found.place.state)
    told = found.told("launch", "--annex-name", "dry", "--count", "3", "--dry-run")
    assert (told["annex"], told["count"]) == ("dry", 3)
    assert len(told["layers"]) == 3
    changing = [
        (call["action"], call["status"])
        for call in found.place.stage.ask("calls")
        if call["action"].startswith((*CHANGING, "Put", "Update", "Add", "Tag"))
    ]
    assert set(changing) <= {("RunInstances", 412)}, "but for EC2's own DryRun"
    assert changing, "EC2 was asked"
    assert found.ids("dry") == []
    assert files_of(found.place.state) == before


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "prices" not in path.name}


@pytest.mark.matrix
def test_a_second_launch_adds_to_the_annex(found: Grounds, foo: str) -> None:
    told = found.launch("foo", 1, *NEVER)
    (new,) = (node["id"] for node in told["nodes"])
    assert sorted(found.ids("foo")) == sorted([foo, new])
    launches = {found.tag(node, tags.LAUNCH) for node in (foo, new)}
    assert len(launches) == 2
    (line,) = found.told("status", "--annex-name", "foo")["annexes"]
    assert (line["wanted"], line["running"]) == (2, 2)
    assert found.told("verify", "--annex-name", "foo")["exit"] == 0
    found.ec2.terminate_instances(InstanceIds=[new])


def test_what_happens_to_fo_does_not_happen_to_foo(found: Grounds, foo: str) -> None:
    found.launch("fo", 1, *NEVER)
    launch, before = found.tag(foo, tags.LAUNCH), found.tag(foo, tags.EXPIRES)
    schedule = schedule_of(found, launch, foo)
    found.done("extend", "--annex-name", "fo", "--lease", "9h")
    told = found.told("terminate", "--annex-name", "fo", "--yes")
    assert len(told["terminated"]) == 1
    assert told["receipt"]["total"]["nodes"] == 1
    assert found.ids("fo") == []
    assert found.ids("foo") == [foo]
    assert found.state(foo) == "running"
    assert found.tag(foo, tags.EXPIRES) == before
    assert schedule_of(found, launch, foo) == schedule
    assert found.ads("foo")[foo]["AnnexLeaseExpires"] == int(before)


def test_user_data_is_what_cloud_init_wants(found: Grounds, foo: str) -> None:
    asked = {"InstanceId": foo, "Attribute": "userData"}
    value = found.ec2.describe_instance_attribute(**asked)["UserData"]["Value"]
    user_data = base64.b64decode(value).decode()
    assert schema(found, user_data) == 0
    broken = user_data.replace("write_files:", "write_files: none\nx_files:", 1)
    assert schema(found, broken) != 0


def schema(found: Grounds, user_data: str) -> int:
    """Let the cloud-init of the base image judge user data; return its exit code."""
    rehearsal = found.place.stage.rehearsal
    check = "cat >/tmp/user-data && exec cloud-init schema -c /tmp/user-data"
    podman = Podman(rehearsal.id, rehearsal.runtime)
    files, processes = limits()
    arguments = (
        *("run", "--rm", "--interactive", "--network=none"),
        *(f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}"),
    )
    return run(
        *podman.command(*arguments, rehearsal.base.ref, "/bin/sh", "-c", check),
        stdin=user_data,
        check=False,
        timeout=60,
    ).exit_code
