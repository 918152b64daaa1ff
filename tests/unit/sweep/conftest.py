"""Things in moto's EC2, made the way annexkit and Packer make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.instances import as_tags
from tests.unit.helpers import BUILD, REGION

Make = Callable[..., str]
NAME = f"annexkit-debian13-x86_64-{BUILD}"
OURS = {tags.BUILD: BUILD, tags.EXPIRES: "1700000000"}


@pytest.fixture
def make(cloud: Cloud) -> Make:
    """Make one thing of a kind; return its id (of a key pair: its name)."""

    def image(region: str, name: str) -> str:
        said = cloud.call(region, "register_image", Name=name, RootDeviceName="/dev/a")
        return str(said["ImageId"])

    def make(kind: str, name: str = NAME, region: str = REGION, **own: str) -> str:
        specification = [{"ResourceType": kind, "Tags": as_tags(own)}] if own else []
        given: dict[str, Any] = {"TagSpecifications": specification}
        if kind == "image":
            made = image(region, name)
            if own:
                cloud.call(region, "create_tags", Resources=[made], Tags=as_tags(own))
            return made
        if kind == "instance":
            said = cloud.call(
                region,
                "run_instances",
                ImageId=image(region, f"base-{name}"),
                MinCount=1,
                MaxCount=1,
                **given,
            )
            return str(said["Instances"][0]["InstanceId"])
        if kind == "volume":
            said = cloud.call(
                region, "create_volume", AvailabilityZone=f"{region}a", Size=1, **given
            )
            return str(said["VolumeId"])
        if kind == "snapshot":
            volume = make("volume", region=region)
            said = cloud.call(region, "create_snapshot", VolumeId=volume, **given)
            return str(said["SnapshotId"])
        if kind == "key-pair":
            cloud.call(region, "create_key_pair", KeyName=name, **given)
            return name
        said = cloud.call(
            region, "create_security_group", GroupName=name, Description="x", **given
        )
        return str(said["GroupId"])

    return make
