from __future__ import annotations

import base64
from typing import cast

import pytest

from annexkit.rehearsal import launch
from annexkit.rehearsal.image_view import Image
from annexkit.rehearsal.wire import ApiError, Call, Moto
from tests.unit.rehearsal.samples import Answers, a_call

IMAGE = Image("ami-1", "us-west-2", "ref")
SUBNETS = (
    "<r><subnetSet>"
    "<item><subnetId>subnet-b</subnetId><availabilityZone>b</availabilityZone></item>"
    "<item><subnetId>subnet-a</subnetId><availabilityZone>a</availabilityZone></item>"
    "</subnetSet></r>"
)


def prepared(call: Call, image: Image = IMAGE, subnets: str = SUBNETS) -> Call:
    moto = Answers(DescribeSubnets=subnets)
    return launch.prepare(call, image, 3, cast(Moto, moto))


def encoded(size: int) -> str:
    return base64.b64encode(b"x" * size).decode()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"MinCount": "0"}, "MinCount"),
        ({"MinCount": "3", "MaxCount": "2"}, "MinCount"),
        ({"MinCount": "many"}, "numbers"),
        ({"ClientToken": "x" * 65}, "64 characters"),
        ({"UserData": encoded(16385)}, "16384 bytes"),
        ({"UserData": "not base64!"}, "BASE64"),
    ],
)
def test_what_aws_refuses_is_refused(params: dict[str, str], says: str) -> None:
    with pytest.raises(ApiError) as caught:
        launch.check(a_call("RunInstances", **params))
    assert caught.value.code == "InvalidParameterValue"
    assert says in caught.value.message


def test_the_most_that_aws_takes_is_taken() -> None:
    launch.check(
        a_call(
            "RunInstances", UserData=encoded(16384), ClientToken="x" * 64, MinCount="1"
        )
    )


def test_moto_is_asked_for_exactly_as_many_as_there_is_room_for() -> None:
    call = prepared(a_call("RunInstances", MinCount="1", MaxCount="5"))
    assert (call.get("MinCount"), call.get("MaxCount")) == ("3", "3")


def test_the_default_subnet_is_that_of_the_first_zone() -> None:
    assert prepared(a_call("RunInstances")).get("SubnetId") == "subnet-a"


def test_a_network_interface_gets_the_default_subnet_inside() -> None:
    call = prepared(a_call("RunInstances", NetworkInterface__1__DeviceIndex="0"))
    assert call.get("NetworkInterface.1.SubnetId") == "subnet-a"
    assert call.get("SubnetId") == ""


@pytest.mark.parametrize("name", ["SubnetId", "NetworkInterface.1.SubnetId"])
def test_a_subnet_that_was_given_stays(name: str) -> None:
    call = prepared(Call("ec2", "r", "RunInstances", {name: "subnet-mine"}), subnets="")
    assert call.get(name) == "subnet-mine"


def test_a_region_without_default_subnets_is_an_error() -> None:
    with pytest.raises(ApiError, match="MissingInput"):
        prepared(a_call("RunInstances"), subnets="<r><subnetSet/></r>")


def test_a_root_volume_is_made_as_the_image_has_it() -> None:
    call = prepared(a_call("RunInstances"))
    assert next(call.groups("BlockDeviceMapping")) == {
        "DeviceName": "/dev/xvda",
        "Ebs.VolumeSize": "8",
        "Ebs.VolumeType": "gp3",
        "Ebs.DeleteOnTermination": "true",
    }


def test_a_volume_that_was_asked_for_keeps_what_it_says() -> None:
    call = prepared(
        a_call(
            "RunInstances",
            BlockDeviceMapping__1__DeviceName="/dev/xvda",
            BlockDeviceMapping__1__Ebs__VolumeSize="20",
            BlockDeviceMapping__1__Ebs__Encrypted="true",
        )
    )
    assert list(call.groups("BlockDeviceMapping")) == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs.VolumeSize": "20",
            "Ebs.Encrypted": "true",
            "Ebs.DeleteOnTermination": "true",
        }
    ]


def test_an_image_for_imdsv2_makes_tokens_required_unless_the_launch_says() -> None:
    image = Image("ami-1", "us-west-2", "ref", imds="v2.0")
    tokens = "MetadataOptions.HttpTokens"
    assert prepared(a_call("RunInstances"), image).get(tokens) == "required"
    asked = a_call("RunInstances", MetadataOptions__HttpTokens="optional")
    assert prepared(asked, image).get(tokens) == "optional"
    assert prepared(a_call("RunInstances")).get(tokens) == ""


def test_a_launch_tells_its_zone_and_market_to_rules() -> None:
    zone = "<item><availabilityZone>b</availabilityZone></item>"
    one = f"<r><subnetSet>{zone}</subnetSet></r>"
    moto = cast(Moto, Answers(DescribeSubnets=one))
    call = a_call("RunInstances", NetworkInterface__1__SubnetId="subnet-b")
    found = launch.with_place(call, moto)
    assert (found.get("Zone"), found.get("Market")) == ("b", "on-demand")
    spot = call.having(InstanceMarketOptions__MarketType="spot")
    assert launch.with_place(spot, moto).get("Market") == "spot"


def test_missing_capacity_is_an_error_of_the_service() -> None:
    error = launch.no_capacity(a_call("RunInstances", InstanceType="t", Zone="b"))
    assert (error.code, error.status) == ("InsufficientInstanceCapacity", 500)
    assert "(b)" in error.message
