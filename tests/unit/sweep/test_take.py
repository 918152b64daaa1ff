"""Taking things away: in EC2's order, all of them, and never twice by accident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit.aws import Cloud
from annexkit.sweep.find import Thing, find_things
from annexkit.sweep.take import Patience, Taken, delete_image, take
from tests.unit.helpers import REGION, FakeClock
from tests.unit.sweep.conftest import NAME, OURS, Make

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
    cloud.call(REGION, "create_image", InstanceId=instance, Name=NAME)
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


IMAGE = Thing("image", "ami-1", REGION, parts=("snap-1",))
PENDING = replace(IMAGE, state="pending", parts=())


class Answers:
    """What EC2 says, in order; each call must come."""

    def __init__(self, stub: Stubber) -> None:
        self.stub = stub

    def image(self, state: str, *snapshots: str) -> None:
        mappings = [{"Ebs": {"SnapshotId": snapshot}} for snapshot in snapshots]
        said = {"ImageId": "ami-1", "State": state, "BlockDeviceMappings": mappings}
        self.stub.add_response("describe_images", {"Images": [said] if state else []})

    def described(self, *snapshots: str) -> None:
        """Snapshots of the image by their description; anything else stays."""
        self.stub.add_response(
            "describe_snapshots",
            {"Snapshots": [{"SnapshotId": snapshot} for snapshot in snapshots]},
            {
                "OwnerIds": ["self"],
                "Filters": [
                    {
                        "Name": "description",
                        "Values": ["Created by CreateImage(*) for ami-1*"],
                    }
                ],
            },
        )

    def deregistered(self, code: str = "") -> None:
        self._done("deregister_image", code, {"ImageId": "ami-1"})

    def deleted(self, snapshot: str, code: str = "") -> None:
        self._done("delete_snapshot", code, {"SnapshotId": snapshot})

    def _done(self, method: str, code: str, asked: dict[str, Any]) -> None:
        if code:
            self.stub.add_client_error(method, code, "no", expected_params=asked)
        else:
            self.stub.add_response(method, {}, asked)


@pytest.fixture
def ec2(cloud: Cloud) -> Iterator[Answers]:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        yield Answers(stub)
        stub.assert_no_pending_responses()


def test_an_image_that_is_gone_leaves_snapshots_that_may_be_gone_too(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    ec2.image("")
    ec2.described()
    ec2.deregistered("InvalidAMIID.Unavailable")
    ec2.deleted("snap-1", "InvalidSnapshot.NotFound")
    delete_image(cloud, IMAGE, Patience(30, 5, clock))
    assert clock.slept == 0


def test_a_snapshot_that_is_still_used_is_tried_again(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    ec2.image("available", "snap-1")
    ec2.described("snap-1")
    ec2.deregistered()
    ec2.deleted("snap-1", "InvalidSnapshot.InUse")
    ec2.deleted("snap-1", "InvalidSnapshot.InUse")
    ec2.deleted("snap-1")
    delete_image(cloud, IMAGE, Patience(30, 5, clock))
    assert clock.slept == 10


def test_a_snapshot_that_stays_used_ends_in_a_deadline(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    for _ in range(3):
        ec2.deleted("snap-1", "InvalidSnapshot.InUse")
    thing = Thing("snapshot", "snap-1", REGION)
    [taken] = take(cloud, [thing], timeout=10, poll=5, clock=clock)
    assert "snap-1 is not in use any more" in taken.error
    assert clock.slept == 10


def test_another_refusal_of_a_snapshot_is_not_tried_again(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    ec2.deleted("snap-1", "UnauthorizedOperation")
    [taken] = do(cloud, clock, [Thing("snapshot", "snap-1", REGION)])
    assert "UnauthorizedOperation" in taken.error
    assert clock.slept == 0


def test_an_image_in_the_making_is_waited_for_so_that_its_snapshot_goes_too(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    ec2.image("pending")
    ec2.image("pending")
    ec2.image("available", "snap-2")
    ec2.image("available", "snap-2")
    ec2.described()
    ec2.deregistered()
    ec2.deleted("snap-2")
    assert do(cloud, clock, [PENDING]) == [Taken(PENDING)]
    assert clock.slept == 10


def test_an_image_that_never_is_made_stays_with_its_deadline(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    for _ in range(7):
        ec2.image("pending")
    [taken] = do(cloud, clock, [PENDING])
    assert "so that all of it can go" in taken.error


def test_a_snapshot_that_no_image_names_is_found_by_its_description(
    cloud: Cloud, clock: FakeClock, ec2: Answers
) -> None:
    ec2.image("")  # it failed, or somebody deregistered it while it was made
    ec2.image("")
    ec2.described("snap-3")
    ec2.deregistered("InvalidAMIID.NotFound")
    ec2.deleted("snap-3")
    assert do(cloud, clock, [PENDING]) == [Taken(PENDING)]
