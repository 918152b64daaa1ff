"""One-time schedules end real machines; spot notices and launch faults, too."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from annexkit.rehearsal import control
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import (
    Guest,
    Region,
    a_role,
    boot,
    client,
    code_of,
    eventually,
)

pytestmark = pytest.mark.machines

KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
TARGET = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"


def at(seconds: float) -> str:
    moment = time.gmtime(time.time() + seconds)
    return time.strftime("at(%Y-%m-%dT%H:%M:%S)", moment)


def test_a_schedule_ends_a_machine_and_is_gone(powerless: Region) -> None:
    rehearsal = powerless.rehearsal
    scheduler, ids = client(rehearsal, "scheduler"), [powerless.running()]
    role = a_role(rehearsal, "scheduler.amazonaws.com", "ec2:TerminateInstances", "*")
    group = f"group-{uuid4().hex[:8]}"
    asked: dict[str, Any] = {
        "Name": "x-0",
        "GroupName": group,
        "ScheduleExpression": at(600),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": TARGET,
            "RoleArn": f"arn:aws:iam::123456789012:role/{role}",
            "Input": json.dumps({"InstanceIds": ids}),
        },
    }
    create = scheduler.create_schedule
    assert code_of(create, **asked) == "ResourceNotFoundException"
    tags = [{"Key": "annexkit:set", "Value": "annex"}]
    made = scheduler.create_schedule_group(Name=group, Tags=tags)
    told = scheduler.list_tags_for_resource(ResourceArn=made["ScheduleGroupArn"])
    assert told["Tags"] == tags
    create(**asked)
    assert code_of(create, **asked) == "ConflictException"
    assert powerless.state(ids[0]) == "running"
    scheduler.update_schedule(**{**asked, "ScheduleExpression": at(1)})
    powerless.until(ids[0], "terminated", timeout=20)
    get = scheduler.get_schedule
    assert code_of(get, Name="x-0", GroupName=group) == "ResourceNotFoundException"
    scheduler.delete_schedule_group(Name=group)


def test_a_spot_instance_is_told_and_then_ends(
    region: Region, rehearsal: Rehearsal
) -> None:
    control.ask(rehearsal, "knobs", "POST", {"spot_notice_seconds": 5})
    guest = boot(region, InstanceMarketOptions={"MarketType": "spot"})
    assert region.describe(guest.id)["InstanceLifecycle"] == "spot"
    assert guest.metadata("meta-data/instance-life-cycle") == "spot"
    control.ask(rehearsal, "spot-notice", "POST", {"instance": guest.id})
    eventually(lambda: _ending(guest), "the notice", timeout=6)
    region.until(guest.id, "terminated", timeout=20)
    reason = region.describe(guest.id)["StateReason"]["Code"]
    assert reason == "Server.SpotInstanceTermination"


def _ending(guest: Guest) -> bool:
    try:
        told = guest.metadata("meta-data/spot/instance-action")
    except AssertionError:
        return False  # 404: the service lags behind by half a second
    return bool(json.loads(told)["action"] == "terminate")


def test_capacity_may_be_missing_in_one_zone_for_spot_only(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    subnets = {
        found["AvailabilityZone"][-1]: found["SubnetId"]
        for found in powerless.ec2.describe_subnets()["Subnets"]
    }
    error = {"code": "InsufficientInstanceCapacity", "status": 400}
    spot_in_b = {"Zone": "*b", "Market": "spot"}
    rules = [
        {"action": "RunInstances", "where": spot_in_b, "error": error},
        {"action": "RunInstances", "where": {"Zone": "*c"}, "capacity": 1},
    ]
    control.ask(rehearsal, "faults", "POST", rules)
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    run = powerless.run_many
    refused = code_of(run, SubnetId=subnets["b"], **spot)
    assert refused == "InsufficientInstanceCapacity"
    assert len(run(SubnetId=subnets["b"])) == 1
    assert len(run(SubnetId=subnets["a"], **spot)) == 1
    assert len(run(SubnetId=subnets["c"], MaxCount=2)) == 1


def test_one_machine_of_a_launch_may_be_in_trouble(
    region: Region, rehearsal: Rehearsal
) -> None:
    ill = {"count": 1, "blocked": "192.0.2.1:9618", "console_host_key": True}
    rule = {"action": "RunInstances", "machines": ill, "times": 1}
    control.ask(rehearsal, "faults", "POST", [rule])
    first, second = (
        str(i["InstanceId"]) for i in region.run_many(MinCount=2, MaxCount=2)
    )
    for identity in (first, second):
        region.until(identity, "running")

    for identity in (first, second):
        eventually(partial(shown_key, region, identity), "host keys")
    assert shown_key(region, first) != real_key(rehearsal, first)
    assert shown_key(region, second) == real_key(rehearsal, second)


def shown_key(region: Region, identity: str) -> str:
    """Return the Ed25519 key of a machine's console, empty as long as there is none."""
    said = region.ec2.get_console_output(InstanceId=identity).get("Output", "")
    return next((w for w in said.split() if w.startswith("AAAAC3NzaC1lZDI1NTE5")), "")


def real_key(rehearsal: Rehearsal, identity: str) -> str:
    machines = control.ask(rehearsal, "status")["machines"]
    name = next(m["container"] for m in machines if m["instance"] == identity)
    read = Podman(rehearsal.id).call("exec", name, "cat", KEY_FILE)
    return read.split()[1]
