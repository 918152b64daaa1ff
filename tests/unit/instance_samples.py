"""A launch that moto's EC2 takes, and how to see what became of it."""

from __future__ import annotations

from typing import Any

from annexkit.aws import Cloud
from annexkit.instances import Launch
from tests.unit.helpers import REGION

UNKNOWN = "i-00000000000000000"


def a_launch(cloud: Cloud) -> Launch:
    image = cloud.call(
        REGION, "register_image", Name="base", RootDeviceName="/dev/xvda"
    )
    group = cloud.call(REGION, "create_security_group", GroupName="g", Description="g")
    return Launch(
        region=REGION,
        ami=image["ImageId"],
        instance_type="t3.small",
        count=2,
        token="token",
        user_data="#cloud-config\n",
        tags={"annexkit:build": "b", "Name": "n"},
        security_group=group["GroupId"],
    )


def described(cloud: Cloud, instance_id: str) -> dict[str, Any]:
    said = cloud.call(REGION, "describe_instances", InstanceIds=[instance_id])
    found: dict[str, Any] = said["Reservations"][0]["Instances"][0]
    return found
