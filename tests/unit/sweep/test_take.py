"""Taking things away: in EC2's order, all of them, and never twice by accident."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit.aws import Cloud
from annexkit.sweep.find import Thing, find_things
from annexkit.sweep.take import Taken, delete_image, take
from tests.unit.helpers import REGION, FakeClock
from tests.unit.sweep.conftest import OURS, Make

KINDS = ("instance", "image", "volume", "snapshot", "key-pair", "security-group")


def do(cloud: Cloud, clock: FakeClock, things: list[Thing]) -> list[Taken]:
    return take(cloud, things, timeout=30, poll=5, clock=clock)


def ours(cloud: Cloud) -> list[Thing]:
    return find_things(cloud, REGION, "annexkit")


def test_one_of_everything_is_taken(cloud: Cloud, clock: FakeClock, make: Make) -> None:
    for kind in KINDS:
        make(kind, **OURS)
    things = ours(cloud)
    assert {thing.kind for thing in things} == set(KINDS)
    taken = do(cloud, clock, things[::-1])
    assert [t.error for t in taken] == [""] * len(KINDS)
    assert [t.thing.kind for t in taken] == list(KINDS)  # what holds others first
    assert ours(cloud) == []


def test_what_is_gone_already_is_as_good_as_taken(
    cloud: Cloud, clock: FakeClock, make: Make
) -> None:
    for kind in KINDS:
        make(kind, **OURS)
    things = ours(cloud)
    do(cloud, clock, things)
    assert [t.error for t in do(cloud, clock, things)] == [""] * len(KINDS)


def test_an_image_takes_its_snapshots_along(
    cloud: Cloud, clock: FakeClock, make: Make
) -> None:
    instance = make("instance")
    cloud.call(REGION, "create_image", InstanceId=instance, Name="annexkit-debian13-x")
    [image] = ours(cloud)
    assert image.parts
    [taken] = do(cloud, clock, [image])
    assert taken == Taken(image)
    left = cloud.call(REGION, "describe_snapshots", OwnerIds=["self"])["Snapshots"]
    assert not {s["SnapshotId"] for s in left} & set(image.parts)


def test_what_nobody_asked_for_stays(
    cloud: Cloud, clock: FakeClock, make: Make
) -> None:
    make("volume", **OURS)
    other = make("volume", project="x")
    do(cloud, clock, ours(cloud))
    left = cloud.call(REGION, "describe_volumes")["Volumes"]
    assert other in {volume["VolumeId"] for volume in left}


def test_one_that_resists_is_reported_and_stops_no_other(
    cloud: Cloud, clock: FakeClock, make: Make
) -> None:
    stubborn = make("instance", **OURS)
    cloud.call(
        REGION,
        "modify_instance_attribute",
        InstanceId=stubborn,
        DisableApiTermination={"Value": True},
    )
    make("volume", **OURS)
    make("key-pair", **OURS)
    taken = {t.thing.kind: t.error for t in do(cloud, clock, ours(cloud))}
    assert "OperationNotPermitted" in taken.pop("instance")
    assert taken == {"volume": "", "key-pair": ""}
    assert [thing.id for thing in ours(cloud)] == [stubborn]


def test_an_instance_that_never_ends_is_reported_with_its_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    thing = Thing("instance", "i-00000000000000001", REGION)
    said: dict[str, Any] = {
        "Reservations": [
            {"Instances": [{"InstanceId": thing.id, "State": {"Name": "running"}}]}
        ]
    }
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_response("terminate_instances", {})
        for _ in range(7):
            stub.add_response("describe_instances", said)
        [taken] = do(cloud, clock, [thing])
    assert "not within 30 s" in taken.error
    assert clock.slept == 30


def test_a_snapshot_that_is_still_used_is_an_error(cloud: Cloud) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("deregister_image", "InvalidAMIID.Unavailable", "gone")
        stub.add_client_error("delete_snapshot", "InvalidSnapshot.NotFound", "gone")
        stub.add_client_error("delete_snapshot", "InvalidSnapshot.InUse", "used")
        with pytest.raises(Exception, match=r"InvalidSnapshot\.InUse"):
            delete_image(cloud, REGION, "ami-1", ["snap-1", "snap-2"])
        stub.assert_no_pending_responses()
