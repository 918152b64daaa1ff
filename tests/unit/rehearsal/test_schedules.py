from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from annexkit.rehearsal import schedules
from annexkit.rehearsal.access import Guard
from annexkit.rehearsal.faults import Faults, Knobs
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.schedules import Schedules
from annexkit.rehearsal.site import Addresses, Site
from annexkit.rehearsal.wire import ApiError, Call, Element, Moto
from tests.unit.helpers import FakeClock
from tests.unit.rehearsal.samples import Answers, a_rehearsal

TRUSTED = json.dumps({"Principal": {"Service": "scheduler.amazonaws.com"}})
POLICY = json.dumps(
    {"Statement": {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}}
)
AT = 1_700_000_010


class Iam(Answers):
    """moto as far as schedules ask it: one role, one schedule group."""

    def __init__(self) -> None:
        super().__init__(
            GetRole="<r><AssumeRolePolicyDocument>"
            f"{TRUSTED}</AssumeRolePolicyDocument></r>",
            ListRolePolicies="<r><PolicyNames><member>p</member></PolicyNames></r>",
            GetRolePolicy=f"<r><PolicyDocument>{POLICY}</PolicyDocument></r>",
            ListAttachedRolePolicies="<r/>",
        )

    def get(self, service: str, region: str, path: str) -> Any:
        return SimpleNamespace(status_code=200 if path.endswith("/annexkit") else 404)


