from __future__ import annotations

from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.bake.base import BaseAmi, resolve_base, resolve_bases
from annexkit.bake.image import Image
from annexkit.bake.recipe import Base
from annexkit.errors import UsageError
from tests.unit.bake.samples import recipe
from tests.unit.helpers import ACCOUNT, REGION


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


def bases(images: Images, *wanted: tuple[Image, str]) -> list[str]:
    """The AMI of each image, or why there is none."""
    found = resolve_bases(images, wanted, REGION, ACCOUNT)
    return [one.id if isinstance(one, BaseAmi) else one.what for one in found]


def test_one_question_for_many_images_and_to_each_its_own_answer() -> None:
    debian, arm = recipe(), {"Architecture": "arm64", "Name": "debian-13-arm64-9"}
    base = {"owner": "self", "name": {"x86_64": "ours-?"}}
    ours = recipe(base=Base.model_validate(base))
    amazon = recipe(base=Base.model_validate({**base, "owner": "amazon"}))
    x86 = {"Architecture": "x86_64"}
    images = Images(
        ami(1, "2026-01-01", **x86),
        ami(2, "2026-02-01", **x86),
        ami(3, "2026-03-01", **arm),
        ami(4, "2026-04-01", **x86, Name="ours-1", OwnerId=ACCOUNT),
        ami(5, "2026-05-01", **x86, Name="ours-22", OwnerId=ACCOUNT),
        ami(6, "2026-06-01", **x86, Name="ours-2", ImageOwnerAlias="amazon"),
        ami(7, "2026-07-01", **x86, Name="debian-13-amd64-7", OwnerId=ACCOUNT),
    )
    asked = ((debian, "x86_64"), (debian, "arm64"), (ours, "x86_64"))
    found = bases(images, *asked, (amazon, "x86_64"))
    assert found == ["ami-2", "ami-3", "ami-4", "ami-6"]
    assert images.asked["Owners"] == ["136693071363", "amazon", "self"]
    filters = {f["Name"]: f["Values"] for f in images.asked["Filters"]}
    assert filters["name"] == ["debian-13-amd64-*", "debian-13-arm64-*", "ours-?"]
    assert filters["architecture"] == ["arm64", "x86_64"]


def test_of_many_images_one_without_a_base_ami_spoils_no_other() -> None:
    none = recipe(base=Base.model_validate({"owner": "self", "name": {"x86_64": "n"}}))
    images = Images(ami(1, "2026-01-01", Architecture="x86_64"))
    good, bad = bases(images, (recipe(), "x86_64"), (none, "x86_64"))
    assert good == "ami-1"
    assert bad == f"no base AMI: owner self 'n' (x86_64) in {REGION}"


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("debian-*", "debian-13", True),
        ("debian-*", "Debian-13", False),
        ("*[2]*", "a[2]b", True),
        ("*[2]*", "a2b", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("a.c", "abc", False),
    ],
)
def test_a_pattern_means_what_it_means_as_a_filter_of_ec2(
    pattern: str, name: str, fits: bool
) -> None:
    one = recipe(
        base=Base.model_validate({"owner": "self", "name": {"x86_64": pattern}})
    )
    said = ami(1, "2026-01-01", Architecture="x86_64", OwnerId=ACCOUNT, Name=name)
    assert (bases(Images(said), (one, "x86_64")) == ["ami-1"]) is fits


def test_many_images_go_through_the_real_door_to_ec2(cloud: Cloud) -> None:
    (found,) = resolve_bases(cloud, [(recipe(), "x86_64")], REGION, ACCOUNT)
    assert isinstance(found, UsageError)
