"""The published policy holds every action that annexkit's own code names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from annexkit.launch import policies, schedule
from tests.policy import OF_NODES, allowed, not_allowed, statements

ROOT = Path(__file__).parents[2]
SERVICES = ("ec2", "iam", "pricing", "scheduler", "service-quotas", "ssm", "sts")
PUBLIC = "/aws/service/global-infrastructure"
# What making a thing with tags, or with a role, asks for besides (service
# authorization reference): no call of ours has this name.
IMPLIED = {
    "iam:PassRole",
    "iam:TagRole",
    "iam:TagInstanceProfile",
    "scheduler:TagResource",
    "iam:CreateServiceLinkedRole",
}


@pytest.fixture(scope="module")
def operations() -> dict[str, set[str]]:
    """Every method of boto3 for these services, and the actions it may mean."""
    found: dict[str, set[str]] = {}
    session = botocore.session.get_session()
    for service in SERVICES:
        model = session.get_service_model(service)
        prefix = model.signing_name  # "service-quotas" is "servicequotas" to IAM
        for name in model.operation_names:
            found.setdefault(xform_name(name), set()).add(f"{prefix}:{name}")
    return found


def words(path: Path) -> Iterator[str]:
    """Yield the strings of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def named(operations: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the actions that annexkit names, with the modules that do."""
    rehearsal = ROOT / "annexkit" / "rehearsal"
    found: dict[str, set[str]] = {}
    for path in (ROOT / "annexkit").rglob("*.py"):
        if path.is_relative_to(rehearsal):
            continue
        for word in words(path):
            if word in operations:
                found.setdefault(word, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_call_that_annexkit_names_stands_in_the_policy(
    operations: dict[str, set[str]],
) -> None:
    may = allowed() | OF_NODES
    calls = named(operations)
    assert {"run_instances", "put_parameter", "create_role"} <= calls.keys()
    lacking = {
        word: sorted(where)
        for word, where in calls.items()
        if not operations[word] & may
    }
    assert lacking == {}


def test_every_action_of_the_policy_exists(operations: dict[str, set[str]]) -> None:
    known = set().union(*operations.values()) | IMPLIED
    assert sorted(allowed() - known) == []


def test_what_is_implied_stands_in_the_policy() -> None:
    assert allowed() >= IMPLIED


def test_what_changes_iam_is_limited_to_our_names() -> None:
    for said in statements():
        actions = [a for a in said["Action"] if a.partition(":")[0] in ("iam", "ssm")]
        if actions == ["ssm:GetParametersByPath"]:
            assert said["Resource"].endswith(f":parameter{PUBLIC}/*")  # AWS's, to read
        elif any(not a.startswith(("ssm:Describe", "iam:Simulate")) for a in actions):
            listed = said["Resource"]
            for arn in [listed] if isinstance(listed, str) else listed:
                assert "annexkit" in arn or "aws-service-role/spot" in arn


def test_roles_are_passed_to_their_service_only() -> None:
    passed = {
        said["Resource"]: said["Condition"]
        for said in statements()
        if "iam:PassRole" in said["Action"]
    }
    assert set(passed) == {
        f"arn:aws:iam::*:role/{name}" for name in (policies.NODE, policies.SCHEDULER)
    }
    assert all("iam:PassedToService" in str(limit) for limit in passed.values())


def test_schedules_are_those_of_our_group() -> None:
    [said] = [s for s in statements() if "scheduler:CreateSchedule" in s["Action"]]
    assert said["Resource"] == [
        f"arn:aws:scheduler:*:*:schedule/{schedule.GROUP}/*",
        f"arn:aws:scheduler:*:*:schedule-group/{schedule.GROUP}",
    ]


def test_a_call_that_the_policy_lacks_is_named() -> None:
    calls = [
        {"service": "ec2", "action": "RunInstances"},
        {"service": "iam", "action": "RunInstances"},
        {"service": "ssm", "action": "GetParameter"},
    ]
    assert not_allowed(calls) == ["iam:RunInstances"]
