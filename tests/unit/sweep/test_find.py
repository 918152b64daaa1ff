"""What annexkit finds of its own in a region, and what it leaves out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.instances import as_tags
from annexkit.sweep import find
from annexkit.sweep.find import Thing, find_things
from tests.unit.helpers import BUILD, REGION
from tests.unit.sweep.conftest import NAME, OURS, Make

KINDS = ("instance", "image", "volume", "snapshot", "key-pair", "security-group")


def found(cloud: Cloud, region: str = REGION) -> dict[str, Thing]:
    return {thing.kind: thing for thing in find_things(cloud, region, "annexkit")}


@pytest.mark.parametrize("kind", KINDS)
def test_what_carries_our_tags_is_found_with_what_is_known_of_it(
    cloud: Cloud, make: Make, kind: str
) -> None:
    before = time.time()
    made = make(kind, **OURS)
    thing = found(cloud)[kind]
    assert made in (thing.id, thing.name)
    assert (thing.region, thing.build) == (REGION, BUILD)
    assert tags.expiry(thing.tags) == 1700000000
    assert thing.key == f"{REGION}/{kind}/{thing.id}"
    if kind == "security-group":
        assert thing.created is None
    else:
        assert thing.created is not None
        assert before - 60 < thing.created < time.time() + 60


@pytest.mark.parametrize("kind", ["image", "key-pair", "security-group"])
def test_what_only_carries_our_name_is_found_where_packer_cannot_tag_at_once(
    cloud: Cloud, make: Make, kind: str
) -> None:
    make(kind, NAME)
    thing = found(cloud)[kind]
    assert (thing.name, thing.tags, thing.build) == (NAME, {}, "")


@pytest.mark.parametrize(
    "name", [f"annexkit-{BUILD}", f"annexkit-{BUILD}-prove-1", f"annexkit-a-b-{BUILD}"]
)
def test_a_build_id_stands_anywhere_after_the_prefix(
    cloud: Cloud, make: Make, name: str
) -> None:
    make("key-pair", name)
    assert found(cloud)["key-pair"].name == name


@pytest.mark.parametrize(
    "name",
    [
        "annexkit-x",  # the prefix alone could be anybody's
        "annexkit-debian13-x86_64-golden",
        f"annexkits-{BUILD}",
        f"my-annexkit-{BUILD}",
        f"ANNEXKIT-{BUILD}",
        f"annexkit-{BUILD}0",
        f"annexkit-9{BUILD}",
        f"annexkit-{BUILD[:-1]}",
    ],
)
def test_what_belongs_to_others_is_not_found(
    cloud: Cloud, make: Make, name: str
) -> None:
    for kind in KINDS:
        make(kind, name, project="x")
    assert find_things(cloud, REGION, "annexkit") == []


@pytest.mark.parametrize("kind", ["key-pair", "security-group"])
def test_our_tag_is_enough_whatever_the_name(
    cloud: Cloud, make: Make, kind: str
) -> None:
    make(kind, "packer_1234", **OURS)
    assert found(cloud)[kind].build == BUILD


def test_another_region_is_not_looked_at(cloud: Cloud, make: Make) -> None:
    make("image", region="us-east-1")
    assert found(cloud) == {}
    assert {region for region, _ in cloud.calls} == {"us-east-1", REGION}
    assert set(found(cloud, "us-east-1")) == {"image"}


def test_an_ended_instance_is_no_thing_any_more(cloud: Cloud, make: Make) -> None:
    made = make("instance", **OURS)
    assert found(cloud)["instance"].state == "running"
    cloud.call(REGION, "stop_instances", InstanceIds=[made])
    assert found(cloud)["instance"].state == "stopped"
    cloud.call(REGION, "terminate_instances", InstanceIds=[made])
    assert found(cloud) == {}


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        ("running", ["instance", "security-group"]),
        ("shutting-down", ["security-group"]),
    ],
)
def test_an_instance_leads_to_packers_group_until_it_has_ended(
    cloud: Cloud, state: str, kinds: list[str]
) -> None:
    said = {
        "InstanceId": "i-00000000000000001",
        "State": {"Name": state},
        "Tags": as_tags(OURS),
        "SecurityGroups": [
            {"GroupId": "sg-1", "GroupName": "packer_5f3a"},
            {"GroupId": "sg-2", "GroupName": "default"},
        ],
    }
    asked: list[str] = []

    def states(params: dict[str, Any], **_: object) -> None:
        asked.extend(params["Filters"][1]["Values"])

    client = cloud.client("ec2", REGION)
    client.meta.events.register("provide-client-params.ec2.DescribeInstances", states)
    with Stubber(client) as stub:
        stub.add_response(
            "describe_instances", {"Reservations": [{"Instances": [said]}]}
        )
        things = list(find._instances(cloud, REGION))
    assert [thing.kind for thing in things] == kinds
    assert things[-1].id == "sg-1"
    assert things[-1].build == BUILD
    assert state in asked


def test_a_volume_in_use_goes_with_its_instance_and_is_not_named(
    cloud: Cloud, make: Make
) -> None:
    volume, instance = make("volume", **OURS), make("instance")
    cloud.call(
        REGION, "attach_volume", VolumeId=volume, InstanceId=instance, Device="/dev/b"
    )
    assert "volume" not in found(cloud)


def test_a_snapshot_of_an_image_is_a_part_of_it(cloud: Cloud, make: Make) -> None:
    instance = make("instance")
    cloud.call(REGION, "create_image", InstanceId=instance, Name=NAME)
    [image] = find_things(cloud, REGION, "annexkit")
    [part] = image.parts
    cloud.call(REGION, "create_tags", Resources=[part], Tags=as_tags(OURS))
    assert find_things(cloud, REGION, "annexkit") == [image]
    cloud.call(REGION, "deregister_image", ImageId=image.id)
    [snapshot] = find_things(cloud, REGION, "annexkit")
    assert (snapshot.kind, snapshot.id) == ("snapshot", part)


def test_the_name_of_an_instance_is_its_name_tag(cloud: Cloud, make: Make) -> None:
    make("instance", Name="annexkit-builder", **OURS)
    assert found(cloud)["instance"].name == "annexkit-builder"


def test_a_region_that_cannot_be_asked_is_an_error_and_not_empty(cloud: Cloud) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_instances", "UnauthorizedOperation", "no")
        with pytest.raises(AwsError, match="UnauthorizedOperation"):
            find_things(cloud, REGION, "annexkit")


@pytest.mark.parametrize(
    ("said", "epoch"),
    [
        (None, None),
        ("", None),
        ("2024-05-17T12:00:00.000Z", 1715947200.0),
        (datetime(2024, 5, 17, 12, tzinfo=UTC), 1715947200.0),
        (datetime(2024, 5, 17, 12), 1715947200.0),
    ],
)
def test_every_way_ec2_writes_a_time_is_read(
    said: datetime | str | None, epoch: float | None
) -> None:
    assert find._epoch(said) == epoch
