"""What EC2 is asked about the registry's AMIs: few calls, and nothing overlooked."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models.amis import Ami

from annexkit.aws import Cloud
from annexkit.publish.holding import ask
from annexkit.publish.standing import Named, root_snapshot
from annexkit.registry import State
from tests.unit.flows.bakery import ec2
from tests.unit.helpers import BUILD, REGION, ami_id


def one(number: int, snapshot: str = "") -> Named:
    ami = ami_id(number)
    return Named("debian13", "x86_64", REGION, BUILD, ami, snapshot, State.READY)


def make(number: int) -> Any:
    backend = ec2()
    image = Ami(backend, ami_id(number), root_device_name="/dev/xvda")
    backend.amis[image.id] = image
    return image


def test_what_is_there_is_returned_with_its_root_snapshot(cloud: Cloud) -> None:
    image, _ = make(1), make(2)
    held = ask(cloud, REGION, [one(1)])
    assert list(held.images) == [ami_id(1)]
    assert root_snapshot(held.images[ami_id(1)]) == image.ebs_snapshot.id
    assert held.snapshots == {image.ebs_snapshot.id: "completed"}
    assert dict(cloud.calls) == {
        (REGION, "DescribeImages"): 1,
        (REGION, "DescribeSnapshots"): 1,
    }


def test_one_that_is_gone_hides_no_other(cloud: Cloud) -> None:
    make(1)
    held = ask(cloud, REGION, [one(1), one(2)])
    assert list(held.images) == [ami_id(1)]


def test_the_snapshot_that_the_registry_names_is_asked_for_too(cloud: Cloud) -> None:
    image = make(1)
    left = image.ebs_snapshot.id
    del ec2().amis[image.id]
    held = ask(cloud, REGION, [one(1, left)])
    assert held.images == {}
    assert held.snapshots == {left: "completed"}


def test_nothing_is_asked_about_nothing(cloud: Cloud) -> None:
    assert ask(cloud, REGION, []).images == {}
    assert not cloud.calls


@pytest.mark.parametrize(("count", "calls"), [(200, 1), (201, 2)])
def test_no_filter_has_more_values_than_ec2_takes(
    cloud: Cloud, count: int, calls: int
) -> None:
    sent: list[list[str]] = []

    def keep(params: dict[str, Any], **_: Any) -> None:
        sent.append(params["Filters"][0]["Values"])
        assert params["IncludeDisabled"] is True

    events = cloud.client("ec2", REGION).meta.events
    events.register("provide-client-params.ec2.DescribeImages", keep)
    make(count - 1)
    held = ask(cloud, REGION, [one(number) for number in range(count)])
    assert list(held.images) == [ami_id(count - 1)]
    assert cloud.calls[REGION, "DescribeImages"] == len(sent) == calls
    assert max(map(len, sent)) <= 200
    assert sum(map(len, sent)) == count
    assert cloud.calls[REGION, "DescribeSnapshots"] == 1
