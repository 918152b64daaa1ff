from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from annexkit.rehearsal.reading import access_key, flat, read_call


def signed(service: str) -> dict[str, str]:
    scope = f"AKIA1/20240517/eu-west-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=0"}


def a_request(method: str, path: str, data: Any, **headers: str) -> Request:
    body = json.dumps(data) if data is not None else ""
    builder = EnvironBuilder(path, method=method, data=body, headers=[*headers.items()])
    return Request(builder.get_environ())


def test_a_json_call_has_its_parameters_flat_and_as_they_are() -> None:
    data = {"Names": ["/a", "/b"], "WithDecryption": True}
    target = {"X-Amz-Target": "AmazonSSM.GetParameters"}
    call = read_call(a_request("POST", "/", data, **signed("ssm"), **target))
    assert call is not None
    assert (call.service, call.action, call.data) == ("ssm", "GetParameters", data)
    assert call.members("Names") == ["/a", "/b"]
    assert call.true("WithDecryption")


@pytest.mark.parametrize(
    ("method", "path", "action", "name"),
    [
        ("POST", "/schedules/x-0", "CreateSchedule", "x-0"),
        ("PUT", "/schedules/x-0", "UpdateSchedule", "x-0"),
        ("GET", "/schedules/x-0?groupName=g", "GetSchedule", "x-0"),
        ("GET", "/schedules", "ListSchedules", ""),
        ("DELETE", "/schedule-groups/g", "DeleteScheduleGroup", "g"),
        ("GET", "/tags/arn%3Aaws%3Ascheduler%3A%3A%3Aa%2Fb", "ListTagsForResource", ""),
    ],
)
def test_a_call_that_is_a_path_is_named(
    method: str, path: str, action: str, name: str
) -> None:
    call = read_call(a_request(method, path, None, **signed("scheduler")))
    assert call is not None
    assert (call.action, call.get("Name"), call.json) == (action, name, True)


def test_what_a_path_call_carries_is_read_from_body_and_query() -> None:
    path = "/schedules/x-0?groupName=g"
    data = {"Target": {"Arn": "arn:x"}}
    call = read_call(a_request("POST", path, data, **signed("scheduler")))
    assert call is not None
    assert (call.get("Target.Arn"), call.get("groupName")) == ("arn:x", "g")
    assert call.data["Target"] == {"Arn": "arn:x"}


def test_a_path_that_is_no_call_of_the_service_is_none() -> None:
    assert read_call(a_request("GET", "/nothing", None, **signed("scheduler"))) is None


def test_the_access_key_is_that_of_the_signature() -> None:
    assert access_key(a_request("GET", "/", None, **signed("ssm"))) == "AKIA1"
    assert not access_key(a_request("GET", "/", None))


def test_nested_values_are_written_flat() -> None:
    data = {"A": {"B": [1, {"C": False}]}}
    assert dict(flat(data)) == {"A.B.1": "1", "A.B.2.C": "false"}
