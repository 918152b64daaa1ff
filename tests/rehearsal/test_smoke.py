"""``invoke smoke`` by its command line: copies boot, work and end by themselves."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.flows.reap_report import reap_and_report
from annexkit.instance_values import from_tags
from annexkit.registry import RegionBuild, State
from tests.conftest import Baked
from tests.policy import not_allowed
from tests.stage import CHANGING, Place, Stage

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

IMAGE, ARCH = "debian13", "x86_64"
FULL = {"code": "InsufficientInstanceCapacity", "status": 500}
HELD = 8.0  # seconds that a call is held up, longer than a signal takes


def in_regions(*names: str) -> pytest.MarkDecorator:
    """Give a test regions of its own: EC2 remembers what a copy was asked with."""
    return pytest.mark.parametrize("regions", [names], ids=["-"], indirect=True)


@pytest.fixture
def regions(stage: Stage, request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The test's regions, without AMIs afterwards."""
    some: tuple[str, ...] = request.param
    yield some
    for region in some:
        stage.remove_images(region)


@pytest.fixture
def place(
    stage: Stage, baked: Baked, regions: tuple[str, ...], tmp_path: Path
) -> Iterator[Place]:
    """The registry after the first bake, with its copies in some regions."""
    assert baked.done.exit_code == 0, baked.done.stderr
    stage.calm()
    place = baked.place.copy(tmp_path)
    done = place.invoke("copy", "--region", ",".join(regions))
    assert done.exit_code == 0, done.stderr
    stage.calm()
    yield place
    stage.calm()


def smoke(place: Place, *regions: str, code: int = 0) -> dict[str, Any]:
    done = place.invoke("smoke", "--region", ",".join(regions), "--json")
    assert done.exit_code == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)["regions"]
    return told


def there(place: Place, baked: Baked, region: str) -> RegionBuild:
    return place.registry.images[IMAGE].builds[baked.build_id].regions[region]


def instances(stage: Stage, region: str) -> list[dict[str, Any]]:
    """Return what EC2 says of all instances of a region, ended ones too."""
    found = stage.ec2(region).describe_instances()["Reservations"]
    return [one for reservation in found for one in reservation["Instances"]]


def own_tags(stage: Stage, region: str) -> dict[str, str]:
    """Return the tags of the one AMI of a region."""
    (said,) = stage.ec2(region).describe_images(Owners=["self"])["Images"]
    return from_tags(said["Tags"])


def running(stage: Stage, region: str) -> list[str]:
    return [
        str(one["InstanceId"])
        for one in instances(stage, region)
        if one["State"]["Name"] == "running"
    ]


def groups(stage: Stage, region: str) -> list[str]:
    found = stage.ec2(region).describe_security_groups()["SecurityGroups"]
    return [one["GroupName"] for one in found if one["GroupName"] != "default"]


@in_regions("af-south-1", "me-south-1")
def test_copies_are_proved_where_they_are_by_instances_that_end_by_themselves(
    stage: Stage, baked: Baked, place: Place, regions: tuple[str, ...]
) -> None:
    full = regions[1]  # of the smallest type nothing is left here
    where = {"InstanceType": "t3.micro"}
    rule = {"action": "RunInstances", "region": full, "where": where, "error": FULL}
    stage.ask("faults", "POST", [rule])
    told = smoke(place, *regions)
    calls = stage.ask("calls")
    for region, kind in zip(regions, ("t3.micro", "t3.small"), strict=True):
        said = told[region]
        assert (said["result"], said["instance_type"]) == ("ready", kind)
        for name in ("boot_seconds", "job_seconds", "ended_seconds", "cost"):
            assert said[name] > 0, name
        (one,) = instances(stage, region)
        assert one["State"]["Name"] == "terminated"
        assert "InstanceInitiatedShutdown" in one["StateReason"]["Code"]
        assert "TerminateInstances" not in stage.called(region), "nobody ended it"
        assert groups(stage, region) == []
        found = there(place, baked, region)
        assert (found.state, found.ami) == (State.READY, one["ImageId"])
        assert found.boot_seconds == said["boot_seconds"]
        assert tags.EXPIRES not in own_tags(stage, region)
        names = place.registry.channel(IMAGE, ARCH, region)
        assert (names.candidate, names.current) == (baked.build_id, None)
    assert place.journal == []
    assert not_allowed(calls, "nightly") == [] and not_allowed(calls, "person") == []
    again_is_nothing(stage, place, regions)
    done = place.invoke("registry.promote", "--regions", ",".join(regions), "--no-pool")
    assert done.exit_code == 0, done.stderr
    for region in regions:
        names = place.registry.channel(IMAGE, ARCH, region)
        assert names.current == baked.build_id


