"""The lease moves in all its layers, and never says more than it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.flows import lease
from annexkit.flows.site import Site
from annexkit.launch import schedule
from tests.unit.flows.annex import HOUR, LAUNCH, arm, ends, launch
from tests.unit.helpers import REGION


def grant(site: Site, ids: list[str], expires: float) -> lease.Armed:
    return lease.grant(site, REGION, "grid", LAUNCH, ids, expires=expires)


def scheduled(site: Site) -> dict[str, tuple[str, list[str]]]:
    said = {}
    for name in schedule.names(site.cloud, REGION, f"{LAUNCH}-"):
        one = site.cloud.call(
            REGION, "get_schedule", service="scheduler", GroupName="annexkit", Name=name
        )
        ids = json.loads(one["Target"]["Input"])["InstanceIds"]
        said[name] = (one["ScheduleExpression"], ids)
    return said


def order(site: Site, ids: list[str], expires: float) -> list[str]:
    """Return the changing calls of a grant in their order."""
    made = []
    call = site.cloud.call

    def seen(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method in {"create_tags", "update_schedule"}:
            made.append(method)
        return call(region, method, **arguments)

    site.cloud.call = seen  # type: ignore[method-assign]
    grant(site, ids, expires)
    return made


def test_the_verified_get_the_lease_and_the_others_keep_their_probation(
    site: Site,
) -> None:
    first, second, third = launch(site, count=3, expires_in=600)
    now = site.clock.time()
    arm(site, [first, second, third], now + 600)
    armed = grant(site, [first, third], now + HOUR)
    assert armed.ids == (first, third)
    assert ends(site) == {first: now + HOUR, second: now + 600, third: now + HOUR}
    after = "2023-11-14T23:15:20"
    assert {one: at for at, [one] in scheduled(site).values()} == {
        first: f"at({after})",
        second: "at(2023-11-14T22:25:20)",
        third: f"at({after})",
    }
    assert len(armed.layers) == 3


def test_the_dead_get_no_new_end(
    site: Site,
) -> None:
    first, second = launch(site)
    now = site.clock.time()
    arm(site, [first, second], now + HOUR)
    site.cloud.call(REGION, "terminate_instances", InstanceIds=[second])
    armed = grant(site, [first, second], now + 2 * HOUR)
    assert (armed.ids, armed.gone) == ((first,), (second,))
    ends_of = {one: at for at, [one] in scheduled(site).values()}
    assert ends_of[first] != ends_of[second]


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (2 * HOUR, ["update_schedule", "update_schedule", "create_tags"]),
        (HOUR / 2, ["create_tags", "update_schedule", "update_schedule"]),
    ],
)
def test_the_tag_is_never_later_than_the_schedule(
    site: Site, moved: float, expected: list[str]
) -> None:
    ids = launch(site)
    now = site.clock.time()
    arm(site, ids, now + HOUR)
    assert order(site, ids, now + moved) == expected


def test_a_later_end_that_the_schedules_refuse_changes_no_tag(site: Site) -> None:
    ids = launch(site)
    now = site.clock.time()
    arm(site, ids, now + HOUR)
    with Stubber(site.cloud.client("scheduler", REGION)) as stub:
        stub.add_response("get_schedule_group", {"State": "ACTIVE"})
        stub.add_client_error("update_schedule", "AccessDeniedException", "no")
        with pytest.raises(AwsError, match="AccessDenied"):
            grant(site, ids, now + 2 * HOUR)
    assert set(ends(site).values()) == {now + HOUR}


def test_another_launch_and_another_annex_keep_their_lease(site: Site) -> None:
    mine = launch(site)
    other = launch(site, launch_id="ba9876543210")
    launch(site, "gridiron")
    now = site.clock.time()
    site.settings = site.settings.model_copy(
        update={"launch": site.settings.launch.model_copy(update={"scheduler": False})}
    )
    armed = grant(site, [*mine, *other], now + 2 * HOUR)
    assert set(armed.ids) == set(mine)
    assert armed.schedules == ()
    assert {ends(site)[one] for one in other} == {now + HOUR}
    assert set(ends(site, "gridiron").values()) == {now + HOUR}


def test_a_node_that_ends_meanwhile_keeps_no_other_from_its_lease(site: Site) -> None:
    ids = launch(site, count=5)
    gone = ids[2]
    tagged: list[str] = []

    def create(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        assert method == "create_tags"
        if gone in arguments["Resources"]:
            code = "InvalidInstanceID.NotFound"
            raise AwsError("no", code=code, action="CreateTags", region=region)
        tagged.extend(arguments["Resources"])
        return {}

    site.cloud.call = create  # type: ignore[method-assign]
    lease._tag(site, REGION, ids, 1.0)
    assert sorted(tagged) == sorted(set(ids) - {gone})
    assert tags.EXPIRES == "annexkit:expires"
