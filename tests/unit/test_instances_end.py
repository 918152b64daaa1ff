"""The end of instances, against moto's EC2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit import instances
from annexkit.aws import AwsError, Cloud
from annexkit.instances import Launch
from annexkit.waiting import Deadline
from tests.unit.helpers import REGION, FakeClock
from tests.unit.instance_samples import UNKNOWN, a_launch, described


@pytest.fixture
def launch(cloud: Cloud) -> Launch:
    return a_launch(cloud)


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


def test_many_are_terminated_in_few_calls_even_around_one_that_is_gone(
    cloud: Cloud,
) -> None:
    asked: list[int] = []
    ended: set[str] = set()

    def terminate_instances(params: dict[str, list[str]], **_: Any) -> None:
        ids = params["InstanceIds"]
        asked.append(len(ids))
        if UNKNOWN in ids:
            raise AwsError(
                "gone", code=instances.GONE_CODES[0], action="", region=REGION
            )
        ended.update(ids)

    ids = [f"i-{n:017x}" for n in range(1, 1201)]
    events = cloud.client("ec2", REGION).meta.events
    events.register("provide-client-params.ec2.TerminateInstances", terminate_instances)
    with Stubber(cloud.client("ec2", REGION)) as stub:
        for _ in range(40):
            stub.add_response("terminate_instances", {})
        instances.terminate(cloud, REGION, [*ids[:700], UNKNOWN, *ids[700:]])
    assert ended == set(ids)
    assert max(asked) == instances.AT_ONCE
    assert len(asked) <= 3 + 2 * 9


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