class Service:
    """The schedules of a cloud whose clock only moves when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.moto, self.clock = Iam(), FakeClock()
        moto = cast(Moto, self.moto)
        self.site = Site(
            rehearsal=a_rehearsal(folder),
            podman=cast(Podman, None),
            moto=moto,
            faults=Faults(),
            addresses=Addresses("10.0.0.0/24"),
            bridge="b",
        )
        self.ended: list[Call] = []
        guard = Guard(moto, {})
        self.schedules = Schedules(self.site, guard, self.terminate, self.clock)

    def terminate(self, call: Call) -> Element:
        self.ended.append(call)
        return Element("r")

    def call(self, action: str, **data: Any) -> dict[str, Any]:
        told = {"Name": "x-0", "GroupName": "annexkit", **data}
        params = {k: v for k, v in told.items() if isinstance(v, str)}
        call = Call("scheduler", "us-west-2", action, params, True, told)
        return self.schedules.handlers[action](call) or {}

    def create(self, **data: Any) -> dict[str, Any]:
        return self.call("CreateSchedule", **{**a_schedule(), **data})

    def code(self, action: str, **data: Any) -> str:
        with pytest.raises(ApiError) as caught:
            self.call(action, **data)
        return caught.value.code


def a_schedule(*ids: str, when: str = "2023-11-14T22:13:30") -> dict[str, Any]:
    return {
        "ScheduleExpression": f"at({when})",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": schedules.TERMINATE,
            "RoleArn": "arn:aws:iam::123456789012:role/annexkit-scheduler",
            "Input": json.dumps({"InstanceIds": ids or ["i-1", "i-2"]}),
        },
    }


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_a_schedule_fires_once_when_its_time_has_come(service: Service) -> None:
    service.create()
    service.clock.sleep(9)
    assert service.schedules.fire_due() == 0
    service.clock.sleep(1)
    assert service.schedules.fire_due() == 1
    (call,) = service.ended
    assert (call.action, call.members("InstanceId")) == (
        "TerminateInstances",
        ["i-1", "i-2"],
    )
    assert service.code("GetSchedule") == "ResourceNotFoundException"
    assert service.schedules.fire_due() == 0


def test_without_an_action_after_completion_it_stays_and_does_not_fire_again(
    service: Service,
) -> None:
    service.create(ActionAfterCompletion="NONE")
    service.clock.sleep(10)
    assert [service.schedules.fire_due() for _ in range(2)] == [1, 0]
    assert service.call("GetSchedule")["ActionAfterCompletion"] == "NONE"


def test_an_update_replaces_all_of_it(service: Service) -> None:
    service.create(Description="first")
    later = a_schedule("i-3", when="2023-11-14T22:14:30")
    service.call("UpdateSchedule", **later)
    service.clock.sleep(10)
    assert service.schedules.fire_due() == 0
    assert "Description" not in service.call("GetSchedule")
    service.clock.sleep(60)
    service.schedules.fire_due()
    assert service.ended[0].members("InstanceId") == ["i-3"]


def test_schedules_may_be_late_as_on_aws(service: Service) -> None:
    service.site.faults.knobs = Knobs(schedule_seconds=60)
    service.create()
    service.clock.sleep(69)
    assert service.schedules.fire_due() == 0
    service.clock.sleep(1)
    assert service.schedules.fire_due() == 1


def test_a_disabled_or_deleted_one_does_not_fire(service: Service) -> None:
    service.create(State="DISABLED")
    service.create(Name="x-1")
    service.call("DeleteSchedule", Name="x-1")
    service.clock.sleep(100)
    assert service.schedules.fire_due() == 0


def test_a_role_that_may_not_terminate_ends_nothing(service: Service) -> None:
    service.create()
    service.moto.answers["ListRolePolicies"] = "<r/>"
    service.clock.sleep(10)
    assert service.schedules.fire_due() == 1
    assert service.ended == []


def test_creating_again_is_a_conflict_unless_it_is_the_same_request(
    service: Service,
) -> None:
    first = service.create(ClientToken="t")
    assert service.create(ClientToken="t") == first
    assert service.code("CreateSchedule", **a_schedule()) == "ConflictException"


def test_a_role_that_scheduler_cannot_assume_is_refused(service: Service) -> None:
    service.moto.answers["GetRole"] = "<r/>"
    assert service.code("CreateSchedule", **a_schedule()) == "ValidationException"


@pytest.mark.parametrize(
    "changes",
    [
        {"ScheduleExpression": "at(tomorrow)"},
        {"ScheduleExpression": "at(2023-99-14T22:13:30)"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"Target": {"Arn": "arn:aws:lambda:::f"}},
        {"Name": "not a name"},
    ],
)
def test_nonsense_is_refused(service: Service, changes: dict[str, Any]) -> None:
    given = {**a_schedule(), **changes}
    assert service.code("CreateSchedule", **given) == "ValidationException"


def test_a_group_that_is_not_there_is_refused(service: Service) -> None:
    given = {**a_schedule(), "GroupName": "other"}
    assert service.code("CreateSchedule", **given) == "ResourceNotFoundException"
    assert service.code("CreateScheduleGroup", Name="annexkit") == "ConflictException"
    service.call("CreateScheduleGroup", Name="other")


def test_they_are_listed_by_group_and_prefix_in_pages(service: Service) -> None:
    for name in ("a-0", "a-1", "b-0"):
        service.create(Name=name)
    listed = service.call("ListSchedules", NamePrefix="a-", MaxResults="1")
    assert [s["Name"] for s in listed["Schedules"]] == ["a-0"]
    more = service.call("ListSchedules", NamePrefix="a-", NextToken=listed["NextToken"])
    assert [s["Name"] for s in more["Schedules"]] == ["a-1"]
    assert "NextToken" not in more
    service.call("DeleteScheduleGroup", Name="annexkit")
    assert service.call("ListSchedules")["Schedules"] == []


def test_times_are_read_in_their_zone() -> None:
    body = {"ScheduleExpression": "at(2023-11-14T22:13:30)"}
    utc = {**body, "ScheduleExpressionTimezone": "UTC"}
    berlin = {**body, "ScheduleExpressionTimezone": "Europe/Berlin"}
    assert schedules.moment(utc) == AT
    assert schedules.moment(berlin) == AT - 3600
    every = {"ScheduleExpression": "rate(5 minutes)"}
    assert schedules.moment(every) is None