def again_is_nothing(stage: Stage, place: Place, regions: tuple[str, ...]) -> None:
    stage.calm()
    before = place.registry_path.read_bytes()
    told = smoke(place, *regions)
    assert [said["result"] for said in told.values()] == ["nothing to do"] * 2
    assert stage.changing() == []
    for region in regions:
        assert stage.called(region) == ["DescribeImages"]
    assert place.registry_path.read_bytes() == before


@in_regions("ap-southeast-3", "ap-southeast-4", "il-central-1")
def test_an_ami_that_fails_there_is_failed_and_never_current(
    stage: Stage, baked: Baked, place: Place, regions: tuple[str, ...]
) -> None:
    dead, strange, good = regions
    wrong = {dead: {"never_boots": True}, strange: {"console_host_key": True}}
    rules = [
        {"action": "RunInstances", "region": region, "machines": trouble}
        for region, trouble in wrong.items()
    ]
    stage.ask("faults", "POST", rules)
    soon = {**place.more, "INVOKE_ANNEXKIT_PROVE_BOOT_TIMEOUT": "45s"}
    told = smoke(Place(stage, place.folder, soon), *regions, code=3)
    assert told[good]["result"] == "ready"
    assert told[dead]["result"] == "failed"
    assert "host keys" in told[dead]["reason"]
    found = there(place, baked, dead)
    assert found.state is State.FAILED and "host keys" in found.reason
    # Whoever answered at that address, it was not the AMI.
    assert told[strange]["result"] == "not smoked"
    assert "another host than expected" in told[strange]["reason"]
    assert there(place, baked, strange).state is State.PENDING
    for bad in (dead, strange):
        assert tags.EXPIRES in own_tags(stage, bad), "it stays for a look until then"
        assert running(stage, bad) == [] and groups(stage, bad) == []
    assert place.journal == []
    every = ("registry.promote", "--build", baked.build_id, "--no-pool")
    assert place.invoke(*every, "--regions", ",".join(regions)).exit_code == 3
    names = place.registry.channel(IMAGE, ARCH, dead)
    assert (names.current, names.candidate) == (None, None)
    names = place.registry.channel(IMAGE, ARCH, strange)
    assert (names.current, names.candidate) == (None, baked.build_id)
    assert place.registry.channel(IMAGE, ARCH, good).current == baked.build_id


def kill(place: Place, region: str, here: Callable[[], object], what: str) -> None:
    """Kill a smoke at a moment."""
    begun = place.start("smoke", "--region", region)
    begun.reach(here, what)
    begun.send(signal.SIGKILL)
    assert begun.ended().exit_code == -signal.SIGKILL


@in_regions("eu-south-2")
def test_killed_while_its_instance_runs_the_next_run_and_a_reap_leave_one_ami(
    stage: Stage,
    baked: Baked,
    place: Place,
    regions: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (region,) = regions
    kill(place, region, lambda: running(stage, region), "a running instance")
    (left,) = running(stage, region)
    assert place.journal, "what it made is written down"
    seen = place.invoke("reap", "--region", region, "--dry-run", "--json")
    fates = {one["id"]: one["fate"] for one in json.loads(seen.stdout)["found"]}
    assert fates[left] == "take"
    assert smoke(place, region)[region]["result"] == "ready"
    assert len(instances(stage, region)) == 2, "no third one was made"
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    # Past the time in which EC2 may hide things, and once more: what was just taken may
    # have had more to it.
    for _ in range(2):
        reap_and_report(place.site(ahead=120), (region,), yes=True, dry_run=False)
    assert running(stage, region) == [] and groups(stage, region) == []
    found = there(place, baked, region)
    assert found.state is State.READY, "what is proved was not taken"
    assert tags.EXPIRES not in own_tags(stage, region)
    assert place.journal == []


@in_regions("ca-west-1")
def test_killed_before_the_expiry_came_off_the_next_run_takes_it_off(
    stage: Stage, baked: Baked, place: Place, regions: tuple[str, ...]
) -> None:
    (region,) = regions
    # Held up, and then not done: the next run alone can have done it.
    held = {"action": "DeleteTags", "region": region, "delay_seconds": HELD, "times": 1}
    stage.ask("faults", "POST", [{**held, "error": {"code": "InternalError"}}])
    kill(place, region, lambda: stage.ask("faults") == [], "the expiry coming off")
    assert there(place, baked, region).state is State.READY
    stage.calm()
    assert smoke(place, region)[region]["result"] == "nothing to do"
    changed = {one for one in stage.called(region) if one.startswith(CHANGING)}
    assert changed == {"DeleteTags"}
    assert tags.EXPIRES not in own_tags(stage, region)
    assert len(instances(stage, region)) == 1
