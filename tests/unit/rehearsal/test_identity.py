from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from annexkit.rehearsal.identity import FRESH, IdentitySource
from annexkit.rehearsal.wire import Moto
from tests.unit.helpers import FakeClock
from tests.unit.rehearsal.test_cloud import Front

INSTANCE = "i-0123456789abcdef0"
ITEM = """<r><reservationSet><item><reservationId>r-1</reservationId><instancesSet>
<item><imageId>ami-1</imageId><instanceType>t3.small</instanceType></item>
</instancesSet></item></reservationSet></r>"""
FULL, EMPTY = ITEM, "<r/>"


class Api:
    """Says of the instance what a test sets, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer = FULL
        self.asked = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        described = Request(environ).form.get("Action") == "DescribeInstances"
        self.asked += described
        said = self.answer if described else EMPTY
        return Response(said, mimetype="text/xml")(environ, start_response)


@pytest.fixture
def api() -> Api:
    return Api()


def test_it_is_read_anew_only_after_a_change_or_a_minute(api: Api) -> None:
    moto, clock = Moto(api), FakeClock()
    identity = IdentitySource(
        moto, "us-west-2", INSTANCE, "10.0.0.9", roles={}, clock=clock
    )
    assert [identity().image_id for _ in range(60)] == ["ami-1"] * 60
    assert api.asked == 1
    api.answer = FULL.replace("t3.small", "t3.large")
    moto.changes += 1
    assert identity().instance_type == "t3.large"
    clock.sleep(FRESH + 1)
    identity()
    assert api.asked == 3


def test_a_spot_notice_is_told_at_once(api: Api) -> None:
    notices = [""]
    identity = IdentitySource(
        Moto(api),
        "us-west-2",
        INSTANCE,
        "10.0.0.9",
        roles={},
        notice=lambda: notices[-1],
    )
    assert identity().spot_end == ""
    notices.append("2026-11-23T00:00:00Z")
    assert identity().spot_end == "2026-11-23T00:00:00Z"


def test_calls_that_change_something_are_counted(tmp_path: Path) -> None:
    front = Front(tmp_path)
    for action in ("DescribeInstances", "GetConsoleOutput", "ListRoles"):
        front.call(action)
    assert front.site.moto.changes == 0
    front.call("CreateTags")
    assert front.site.moto.changes == 1
