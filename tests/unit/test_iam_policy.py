"""The published policies hold every action that annexkit's own code names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from annexkit import tags
from annexkit.launch import group, parameter, policies, schedule
from annexkit.rights import documents
from annexkit.rights.services import GITHUB
from annexkit.rights.words import COMMANDS, NIGHTLY, POLICIES, Place, Who
from tests.policy import (
    FILES,
    OF_NODES,
    allowed,
    never_called,
    not_allowed,
    statements,
)

ROOT = Path(__file__).parents[2]
SERVICES = ("ec2", "iam", "pricing", "scheduler", "service-quotas", "ssm", "sts")
PUBLIC = "/aws/service/global-infrastructure"
# What making a thing with tags, or with a role, asks for besides (service
# authorization reference): no call of ours has this name.
IMPLIED = {
    "iam:PassRole",
    "iam:TagRole",
    "iam:TagPolicy",
    "iam:TagInstanceProfile",
    "iam:TagOpenIDConnectProvider",
    "scheduler:TagResource",
    "iam:CreateServiceLinkedRole",
}
HARMLESS = ("ssm:Describe", "iam:Get", "iam:List", "iam:Simulate")
WRITES_IAM = ("iam:Add", "iam:Create", "iam:Delete", "iam:Put", "iam:Remove", "iam:Upd")


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


@pytest.mark.parametrize(("who", "name"), FILES.items())
def test_what_is_published_is_rendered_from_the_source(who: Who, name: str) -> None:
    text = documents.written(documents.policy(who, Place()))
    published = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert published == text, f"invoke iam --show --role {who} > docs/{name}"


def test_every_call_that_annexkit_names_stands_in_a_policy(
    operations: dict[str, set[str]],
) -> None:
    may = allowed(*FILES) | OF_NODES
    calls = named(operations)
    assert {"run_instances", "put_parameter", "create_role"} <= calls.keys()
    lacking = {
        word: sorted(where)
        for word, where in calls.items()
        if not operations[word] & may
    }
    assert lacking == {}


@pytest.mark.parametrize("who", FILES)
def test_every_action_of_a_policy_exists(
    operations: dict[str, set[str]], who: Who
) -> None:
    known = set().union(*operations.values()) | IMPLIED
    assert sorted(allowed(who) - known) == []


def test_what_no_code_of_ours_names_is_said_to_be_packers_or_implied(
    operations: dict[str, set[str]],
) -> None:
    ours = set().union(*(operations[word] for word in named(operations)))
    others = {
        right.action: right
        for one in FILES
        for right in documents.rights_of(one)
        if right.action not in ours
    }
    implied = {
        action for action, right in others.items() if "bake" not in right.commands
    }
    assert implied == IMPLIED
    assert all(others[action].unseen for action in implied)


def test_what_changes_iam_or_secrets_is_limited_to_our_names() -> None:
    for said in (said for who in FILES for said in statements(who)):
        actions = [a for a in said["Action"] if a.partition(":")[0] in ("iam", "ssm")]
        if actions == ["ssm:GetParametersByPath"]:
            assert said["Resource"].endswith(f":parameter{PUBLIC}/*")  # AWS's, to read
        elif any(not a.startswith(HARMLESS) for a in actions):
            listed = said["Resource"]
            for arn in [listed] if isinstance(listed, str) else listed:
                known = ("annexkit", "aws-service-role/spot", GITHUB)
                assert any(word in arn for word in known), arn


def test_no_person_and_no_job_writes_roles_or_policies() -> None:
    """Who may write the role of nodes can give it, and so themselves, any right."""
    able = [
        (who, action)
        for who in COMMANDS
        if who != "administrator"
        for said in documents.policy(who, Place())["Statement"]
        for action in said["Action"]
        if action.startswith(WRITES_IAM)
    ]
    assert able == [("person", "iam:CreateServiceLinkedRole")]


def test_the_administrator_writes_our_roles_and_policy_only() -> None:
    written = {
        arn.rpartition("/")[2]
        for said in statements("administrator")
        if any(a.startswith(WRITES_IAM) for a in said["Action"])
        for arn in (
            [said["Resource"]]
            if isinstance(said["Resource"], str)
            else said["Resource"]
        )
    }
    names = {policies.NODE, policies.SCHEDULER, NIGHTLY, *POLICIES.values(), GITHUB}
    assert written == names


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


def test_schedules_secrets_and_groups_are_those_that_launch_makes() -> None:
    [said] = [s for s in statements() if "scheduler:CreateSchedule" in s["Action"]]
    assert said["Resource"] == [
        f"arn:aws:scheduler:*:*:schedule/{schedule.GROUP}/*",
        f"arn:aws:scheduler:*:*:schedule-group/{schedule.GROUP}",
    ]
    [said] = [s for s in statements() if "ssm:PutParameter" in s["Action"]]
    assert said["Resource"] == f"arn:aws:ssm:*:*:parameter{parameter.PATH}/*"
    [said] = [s for s in statements() if s["Sid"] == "GroupOfAnnexes"]
    [(key, value)] = said["Condition"]["StringEquals"].items()
    assert {key.removeprefix("aws:ResourceTag/"): value} == group.SET


def test_a_call_that_the_policy_lacks_is_named() -> None:
    calls = [
        {"service": "ec2", "action": "RunInstances"},
        {"service": "iam", "action": "RunInstances"},
        {"service": "ssm", "action": "GetParameter"},
        {"service": "iam", "action": "CreateRole"},
    ]
    assert not_allowed(calls) == ["iam:CreateRole", "iam:RunInstances"]
    assert not_allowed(calls, "person", "administrator") == ["iam:RunInstances"]


def test_persons_open_the_groups_that_an_administrator_marked_and_no_other() -> None:
    """Nobody but an administrator marks one: no policy lets a person tag it so."""
    opens = "ec2:RevokeSecurityGroupIngress"
    [said] = [s for s in statements("setup") if opens in s["Action"]]
    assert said["Condition"] == {"Null": {f"aws:ResourceTag/{tags.MAY_OPEN}": "false"}}
    assert [s for s in statements() if opens in s["Action"]] == []


def test_a_right_that_nothing_used_is_named_unless_it_says_why() -> None:
    every = {right.action for right in documents.rights_of("person")}
    assert never_called(every) == []
    assert never_called(every - {"ec2:RunInstances"}) == ["ec2:RunInstances"]
    assert never_called(every - {"ec2:DescribeTags"}) == []
