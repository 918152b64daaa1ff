"""The plan of a launch: what it says, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from annexkit.errors import Finding, Level
from annexkit.launch.capacity import Closed
from annexkit.launch.plan import LaunchPlan, PlanFacts, make_plan
from annexkit.launch.words import money, spell, stamp
from tests.unit.helpers import AMI, BUILD, REGION
from tests.unit.launch.fake_ec2 import target

NOW = 1_700_000_000.0
A = target("a")
DEAR = replace(target("b", "m6i.large"), price=0.25)
FACTS = PlanFacts(
    now=NOW,
    annex="grid",
    owner="alice",
    region=REGION,
    count=10,
    market="on-demand",
    image="debian13",
    channel="current",
    build=BUILD,
    ami=AMI,
    ami_created=NOW - 3 * 86_400,
    targets=(A, DEAR),
    lease=7200,
    idle=900,
    boot_timeout=600,
    join_timeout=600,
    margin=120,
    outdated_after=30 * 86_400,
    layers=("the node's own timer", "EventBridge schedule", "invoke reap"),
    method="idtokens",
    creates=("security group annexkit-annex",),
)


def plan(**changes: object) -> LaunchPlan:
    return make_plan(replace(FACTS, **changes))  # type: ignore[arg-type]


def test_a_sound_plan_has_no_findings_and_all_its_times_and_costs() -> None:
    made = plan()
    assert made.findings == ()
    assert made.lease_ends == NOW + 7200
    assert made.probation_ends == NOW + 1320
    assert made.hourly_cost == pytest.approx(1.0)
    assert made.most_cost == pytest.approx(2.5)
    assert made.targets == (A, DEAR)


def test_nobody_is_on_probation_longer_than_the_lease() -> None:
    assert plan(lease=1200).probation_ends == NOW + 1200


@pytest.mark.parametrize(
    ("changes", "probation"),
    [
        ({}, 1320),
        ({"canary": True}, 2520),
        ({"count": 1000, "free": 5000}, 1320),
        ({"count": 3000, "free": 5000}, 2320),
    ],
)
def test_probation_is_long_enough_for_all_that_a_node_waits_for(
    changes: dict[str, Any], probation: float
) -> None:
    assert plan(**changes).probation_ends == NOW + probation


def test_people_see_everything_that_will_happen() -> None:
    text = "\n".join(f"{name}: {value}" for name, value in plan().rows())
    for part in (
        *("grid, of alice", "10, on-demand", "debian13 (current)", BUILD, AMI),
        *("3d old", "m7i.large in us-west-2a (on-demand)", "$0.1000/h", "$2.50"),
        *("2h, until 2023-11-15 00:13:20 UTC", "until verified", "15m after"),
        *("EventBridge schedule", "makes: security group annexkit-annex", "idtokens"),
    ):
        assert part in text, part


def test_machines_see_the_same() -> None:
    closed = {A: Closed(until=NOW + 60, code="InsufficientInstanceCapacity")}
    said = json.loads(json.dumps(plan(closed=closed, canary=True).as_json()))
    assert said["annex"] == "grid"
    assert said["targets"][0]["closed_until"] == NOW + 60
    assert said["targets"][1]["price"] == 0.25
    assert (said["canary"], said["outdated"], said["findings"]) == (True, False, [])
    assert (said["lease_ends"], said["probation_ends"]) == (NOW + 7200, NOW + 2520)


def test_the_likely_cost_is_that_of_the_first_target_that_is_open() -> None:
    made = plan(closed={A: Closed(until=NOW + 60, code="x")})
    assert made.hourly_cost == pytest.approx(2.5)
    assert made.findings == ()
    assert any("left alone until" in value for _, value in made.rows())


ERRORS = [
    ({"annex": "my_annex"}, "cannot name an annex", "--annex-name"),
    ({"annex": ""}, "cannot name an annex", "--annex-name"),
    ({"annex": "n" * 28}, "cannot name an annex", "--annex-name"),
    ({"count": 0}, "0 nodes cannot be launched", "--count"),
    ({"count": 10_001}, "10001 nodes", "--count"),
    ({"targets": ()}, "no instance type and zone", REGION),
    ({"lease": 1199}, "10m to boot and 10m to join", "--lease"),
    ({"lease": 0}, "the lease of 0s", "--lease"),
    ({"idle": 0}, "ends before its first job", "--idle"),
    ({"layers": ()}, "armed would be: none", "launch.scheduler"),
    ({"layers": ("invoke reap",)}, "armed would be: invoke reap", "launch.scheduler"),
    (
        {"max_hourly_cost": 0.05},
        "$0.0500 an hour is below one node: m7i.large costs $0.1000",
        "--max-hourly-cost",
    ),
    (
        {"max_hourly_cost": 2.0},
        "10 of m6i.large cost $2.50 an hour, above the ceiling of $2.00",
        "--max-hourly-cost",
    ),
    (
        {"max_hourly_cost": 9.0, "targets": (A, replace(DEAR, price=None))},
        "the price of m6i.large (on-demand) is not known",
        "--max-hourly-cost",
    ),
    (
        {"closed": dict.fromkeys((A, DEAR), Closed(until=NOW, code="Insufficient"))},
        "AWS had no room for any of these lately (Insufficient)",
        REGION,
    ),
]


@pytest.mark.parametrize(("changes", "says", "where"), ERRORS)
def test_what_must_not_be_is_an_error_with_its_mend(
    changes: dict[str, object], says: str, where: str
) -> None:
    [found] = plan(**changes).findings
    assert (found.level, found.where) == (Level.ERROR, where)
    assert says in found.what
    assert found.mend


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"idle": 7201}, "no node will end by idleness"),
        ({"lease": 8 * 86_400}, "the lease is 8d long"),
        ({"ami_created": NOW - 31 * 86_400}, "the AMI is 31d old"),
        ({"method": "password"}, "the pool password"),
        ({"free": 9}, "9 free addresses for 10 nodes"),
    ],
)
def test_what_is_unwise_is_a_warning(changes: dict[str, object], says: str) -> None:
    [found] = plan(**changes).findings
    assert found.level is Level.WARNING
    assert says in found.what


def test_the_mend_of_a_short_lease_is_long_enough() -> None:
    [found] = plan(lease=60, boot_timeout=601, join_timeout=45).findings
    match = re.search(r"--lease (\d+)m", found.mend)
    assert match
    mended = plan(lease=int(match[1]) * 60, boot_timeout=601, join_timeout=45)
    assert [f for f in mended.findings if f.where == "--lease"] == []


def test_the_mend_of_a_low_ceiling_names_what_it_pays_for() -> None:
    [found] = plan(max_hourly_cost=2.0).findings
    assert "--count 8" in found.mend
    assert plan(max_hourly_cost=2.0, count=8).findings == ()
    assert plan(max_hourly_cost=2.5).findings == ()


def test_an_old_ami_is_marked_in_the_plan() -> None:
    made = plan(ami_created=NOW - 31 * 86_400)
    assert made.as_json()["outdated"] is True
    assert any("outdated" in value for _, value in made.rows())


def test_all_that_is_wrong_is_said_at_once_after_what_was_found_before() -> None:
    before = Finding(Level.ERROR, "no default VPC")
    found = plan(findings=(before,), targets=(), annex="a_b", count=0, lease=1).findings
    assert found[0] is before
    assert len(found) == 4, "and a missing target is not said twice"


def test_spans_times_and_money_are_words() -> None:
    assert [spell(s) for s in (0, 59, 60, 5400, 90_061)] == [
        *("0s", "59s", "1m", "1h 30m", "1d 1h"),
    ]
    assert stamp(NOW) == "2023-11-14 22:13:20 UTC"
    assert (money(0.0116), money(12_345.678)) == ("$0.0116", "$12,345.68")
