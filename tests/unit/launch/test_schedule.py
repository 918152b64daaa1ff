"""Schedules that end instances, against moto's EventBridge Scheduler."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annexkit.aws import AwsError, Cloud
from annexkit.launch import schedule
from annexkit.launch.schedule import MARGIN, Schedule
from annexkit.waiting import Deadline
from tests.unit.helpers import ACCOUNT, REGION, FakeClock

LAUNCH = "0123456789ab"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/annexkit-scheduler"
END = 1_764_000_000.0  # 2025-11-24T16:00:00Z
NODE = "i-0000000000000001"
NAME = f"{LAUNCH}-{NODE}"


@pytest.fixture
def group(cloud: Cloud) -> None:
    schedule.ensure_group(cloud, REGION, poll=1, clock=FakeClock())


def said(cloud: Cloud, name: str) -> dict[str, Any]:
    return cloud.call(
        REGION, "get_schedule", service="scheduler", GroupName="annexkit", Name=name
    )


def ids_of(answer: dict[str, Any]) -> list[str]:
    return list(json.loads(answer["Target"]["Input"])["InstanceIds"])


def create(cloud: Cloud, one: Schedule, clock: FakeClock | None = None) -> None:
    schedule.create(cloud, REGION, one, ROLE, poll=5, clock=clock or FakeClock())


def move(cloud: Cloud, one: Schedule, clock: FakeClock | None = None) -> None:
    schedule.move(cloud, REGION, one, ROLE, poll=5, clock=clock or FakeClock())


@pytest.mark.usefixtures("group")
def test_a_schedule_ends_these_instances_once_at_this_second(cloud: Cloud) -> None:
    create(cloud, Schedule(LAUNCH, NODE, END + 0.2))
    there = said(cloud, NAME)
    assert there["ScheduleExpression"] == "at(2025-11-24T16:00:01)"
    assert there["ScheduleExpressionTimezone"] == "UTC"
    assert there["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert there["ActionAfterCompletion"] == "DELETE"
    assert there["Target"]["Arn"] == (
        "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"
    )
    assert there["Target"]["RoleArn"] == ROLE
    assert ids_of(there) == [NODE]


@pytest.mark.usefixtures("group")
def test_making_it_again_makes_it_like_the_second(cloud: Cloud) -> None:
    create(cloud, Schedule(LAUNCH, NODE, END))
    create(cloud, Schedule(LAUNCH, NODE, END + 60))
    there = said(cloud, NAME)
    assert there["ScheduleExpression"] == "at(2025-11-24T16:01:00)"
    assert ids_of(there) == [NODE]


@pytest.mark.usefixtures("group")
def test_moving_says_all_of_it_anew_and_makes_what_is_missing(cloud: Cloud) -> None:
    move(cloud, Schedule(LAUNCH, NODE, END))
    move(cloud, Schedule(LAUNCH, NODE, END + 60))
    there = said(cloud, NAME)
    assert there["ScheduleExpression"] == "at(2025-11-24T16:01:00)"
    assert there["ActionAfterCompletion"] == "DELETE"
    assert ids_of(there) == [NODE]


def test_an_update_names_everything_since_it_forgets_the_rest() -> None:
    named = set(Schedule(LAUNCH, NODE, END).parameters("aws-us-gov", ROLE))
    assert named >= {"ActionAfterCompletion", "State", "ScheduleExpressionTimezone"}


def test_without_its_group_a_schedule_is_refused(cloud: Cloud) -> None:
    call = cloud.call

    def no_group(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "create_schedule":  # moto answers with a KeyError
            raise AwsError(
                "Schedule group annexkit does not exist.",
                code="ResourceNotFoundException",
                action="CreateSchedule",
                region=region,
            )
        return call(region, method, **arguments)

    cloud.call = no_group  # type: ignore[method-assign]
    clock = FakeClock()
    for act in (create, move):
        with pytest.raises(AwsError, match="does not exist"):
            act(cloud, Schedule(LAUNCH, NODE, END), clock)
    assert clock.slept == 0


def refusing(cloud: Cloud, message: str, times: int) -> list[str]:
    """Let Scheduler refuse so many calls, and note what was sent."""
    call = cloud.call
    sent: list[str] = []

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method in ("create_schedule", "update_schedule"):
            sent.append(method)
            if len(sent) <= times:
                raise AwsError(
                    message, code="ValidationException", action=method, region=region
                )
        return call(region, method, **arguments)

    cloud.call = refuse  # type: ignore[method-assign]
    return sent


NOT_YET = (
    "The execution role you provide must allow AWS EventBridge Scheduler to "
    "assume the role."
)


@pytest.mark.usefixtures("group")
def test_a_role_that_is_not_assumable_yet_is_waited_for(
    cloud: Cloud, clock: FakeClock
) -> None:
    refusing(cloud, NOT_YET, times=4)
    create(cloud, Schedule(LAUNCH, NODE, END), clock)
    assert 5 <= clock.slept <= 20
    assert ids_of(said(cloud, NAME)) == [NODE]


@pytest.mark.usefixtures("group")
def test_a_role_that_is_never_assumable_ends_in_a_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    refusing(cloud, NOT_YET, times=1000)
    with pytest.raises(Deadline, match="annexkit-scheduler"):
        create(cloud, Schedule(LAUNCH, NODE, END), clock)
    assert clock.slept == schedule.SETTLE


@pytest.mark.usefixtures("group")
def test_another_refusal_is_not_tried_again(cloud: Cloud, clock: FakeClock) -> None:
    sent = refusing(cloud, "Invalid Schedule Expression", times=1000)
    with pytest.raises(AwsError, match="Invalid Schedule Expression"):
        create(cloud, Schedule(LAUNCH, NODE, END), clock)
    assert len(sent) == 1


@pytest.mark.usefixtures("group")
def test_names_are_those_of_one_launch(cloud: Cloud) -> None:
    for launch, node in ((LAUNCH, "0"), (LAUNCH, "1"), ("ffffffffffff", "0")):
        create(cloud, Schedule(launch, node, END))
    assert schedule.names(cloud, REGION, f"{LAUNCH}-") == [f"{LAUNCH}-0", f"{LAUNCH}-1"]
    assert len(schedule.names(cloud, REGION)) == 3
    schedule.delete(cloud, REGION, f"{LAUNCH}-0")
    schedule.delete(cloud, REGION, f"{LAUNCH}-0")
    assert schedule.names(cloud, REGION, f"{LAUNCH}-") == [f"{LAUNCH}-1"]


def test_without_a_group_there_are_no_names(cloud: Cloud) -> None:
    call = cloud.call

    def no_group(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "list_schedules":
            raise AwsError(
                "no", code="ResourceNotFoundException", action="X", region=region
            )
        return call(region, method, **arguments)

    cloud.call = no_group  # type: ignore[method-assign]
    assert schedule.names(cloud, REGION) == []


@pytest.mark.usefixtures("group")
def test_names_come_from_every_page(cloud: Cloud) -> None:
    for number in range(120):
        create(cloud, Schedule(LAUNCH, f"{number}", END))
    assert len(schedule.names(cloud, REGION, f"{LAUNCH}-")) == 120


def test_the_group_is_made_once_and_deleted_once(
    cloud: Cloud, clock: FakeClock
) -> None:
    assert schedule.group_state(cloud, REGION) == ""
    assert schedule.ensure_group(cloud, REGION, poll=1, clock=clock) is True
    create(cloud, Schedule(LAUNCH, NODE, END))
    assert schedule.ensure_group(cloud, REGION, poll=1, clock=clock) is False
    assert schedule.names(cloud, REGION) == [NAME]
    for _ in range(2):
        schedule.delete_group(cloud, REGION, poll=1, clock=clock)
        assert schedule.group_state(cloud, REGION) == ""


def test_a_group_that_is_being_deleted_is_waited_for(
    cloud: Cloud, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = ["DELETING"] * 4
    real = schedule.group_state
    monkeypatch.setattr(
        schedule,
        "group_state",
        lambda *args: states.pop() if states else real(*args),
    )
    assert schedule.ensure_group(cloud, REGION, poll=5, clock=clock) is True
    assert clock.slept == 15
    assert schedule.group_state(cloud, REGION) == "ACTIVE"


@pytest.mark.usefixtures("group")
def test_every_instance_has_a_schedule_of_its_own(cloud: Cloud) -> None:
    nodes = [f"i-{number:017x}" for number in range(40)]
    ends = {node: END + number for number, node in enumerate(nodes)}
    clock = FakeClock()
    made = schedule.arm(
        cloud, REGION, LAUNCH, ends, ROLE, new=True, poll=1, clock=clock
    )
    assert {one.instance: one.at - MARGIN for one in made} == ends
    assert schedule.names(cloud, REGION) == sorted(f"{LAUNCH}-{n}" for n in nodes)
    assert [ids_of(said(cloud, f"{LAUNCH}-{n}")) for n in nodes] == [[n] for n in nodes]
    assert clock.slept == 0


@pytest.mark.usefixtures("group")
def test_arming_moves_those_that_are_named_and_no_other(cloud: Cloud) -> None:
    clock = FakeClock()
    for ends in ({"i-1": END, "i-2": END}, {"i-1": END + 60}, {}):
        schedule.arm(cloud, REGION, LAUNCH, ends, ROLE, poll=1, clock=clock)
    when = [
        said(cloud, f"{LAUNCH}-{node}")["ScheduleExpression"] for node in ("i-1", "i-2")
    ]
    assert when == ["at(2025-11-24T16:03:00)", "at(2025-11-24T16:02:00)"]


@pytest.mark.usefixtures("group")
def test_disarming_takes_only_those_that_are_gone(cloud: Cloud) -> None:
    ends = dict.fromkeys(("i-1", "i-2", "i-3"), END)
    schedule.arm(cloud, REGION, LAUNCH, ends, ROLE, poll=1, clock=FakeClock())
    schedule.disarm(cloud, REGION, LAUNCH, ["i-1", "i-3", "i-9"])
    assert schedule.names(cloud, REGION) == [f"{LAUNCH}-i-2"]
