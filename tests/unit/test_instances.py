"""Short-lived instances, against moto's EC2."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit import instances
from annexkit.aws import AwsError, Cloud
from annexkit.instances import Instance, InstanceError, Launch, as_tags, from_tags
from annexkit.waiting import Deadline
from tests.unit.helpers import REGION, FakeClock
from tests.unit.instance_samples import UNKNOWN, a_launch, described


@pytest.fixture
def launch(cloud: Cloud) -> Launch:
    return a_launch(cloud)


def attribute(cloud: Cloud, instance_id: str, name: str) -> Any:
    said = cloud.call(
        REGION, "describe_instance_attribute", InstanceId=instance_id, Attribute=name
    )
    return said[name[0].upper() + name[1:]]["Value"]


def test_a_launch_asks_for_everything_the_laws_want(launch: Launch) -> None:
    asked = launch.parameters()
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert asked["MetadataOptions"]["HttpTokens"] == "required"
    assert asked["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert asked["ClientToken"] == "token"
    assert (asked["MinCount"], asked["MaxCount"]) == (2, 2)
    assert "SubnetId" not in asked["NetworkInterfaces"][0]
    assert {t["ResourceType"] for t in asked["TagSpecifications"]} == {
        "instance",
        "volume",
        "network-interface",
    }


def test_a_subnet_and_a_private_address_can_be_asked_for(launch: Launch) -> None:
    [interface] = replace(launch, subnet_id="subnet-1", public_ip=False).parameters()[
        "NetworkInterfaces"
    ]
    assert interface["SubnetId"] == "subnet-1"
    assert interface["AssociatePublicIpAddress"] is False
    assert interface["DeleteOnTermination"] is True


def test_a_launch_may_take_fewer_and_buy_spot_with_a_role_and_a_key(
    launch: Launch,
) -> None:
    asked = replace(
        launch,
        count=100,
        least=1,
        market="spot",
        instance_profile="annexkit-node",
        key_name="mine",
    ).parameters()
    assert (asked["MinCount"], asked["MaxCount"]) == (1, 100)
    assert asked["IamInstanceProfile"] == {"Name": "annexkit-node"}
    assert asked["KeyName"] == "mine"
    assert asked["InstanceMarketOptions"]["MarketType"] == "spot"
    assert asked["InstanceMarketOptions"]["SpotOptions"] == {
        "SpotInstanceType": "one-time",
        "InstanceInterruptionBehavior": "terminate",
    }
    kinds = [t["ResourceType"] for t in asked["TagSpecifications"]]
    assert "spot-instances-request" in kinds


def test_a_plain_launch_names_no_market_role_or_key(launch: Launch) -> None:
    optional = {"IamInstanceProfile", "KeyName", "InstanceMarketOptions"}
    assert launch.parameters().keys() & optional == set()


def test_a_dry_run_launches_nothing_and_says_what_ec2_would_refuse(
    cloud: Cloud, launch: Launch
) -> None:
    instances.dry_run(cloud, launch)
    assert instances.find(cloud, REGION, {}) == []
    with Stubber(cloud.client("ec2", REGION, launch=True)) as stub:
        stub.add_client_error("run_instances", "UnauthorizedOperation", "no", 403)
        with pytest.raises(AwsError, match="UnauthorizedOperation"):
            instances.dry_run(cloud, launch)


def test_an_endpoint_that_launches_on_a_dry_run_is_found_out(
    cloud: Cloud, launch: Launch
) -> None:
    with Stubber(cloud.client("ec2", REGION, launch=True)) as stub:
        stub.add_response("run_instances", {"Instances": [{"InstanceId": UNKNOWN}]})
        with pytest.raises(InstanceError, match="dry run") as caught:
            instances.dry_run(cloud, launch)
    assert "invoke reap" in caught.value.mend


def test_user_data_is_counted_in_bytes_against_the_limit(launch: Launch) -> None:
    replace(launch, user_data="x" * 16_384).parameters()
    with pytest.raises(InstanceError, match="16386 bytes"):
        replace(launch, user_data="ü" * 8193).parameters()


def test_what_ec2_launched_is_what_was_asked(cloud: Cloud, launch: Launch) -> None:
    ids = instances.run(cloud, launch)
    assert len(set(ids)) == 2
    assert attribute(cloud, ids[0], "instanceInitiatedShutdownBehavior") == "terminate"
    sent = attribute(cloud, ids[0], "userData")
    assert base64.b64decode(sent).decode() == launch.user_data
    said = described(cloud, ids[0])
    assert from_tags(said["Tags"]) == launch.tags
    [interface] = said["NetworkInterfaces"]
    assert [g["GroupId"] for g in interface["Groups"]] == [launch.security_group]


def test_instances_are_found_by_filter_and_id(cloud: Cloud, launch: Launch) -> None:
    first, second = instances.run(cloud, launch)
    by_tag = {"tag:annexkit:build": ["b"]}
    assert {i.id for i in instances.find(cloud, REGION, by_tag)} == {first, second}
    [only] = instances.find(cloud, REGION, by_tag, [second])
    assert (only.id, only.region, only.state) == (second, REGION, "running")
    assert only.private_ip
    assert abs(only.launched - datetime.now(UTC).timestamp()) < 600
    assert instances.find(cloud, REGION, {"tag:annexkit:build": ["c"]}) == []


def test_an_id_that_ec2_does_not_know_yet_is_no_error(cloud: Cloud) -> None:
    assert instances.find(cloud, REGION, {}, [UNKNOWN]) == []


def test_an_instance_is_read_even_when_ec2_says_little() -> None:
    said = {"InstanceId": "i-1", "State": {"Name": "pending"}}
    assert Instance.read(REGION, said) == Instance("i-1", REGION, "pending")


def test_everything_that_annexkit_uses_is_read_from_ec2(
    cloud: Cloud, launch: Launch
) -> None:
    [one] = instances.run(cloud, replace(launch, count=1, market="spot"))
    [found] = instances.find(cloud, REGION, {}, [one])
    assert (found.instance_type, found.market) == ("t3.small", "spot")
    assert (found.ami, found.token, found.reason) == (launch.ami, "token", "")
    assert found.zone.startswith(REGION)
    assert found.subnet_id.startswith("subnet-")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, ""),
        ({"Code": "pending"}, "pending"),
        ({"Message": "ended"}, "ended"),
        ({"Code": "Client.X", "Message": "Client.X: by hand"}, "Client.X: by hand"),
        ({"Code": "Server.X", "Message": "no room"}, "Server.X: no room"),
    ],
)
def test_the_reason_of_a_state_is_code_and_message(
    said: dict[str, str], reason: str
) -> None:
    item = {"InstanceId": "i-1", "State": {"Name": "terminated"}, "StateReason": said}
    assert Instance.read(REGION, item).reason == reason


def test_the_address_is_the_one_of_the_interface_asked_for() -> None:
    one = Instance(
        "i-1", REGION, "running", private_ip="10.0.0.1", public_ip="192.0.2.1"
    )
    assert one.address("public_ip") == "192.0.2.1"
    assert one.address("private_ip") == "10.0.0.1"


def test_running_instances_come_in_the_order_of_their_ids(
    cloud: Cloud, launch: Launch, clock: FakeClock
) -> None:
    ids = instances.run(cloud, launch)[::-1]
    found = instances.wait_running(
        cloud,
        REGION,
        ids,
        interface="private_ip",
        timeout=60,
        poll=5,
        clock=clock,
    )
    assert [i.id for i in found] == ids
    assert clock.slept == 0


def test_waiting_ends_at_once_when_one_ended_on_the_way(
    cloud: Cloud, launch: Launch, clock: FakeClock
) -> None:
    ids = instances.run(cloud, launch)
    instances.terminate(cloud, REGION, ids[:1])
    with pytest.raises(InstanceError) as caught:
        instances.wait_running(
            cloud,
            REGION,
            ids,
            interface="private_ip",
            timeout=60,
            poll=5,
            clock=clock,
        )
    assert ids[0] in caught.value.where
    assert f"--instance-ids {ids[0]}" in caught.value.mend
    assert clock.slept == 0


def test_waiting_for_an_instance_that_never_comes_has_a_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    with pytest.raises(Deadline, match=UNKNOWN):
        instances.wait_running(
            cloud,
            REGION,
            [UNKNOWN],
            interface="public_ip",
            timeout=60,
            poll=5,
            clock=clock,
        )
    assert clock.slept == 60


def answers(state: str, address: str) -> dict[str, Any]:
    said = {"InstanceId": UNKNOWN, "State": {"Name": state}}
    if address:
        said["PublicIpAddress"] = address
    return {"Reservations": [{"Instances": [said]}]}


def test_running_without_an_address_is_not_up_yet(
    cloud: Cloud, clock: FakeClock
) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        for state, address in [
            ("pending", ""),
            ("running", ""),
            ("running", "192.0.2.1"),
        ]:
            stub.add_response("describe_instances", answers(state, address))
        [up] = instances.wait_running(
            cloud,
            REGION,
            [UNKNOWN],
            interface="public_ip",
            timeout=60,
            poll=5,
            clock=clock,
        )
    assert up.public_ip == "192.0.2.1"
    assert clock.slept == 10


def test_a_console_without_output_is_empty_text(cloud: Cloud) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        asked = {"InstanceId": UNKNOWN, "Latest": True}
        stub.add_response("get_console_output", {"InstanceId": UNKNOWN}, asked)
        stub.add_response("get_console_output", {"Output": "login:"}, asked)
        assert instances.console_text(cloud, REGION, UNKNOWN) == ""
        assert instances.console_text(cloud, REGION, UNKNOWN) == "login:"


def test_tags_are_written_and_read_the_way_ec2_has_them() -> None:
    tags = {"b": "2", "a": "1"}
    assert as_tags(tags) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert from_tags(as_tags(tags)) == tags
