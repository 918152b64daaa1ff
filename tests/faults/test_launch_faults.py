"""AWS has no room, asks for patience or loses its answer while an annex is launched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annexkit.waiting import wait_for
from tests.faults.annex_situation import ANNEX, Ground, outcome

pytestmark = pytest.mark.machines

NO_ROOM = "InsufficientInstanceCapacity"
SLOWER = {"code": "RequestLimitExceeded", "status": 503}


def zones(ground: Ground) -> list[str]:
    nodes = ground.nodes().values()
    return [str(node["Placement"]["AvailabilityZone"]) for node in nodes]


def markets(ground: Ground) -> list[str]:
    nodes = ground.nodes().values()
    return sorted(node.get("InstanceLifecycle", "on-demand") for node in nodes)


def assert_leased(ground: Ground, said: dict[str, Any], count: int) -> None:
    """So many nodes are there, all in the pool, and no secret lies about."""
    assert said["good"] == count
    assert {node["id"] for node in said["nodes"] if node["good"]} == set(ground.nodes())
    assert all(node["joined"] for node in said["nodes"] if node["good"])
    assert ground.secrets() == []
    assert ground.place.journal == []


def first_zone(ground: Ground) -> str:
    """Return the zone that a launch would ask first."""
    said = json.loads(ground.launch("--dry-run").stdout)
    return str(said["targets"][0]["zone"])


@pytest.mark.matrix
def test_a_zone_without_capacity_is_passed_over(ground: Ground) -> None:
    zone = first_zone(ground)
    ground.fault("RunInstances", capacity=0, where={"Zone": zone})
    done = ground.launch(count=2)
    assert done.exit_code == 0, done.stderr
    assert_leased(ground, outcome(done), 2)
    assert zone not in zones(ground)
    assert f"({NO_ROOM}, 1 times)" in done.stderr
    assert "mend: name more types (--instance-type)" in done.stderr


def test_no_capacity_anywhere_is_no_annex(ground: Ground) -> None:
    ground.fault("RunInstances", capacity=0)
    done = ground.launch(count=2)
    assert done.exit_code == 1
    assert f"no node of 2 came into the pool: {NO_ROOM} (" in done.stderr
    assert "against missing capacity more types help" in done.stderr
    assert ground.billed() == frozenset()
    assert ground.schedules() == []
    assert ground.place.journal == []


@pytest.mark.matrix
def test_fewer_nodes_than_wanted_are_an_annex_of_fewer(ground: Ground) -> None:
    ground.fault("RunInstances", capacity=1)
    done = ground.launch(count=3)
    assert done.exit_code == 3, done.stderr
    said = outcome(done)
    assert_leased(ground, said, 1)
    assert (said["wanted"], said["exit"]) == (3, 3)
    assert said["failures"][NO_ROOM] >= 1
    assert f"annex {ANNEX}: 1 of 3 nodes, until" in done.stderr


@pytest.mark.matrix
def test_what_spot_does_not_give_is_bought_on_demand(ground: Ground) -> None:
    ground.fault("RunInstances", capacity=1, where={"Market": "spot"})
    done = ground.launch("--market", "spot-then-on-demand", count=2)
    assert done.exit_code == 0, done.stderr
    said = outcome(done)
    assert_leased(ground, said, 2)
    assert markets(ground) == ["on-demand", "spot"]
    assert said["by_market"] == {"on-demand": 1, "spot": 1}


@pytest.mark.matrix
def test_spot_alone_without_capacity_is_no_annex(ground: Ground) -> None:
    ground.fault("RunInstances", capacity=0, where={"Market": "spot"})
    done = ground.launch("--market", "spot")
    assert done.exit_code == 1
    assert NO_ROOM in done.stderr
    assert ground.billed() == frozenset()


def throttled(ground: Ground) -> int:
    calls = ground.stage.ask("calls")
    return sum(c["action"] == "RunInstances" and c["status"] == 503 for c in calls)


@pytest.mark.parametrize(
    "seconds", [5.0, pytest.param(30.0, marks=pytest.mark.matrix)], ids=str
)
def test_throttling_is_waited_out(ground: Ground, seconds: float) -> None:
    ground.fault("RunInstances", error=SLOWER)
    running = ground.start()
    running.reach(lambda: throttled(ground), "the first answer")
    ground.fault("Describe*", error=SLOWER)
    begun = ground.stage.ask("calls")[-1]["time"]
    clock = ground.place.site().clock
    wait_for(
        lambda: clock.time() - begun >= seconds,
        what="the time that AWS throttles for",
        timeout=2 * seconds,
        poll=0.1,
    )
    ground.stage.ask("faults", "DELETE")
    done = running.ended()
    assert done.exit_code == 0, done.stderr
    assert_leased(ground, outcome(done), 1)
    assert "AWS asks to call more slowly (RequestLimitExceeded, " in done.stderr
    assert 2 <= throttled(ground) <= 2 + seconds


@pytest.mark.matrix
@pytest.mark.parametrize("lost", [1, 3])
def test_a_launch_whose_answer_was_lost_is_found_by_its_token(
    ground: Ground, lost: int
) -> None:
    ground.fault("RunInstances", after=True, times=lost)
    done = ground.launch(count=2)
    assert done.exit_code == 0, done.stderr
    assert_leased(ground, outcome(done), 2)
    assert "AWS did not say whether it launched" in done.stderr


def test_a_schedule_that_cannot_be_made_ends_the_launch(ground: Ground) -> None:
    error = {"code": "AccessDeniedException", "status": 403}
    ground.fault("CreateSchedule", error=error)
    done = ground.launch()
    assert done.exit_code == 1
    assert "CreateSchedule" in done.stderr
    assert "it failed: ending what this launch made" in done.stderr
    assert "mend: " in done.stderr
    assert ground.billed() == frozenset()
    assert ground.place.journal == []


@pytest.mark.matrix
@pytest.mark.parametrize(
    "action", ["PutParameter", "CreateTags", "GetConsoleOutput", "DescribeInstances"]
)
def test_a_call_that_is_not_allowed_leaves_nothing(ground: Ground, action: str) -> None:
    service = {"PutParameter": "AccessDeniedException"}
    code = service.get(action, "UnauthorizedOperation")
    where = {"Filter.1.Name": "instance-id"} if action == "DescribeInstances" else {}
    status = 400 if action == "PutParameter" else 403
    error = {"code": code, "status": status}
    ground.fault(action, error=error, where=where, times=1)
    done = ground.launch()
    assert done.exit_code == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert action in done.stderr
    assert "docs/iam-policy.json" in done.stderr
    assert ground.billed() == frozenset()
    assert ground.place.journal == []
