"""What moto answers otherwise than AWS is answered as AWS does."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from annexkit.errors import AnnexkitError
from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import Region, a_profile, code_of, eventually

pytestmark = pytest.mark.machines


def test_the_base_image_is_in_every_region(rehearsal: Rehearsal) -> None:
    for name in ("us-west-2", "ap-southeast-4"):
        (image,) = Region(rehearsal, name).ec2.describe_images(
            Owners=["136693071363"],
            Filters=[
                {"Name": "name", "Values": ["debian-13-amd64-*"]},
                {"Name": "root-device-type", "Values": ["ebs"]},
                {"Name": "architecture", "Values": ["x86_64"]},
                {"Name": "state", "Values": ["available"]},
            ],
        )["Images"]
        assert image["RootDeviceName"] == "/dev/xvda"


def test_as_many_are_launched_as_there_is_room_for(powerless: Region) -> None:
    limit = powerless.rehearsal.machines
    assert len(powerless.run_many(MinCount=1, MaxCount=3)) == 3
    many = {"MinCount": limit, "MaxCount": limit}
    assert code_of(powerless.run_many, **many) == "InstanceLimitExceeded"
    assert len(powerless.run_many(MinCount=1, MaxCount=limit)) == limit - 3


def test_a_client_token_launches_once(powerless: Region) -> None:
    token = uuid4().hex
    with ThreadPoolExecutor(4) as together:
        asked = [together.submit(powerless.run, ClientToken=token) for _ in range(4)]
    (identity,) = {answer.result()["InstanceId"] for answer in asked}
    assert code_of(powerless.run, ClientToken=token, InstanceType="t3.small") == (
        "IdempotentParameterMismatch"
    )
    by_token = [{"Name": "client-token", "Values": [token]}]
    found = powerless.ec2.describe_instances(Filters=by_token)["Reservations"]
    assert [r["Instances"][0]["InstanceId"] for r in found] == [identity]
    powerless.terminate_all()
    assert code_of(powerless.run, ClientToken=token) == "IdempotentInstanceTerminated"


def test_states_are_filtered_as_they_are_and_not_as_moto_has_them(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    control.ask(
        rehearsal, "knobs", "POST", {"never_boots": True, "pending_seconds": 60}
    )
    identity = powerless.run()["InstanceId"]

    def ids(*states: str) -> list[str]:
        wanted = [{"Name": "instance-state-name", "Values": list(states)}]
        pages = powerless.ec2.get_paginator("describe_instances")
        found = pages.paginate(Filters=wanted).build_full_result()["Reservations"]
        return [i["InstanceId"] for r in found for i in r["Instances"]]

    assert identity in ids("pending")
    assert identity not in ids("running")
    status = powerless.ec2.describe_instance_status
    assert status(InstanceIds=[identity])["InstanceStatuses"] == []
    (told,) = status(InstanceIds=[identity], IncludeAllInstances=True)[
        "InstanceStatuses"
    ]
    assert told["InstanceState"]["Name"] == "pending"
    control.ask(rehearsal, "knobs", "POST", {"never_boots": True})
    powerless.until(identity, "running")
    assert identity in ids("running", "stopped")


def test_the_address_is_the_machines_own_wherever_it_shows(powerless: Region) -> None:
    launched = powerless.run()
    address = launched["PrivateIpAddress"]
    found = powerless.describe(launched["InstanceId"])
    nic = found["NetworkInterfaces"][0]
    assert found["PrivateIpAddress"] == nic["PrivateIpAddress"] == address
    assert found["PrivateDnsName"].startswith(f"ip-{address.replace('.', '-')}.")
    nics = powerless.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert address in [n["PrivateIpAddress"] for n in nics]
    by_address = [{"Name": "private-ip-address", "Values": [address]}]
    assert powerless.ec2.describe_instances(Filters=by_address)["Reservations"]


def test_a_network_interface_may_carry_subnet_and_groups(powerless: Region) -> None:
    ec2 = powerless.ec2
    subnet = ec2.describe_subnets()["Subnets"][1]
    group = ec2.create_security_group(
        GroupName=uuid4().hex, Description="x", VpcId=subnet["VpcId"]
    )["GroupId"]
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet["SubnetId"],
        "Groups": [group],
        "AssociatePublicIpAddress": False,
        "DeleteOnTermination": True,
    }
    launched = powerless.run(NetworkInterfaces=[interface])
    assert launched["SubnetId"] == subnet["SubnetId"]
    assert launched["Placement"]["AvailabilityZone"] == subnet["AvailabilityZone"]
    assert [g["GroupId"] for g in launched["NetworkInterfaces"][0]["Groups"]] == [group]
    powerless.terminate_all()
    ec2.delete_security_group(GroupId=group)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"ImageId": "ami-0000000000000dead"}, "InvalidAMIID.NotFound"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"InstanceType": "t3.enormous"}, "InvalidParameterValue"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
        ({"ImageId": "ami-0000000000000dead", "DryRun": True}, "InvalidAMIID.NotFound"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_and_launches_nothing(
    powerless: Region, arguments: dict[str, Any], code: str
) -> None:
    assert code_of(powerless.run, **arguments) == code
    assert control.ask(powerless.rehearsal, "status")["machines"] == []


def test_one_unknown_id_and_none_is_terminated(powerless: Region) -> None:
    identity = powerless.run()["InstanceId"]
    both = [identity, "i-00000000000000bad"]
    terminate = powerless.ec2.terminate_instances
    assert code_of(terminate, InstanceIds=both) == "InvalidInstanceID.NotFound"
    assert powerless.state(identity) in {"pending", "running"}


def test_every_instance_of_a_launch_gets_its_profile(powerless: Region) -> None:
    profile = a_profile(powerless.rehearsal)
    launched = powerless.run_many(
        MinCount=2, MaxCount=2, IamInstanceProfile={"Name": profile["name"]}
    )
    for instance in launched:
        found = powerless.describe(instance["InstanceId"])
        assert found["IamInstanceProfile"]["Arn"] == profile["arn"]


def test_a_fault_is_answered_as_often_as_it_was_asked_for(powerless: Region) -> None:
    rule = {
        "action": "DescribeKeyPairs",
        "error": {"code": "UnauthorizedOperation", "message": "no", "status": 403},
        "times": 1,
    }
    control.ask(powerless.rehearsal, "faults", "POST", [rule])
    describe = powerless.ec2.describe_key_pairs
    assert code_of(describe) == "UnauthorizedOperation"
    assert describe()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_an_api_may_die_after_it_accepted_a_call(powerless: Region) -> None:
    rule = {"action": "RunInstances", "after": True, "times": 1}
    control.ask(powerless.rehearsal, "faults", "POST", [rule])
    once = Config(retries={"total_max_attempts": 1})
    ec2 = boto3.client(
        "ec2",
        endpoint_url=powerless.rehearsal.endpoint,
        region_name="us-west-2",
        config=once,
    )
    with pytest.raises(ConnectionClosedError):
        ec2.run_instances(
            ImageId=powerless.rehearsal.base.ami_id,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            ClientToken="lost",
        )
    eventually(
        lambda: len(control.ask(powerless.rehearsal, "status")["machines"]) == 1,
        "the machine that nobody was told of",
    )
    assert powerless.run(ClientToken="lost")["InstanceId"]
    assert len(control.ask(powerless.rehearsal, "status")["machines"]) == 1


def test_calls_are_counted(powerless: Region) -> None:
    control.ask(powerless.rehearsal, "calls", "DELETE")
    powerless.ec2.describe_regions()
    code_of(powerless.run, ImageId="ami-0000000000000dead")
    calls = control.ask(powerless.rehearsal, "calls")
    assert [(c["action"], c["region"], c["status"]) for c in calls] == [
        ("DescribeRegions", "us-west-2", 200),
        ("RunInstances", "us-west-2", 400),
    ]


def test_what_moto_cannot_do_is_an_error_that_aws_could_answer(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    assert code_of(powerless.ec2.describe_image_references, ImageIds=["ami-1"])
    nowhere = Region(rehearsal, "mars-north-1")
    assert code_of(nowhere.ec2.describe_instances) == "AuthFailure"


def test_a_rule_that_makes_no_sense_is_refused_with_a_reason(
    powerless: Region,
) -> None:
    with pytest.raises(AnnexkitError, match="action"):
        control.ask(powerless.rehearsal, "faults", "POST", [{"error": None}])
    with pytest.raises(AnnexkitError, match="no such thing"):
        control.ask(powerless.rehearsal, "nothing")


def test_the_api_listens_on_loopback_only(rehearsal: Rehearsal) -> None:
    bridge = rehearsal.subnet.rpartition(".")[0] + ".1"
    with socket.socket() as outside:
        outside.settimeout(1)
        assert outside.connect_ex((bridge, rehearsal.port)) != 0
