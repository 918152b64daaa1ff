"""The published policy allows what annexkit calls, Packer's own calls included."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Baked
from tests.policy import allowed, not_allowed
from tests.rehearsal.annexes import LONG, end_annexes, grounds

pytestmark = pytest.mark.machines


def test_every_call_of_a_bake_stands_in_the_policy(baked: Baked) -> None:
    # A bake speaks to EC2 and STS only, and they share no action.
    names = {a.partition(":")[2] for a in allowed() if a.startswith(("ec2:", "sts:"))}
    assert len(set(baked.called)) > 15  # Packer's are among them
    assert sorted(set(baked.called) - names) == []


def test_every_call_for_an_annex_stands_in_the_policy(
    baked: Baked, tmp_path: Path
) -> None:
    place = baked.place.copy(tmp_path / "place")
    with grounds(place, "25.14", "idtokens") as found:
        end_annexes(found.ec2)
        found.place.invoke("teardown", "--yes")  # so that all of the set is made
        found.place.stage.calm()
        found.launch("policy", 1, "--market", "spot-then-on-demand", "--idle", LONG)
        name = ("--annex-name", "policy")
        found.done("launch", *name, "--dry-run")
        (line,) = found.told("status", *name)["annexes"]
        (node,) = line["nodes"]
        found.told("why", node["id"])
        found.told("verify", *name)
        found.done("extend", *name, "--lease", "3h")
        found.done("terminate", *name, "--yes")
        found.done("receipt", *name)
        found.done("reap", "--yes")
        found.done("teardown", "--yes")
        calls = found.place.stage.ask("calls")
    services = {call["service"] for call in calls}
    assert {"ec2", "iam", "scheduler", "ssm", "sts"} <= services
    made = {f"{call['service']}:{call['action']}" for call in calls}
    for action in (
        "ec2:RunInstances",
        "iam:DeleteRole",
        "scheduler:CreateSchedule",
        "scheduler:UpdateSchedule",
        "scheduler:DeleteScheduleGroup",
        "ssm:PutParameter",
        "ssm:DeleteParameter",
    ):
        assert action in made, "the recording saw it"
    assert not_allowed(calls) == []
