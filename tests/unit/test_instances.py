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

UNKNOWN = "i-00000000000000000"


@pytest.fixture
def launch(cloud: Cloud) -> Launch:
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


def test_terminating_is_done_in_one_call(cloud: Cloud, launch: Launch) -> None:
    ids = instances.run(cloud, launch)
    instances.terminate(cloud, REGION, iter(ids))
    assert {described(cloud, i)["State"]["Name"] for i in ids} == {"terminated"}
    assert cloud.calls[(REGION, "TerminateInstances")] == 1


def test_one_that_is_gone_does_not_save_the_others(
    cloud: Cloud, launch: Launch
) -> None:
    ids = instances.run(cloud, launch)
    instances.terminate(cloud, REGION, [ids[0], UNKNOWN, ids[1]])
    assert {described(cloud, i)["State"]["Name"] for i in ids} == {"terminated"}


def test_terminating_nothing_asks_nothing(cloud: Cloud) -> None:
    instances.terminate(cloud, REGION, [])
    assert not cloud.calls


def test_a_refusal_to_terminate_is_not_swallowed(cloud: Cloud, launch: Launch) -> None:
    [one] = instances.run(cloud, replace(launch, count=1))
    cloud.call(
        REGION,
        "modify_instance_attribute",
        InstanceId=one,
        DisableApiTermination={"Value": True},
    )
    with pytest.raises(AwsError, match="OperationNotPermitted"):
        instances.terminate(cloud, REGION, [one])


def test_the_end_is_waited_for_and_has_a_deadline(
    cloud: Cloud, launch: Launch, clock: FakeClock
) -> None:
    ids = instances.run(cloud, launch)
    with pytest.raises(Deadline) as caught:
        instances.wait_ended(cloud, REGION, ids, timeout=30, poll=5, clock=clock)
    assert ids[0] in caught.value.mend
    instances.terminate(cloud, REGION, ids)
    before = clock.slept
    instances.wait_ended(cloud, REGION, ids, timeout=30, poll=5, clock=clock)
    assert clock.slept == before


def end(cloud: Cloud, clock: FakeClock, ids: list[str], timeout: float = 120) -> None:
    instances.end_launch(
        cloud, REGION, ids, "token", timeout=timeout, poll=5, clock=clock
    )


def shown(*states: str) -> dict[str, Any]:
    said = [
        {"InstanceId": f"i-{n:017x}", "State": {"Name": state}}
        for n, state in enumerate(states)
    ]
    return {"Reservations": [{"Instances": said}] if said else []}


def ids_of(count: int) -> list[str]:
    return [f"i-{n:017x}" for n in range(count)]


def stub_launch(stub: Stubber, looks: list[dict[str, Any]], name: str) -> None:
    """Answer each look; one that shows something alive is followed by its end."""
    for look in looks:
        values = ["token"] if name == "client-token" else ids_of(2)
        asked = {"Filters": [{"Name": name, "Values": values}]}
        stub.add_response("describe_instances", look, asked)
        alive = [
            i["InstanceId"]
            for r in look["Reservations"]
            for i in r["Instances"]
            if i["State"]["Name"] not in instances.ENDED
        ]
        if alive:
            stub.add_response("terminate_instances", {}, {"InstanceIds": alive})


def test_a_launch_is_ended_and_seen_to_end(
    cloud: Cloud, launch: Launch, clock: FakeClock
) -> None:
    ids = instances.run(cloud, launch)
    end(cloud, clock, ids)
    assert {described(cloud, i)["State"]["Name"] for i in ids} == {"terminated"}
    assert clock.slept == 5


@pytest.mark.parametrize("hidden", [shown(), shown("pending"), shown("terminated")])
def test_an_instance_that_ec2_does_not_show_yet_does_not_count_as_ended(
    cloud: Cloud, clock: FakeClock, hidden: dict[str, Any]
) -> None:
    looks = [hidden, shown("pending", "pending"), shown("terminated", "shutting-down")]
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub_launch(stub, looks, "instance-id")
        end(cloud, clock, ids_of(2))
        stub.assert_no_pending_responses()
    assert clock.slept == 10


def test_a_launch_whose_answer_was_lost_is_looked_for_by_its_token(
    cloud: Cloud, clock: FakeClock
) -> None:
    looks = [shown(), shown("running", "pending"), shown("terminated", "terminated")]
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub_launch(stub, looks, "client-token")
        end(cloud, clock, [])
        stub.assert_no_pending_responses()
    assert clock.slept == 10


def test_what_never_shows_is_given_up_after_a_minute_and_not_before(
    cloud: Cloud, clock: FakeClock
) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub_launch(stub, [shown()] * 13, "client-token")
        end(cloud, clock, [])
        stub.assert_no_pending_responses()
    assert clock.slept == instances.SETTLE == 60


def test_a_launch_that_will_not_end_has_a_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub_launch(stub, [shown("running", "running")] * 3, "instance-id")
        with pytest.raises(Deadline, match="client token token") as caught:
            end(cloud, clock, ids_of(2), timeout=10)
    assert caught.value.mend == "invoke reap"


def test_tags_are_written_and_read_the_way_ec2_has_them() -> None:
    tags = {"b": "2", "a": "1"}
    assert as_tags(tags) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert from_tags(as_tags(tags)) == tags
