"""AMIs as moto's EC2 describes them."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import amis
from annexkit.aws import Cloud
from annexkit.waiting import Deadline
from tests.unit.helpers import REGION, FakeClock

WANTED = {"annexkit:build": "b"}


@pytest.fixture
def made(cloud: Cloud) -> list[str]:
    """Two AMIs of one build, and one of another's."""
    found = []
    for name, build in (("one", "b"), ("two", "b"), ("three", "c")):
        said = cloud.call(
            REGION,
            "register_image",
            Name=name,
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}],
        )
        tag = {"Key": "annexkit:build", "Value": build}
        cloud.call(REGION, "create_tags", Resources=[said["ImageId"]], Tags=[tag])
        found.append(said["ImageId"])
    return found


def test_an_ami_is_found_by_its_tags(cloud: Cloud, made: list[str]) -> None:
    assert sorted(ami.id for ami in amis.find(cloud, REGION, WANTED)) == sorted(
        made[:2]
    )
    assert amis.find(cloud, "us-east-1", WANTED) == []


def test_an_ami_says_what_it_is(cloud: Cloud, made: list[str]) -> None:
    found = amis.get(cloud, REGION, made[0])
    assert found is not None
    assert (found.name, found.state, found.region) == ("one", "available", REGION)
    assert found.tags == WANTED and found.snapshot.startswith("snap-")


def test_an_ami_that_is_gone_is_none(cloud: Cloud) -> None:
    assert amis.get(cloud, REGION, "ami-00000000000000009") is None


def test_tokens_are_asked_for_and_read_back(
    cloud: Cloud, made: list[str], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = ["", "", "v2.0"]
    described = cloud.describe_images

    def late(region: str, **asked: Any) -> list[dict[str, Any]]:
        (said,) = described(region, **asked)
        return [{**said, "ImdsSupport": answers.pop(0)}]

    monkeypatch.setattr(cloud, "describe_images", late)
    amis.require_tokens(cloud, REGION, made[0], poll=5, clock=clock)
    assert answers == [] and clock.slept == 10


def test_tokens_that_ec2_does_not_keep_are_an_error(
    cloud: Cloud, made: list[str], clock: FakeClock
) -> None:
    with pytest.raises(Deadline, match="ImdsSupport"):  # moto does not show it
        amis.require_tokens(cloud, REGION, made[0], poll=5, clock=clock)
