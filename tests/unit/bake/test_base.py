from __future__ import annotations

from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.bake.base import resolve_base
from annexkit.errors import UsageError
from tests.unit.bake.samples import recipe
from tests.unit.helpers import REGION


class Images:
    """EC2 with these images; remembers what was asked."""

    def __init__(self, *images: dict[str, Any]) -> None:
        self.images = list(images)
        self.asked: dict[str, Any] = {}

    def describe_images(self, region: str, **kwargs: Any) -> list[dict[str, Any]]:
        self.asked = {"region": region, **kwargs}
        return self.images


def ami(number: int, created: str, **changed: Any) -> dict[str, Any]:
    ebs = {"VolumeSize": 8}
    return {
        "ImageId": f"ami-{number}",
        "Name": f"debian-13-amd64-{number}",
        "OwnerId": "136693071363",
        "CreationDate": created,
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/xvda", "Ebs": ebs},
            {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 500}},
        ],
        **changed,
    }


def test_the_newest_by_creation_date_is_taken_whatever_the_order() -> None:
    images = Images(
        ami(1, "2026-01-01T00:00:00.000Z"),
        ami(3, "2026-03-01T00:00:00.000Z"),
        ami(2, "2026-02-01T00:00:00.000Z"),
    )
    base = resolve_base(images, recipe(), "x86_64", "eu-west-1")
    assert (base.id, base.name) == ("ami-3", "debian-13-amd64-3")
    assert (base.root_device, base.root_size) == ("/dev/xvda", 8)
    assert base.owner == "136693071363"


def test_one_question_asks_for_owner_pattern_and_what_packer_needs() -> None:
    images = Images(ami(1, "2026-01-01"))
    resolve_base(images, recipe(), "arm64", "eu-west-1")
    assert images.asked["region"] == "eu-west-1"
    assert images.asked["Owners"] == ["136693071363"]
    asked = {f["Name"]: f["Values"] for f in images.asked["Filters"]}
    assert asked == {
        "name": ["debian-13-arm64-*"],
        "architecture": ["arm64"],
        "state": ["available"],
        "root-device-type": ["ebs"],
        "virtualization-type": ["hvm"],
    }


def test_no_base_ami_names_owner_pattern_and_region() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_base(Images(), recipe(), "x86_64", "eu-west-1")
    expected = "no base AMI: owner 136693071363 'debian-13-amd64-*' (x86_64) in"
    assert caught.value.what == f"{expected} eu-west-1"
    assert caught.value.where == "debian13.pkrvars.hcl"


def test_two_equally_new_ones_are_both_named() -> None:
    images = Images(ami(2, "2026-02-01"), ami(1, "2026-02-01"), ami(9, "2025-01-01"))
    with pytest.raises(UsageError, match="2 base AMIs are equally new") as caught:
        resolve_base(images, recipe(), "x86_64", "eu-west-1")
    assert "ami-1 (debian-13-amd64-1) and ami-2" in caught.value.what
    assert "ami-9" not in caught.value.what


def test_a_base_ami_larger_than_the_root_volume_is_refused() -> None:
    large = ami(1, "2026-01-01", RootDeviceName="/dev/xvdb")
    with pytest.raises(UsageError, match="needs 500") as caught:
        resolve_base(Images(large), recipe(), "x86_64", "eu-west-1")
    assert "set root_volume.size to 500" in caught.value.mend


def test_a_base_ami_without_root_device_is_refused() -> None:
    with pytest.raises(UsageError, match="no root device"):
        none = ami(1, "2026-01-01", RootDeviceName="")
        resolve_base(Images(none), recipe(), "x86_64", "eu-west-1")


def test_an_architecture_that_the_recipe_lacks_costs_no_question() -> None:
    images = Images(ami(1, "2026-01-01"))
    with pytest.raises(UsageError, match="architecture 'riscv64'"):
        resolve_base(images, recipe(), "riscv64", "eu-west-1")
    assert images.asked == {}


def test_it_works_through_the_real_door_to_ec2(cloud: Cloud) -> None:
    with pytest.raises(UsageError, match="no base AMI"):
        resolve_base(cloud, recipe(), "x86_64", REGION)
