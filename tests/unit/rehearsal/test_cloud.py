from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from annexkit.rehearsal.cloud import Cloud
from annexkit.rehearsal.faults import Faults
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.site import Addresses, Site
from annexkit.rehearsal.wire import FORM, Moto
from tests.unit.helpers import FakeClock
from tests.unit.rehearsal.samples import a_rehearsal

SOCKET = SimpleNamespace(shutdown=lambda how: None)


class Front:
    """The front door of a cloud behind which moto only says its name."""

    def __init__(self, folder: Path, *, broken: bool = False) -> None:
        self.asked = 0
        self.clock = FakeClock()
        self.site = Site(
            rehearsal=a_rehearsal(folder),
            podman=cast(Podman, None),
            moto=Moto(self.moto),
            faults=Faults(),
            addresses=Addresses("10.0.0.0/24"),
            bridge="podman9",
        )
        self.broken = broken
        self.client = Client(Cloud(self.site, self.clock))

    def moto(self, environ: Any, start_response: Any) -> Any:
        self.asked += 1
        if self.broken:
            raise KeyError("what moto forgot")
        return Response("<moto/>")(environ, start_response)

    def call(
        self, action: str, service: str = "ec2", region: str = "us-west-2"
    ) -> TestResponse:
        scope = f"AKIA/20240517/{region}/{service}/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=h, Signature=0"
        return self.client.post(
            "/",
            data=f"Action={action}",
            headers={"Authorization": signed, "Content-Type": FORM},
            environ_overrides={"werkzeug.socket": SOCKET},
        )

    def post(self, what: str, data: object) -> TestResponse:
        return self.client.post(f"/_rehearsal/{what}", data=json.dumps(data))


@pytest.fixture
def front(tmp_path: Path) -> Front:
    return Front(tmp_path)


def test_what_needs_no_machine_goes_to_moto(front: Front) -> None:
    assert front.call("GetCallerIdentity", "sts").text == "<moto/>"
    assert front.call("CreateVpc").text == "<moto/>"


def test_what_moto_stumbles_over_is_an_error_and_no_page(tmp_path: Path) -> None:
    response = Front(tmp_path, broken=True).call("CreateVpc")
    assert response.status_code == 500
    assert "<Code>InternalError</Code>" in response.text
    assert "what moto forgot" in response.text


def test_a_region_that_there_is_not_is_refused_before_moto(front: Front) -> None:
    response = front.call("DescribeVpcs", region="mars-north-1")
    assert (response.status_code, front.asked) == (401, 0)
    assert "<Code>AuthFailure</Code>" in response.text


def test_a_fault_stands_in_for_the_call(front: Front) -> None:
    error = {"code": "RequestLimitExceeded", "status": 503}
    front.post("faults", [{"action": "CreateVpc", "error": error, "times": 1}])
    assert (front.call("CreateVpc").status_code, front.asked) == (503, 0)
    assert (front.call("CreateVpc").status_code, front.asked) == (200, 1)


def test_a_fault_afterwards_comes_when_the_call_is_done(front: Front) -> None:
    error = {"code": "InternalError", "status": 500}
    front.post("faults", [{"action": "CreateVpc", "error": error, "after": True}])
    assert (front.call("CreateVpc").status_code, front.asked) == (500, 1)


def test_a_dropped_call_is_done_and_recorded_as_not_answered(front: Front) -> None:
    front.post("faults", [{"action": "CreateVpc", "after": True}])
    front.call("CreateVpc")
    (made,) = front.site.faults.calls()
    assert (made.action, made.status, front.asked) == ("CreateVpc", 0, 1)


def test_a_slow_call_takes_its_time(front: Front) -> None:
    front.post("faults", [{"action": "*", "delay_seconds": 7}])
    assert front.call("CreateVpc").status_code == 200
    assert front.clock.slept == 7
    (made,) = front.site.faults.calls()
    assert made.seconds == 7


def test_faults_knobs_and_calls_are_told_and_cleared(front: Front) -> None:
    get = front.client.get
    front.post("faults", [{"action": "RunInstances", "times": 2}])
    (rule,) = get("/_rehearsal/faults").json or []
    assert (rule["action"], rule["times"]) == ("RunInstances", 2)
    front.client.delete("/_rehearsal/faults")
    assert get("/_rehearsal/faults").json == []
    front.post("knobs", {"pending_seconds": 2})
    assert (get("/_rehearsal/knobs").json or {})["pending_seconds"] == 2
    front.call("CreateVpc")
    assert len(get("/_rehearsal/calls").json or []) == 1
    front.client.delete("/_rehearsal/calls")
    assert get("/_rehearsal/calls").json == []
    assert get("/_rehearsal/status").json == {"machines": [], "images": []}


@pytest.mark.parametrize(
    ("what", "data", "status"),
    [
        ("faults", [{"acton": "x"}], 400),
        ("faults", {"action": "x"}, 400),
        ("knobs", {"pending_seconds": -1}, 400),
        ("nothing", {}, 404),
        ("status", {}, 404),
    ],
)
def test_nonsense_is_refused_with_a_reason(
    front: Front, what: str, data: object, status: int
) -> None:
    response = front.post(what, data)
    assert response.status_code == status
    assert (response.json or {})["error"]
