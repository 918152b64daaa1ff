from __future__ import annotations

import json

import pytest

from annexkit.doctor.account import (
    Question,
    clock,
    identity,
    principal,
    questions,
    rights,
)
from annexkit.doctor.lines import Status
from tests.stage import ROOT
from tests.unit.helpers import ACCOUNT, REGION

USER = f"arn:aws:iam::{ACCOUNT}:user/alice"


def test_temporary_keys_of_a_role_are_well_and_say_whence_they_are() -> None:
    [line] = identity("arn:aws:sts::1:assumed-role/A/b", "ASIA1", "sso", "http://x")
    assert line.status is Status.OK
    assert "sso" in line.what
    assert "http://x" in line.what


def test_the_root_users_own_key_is_two_warnings() -> None:
    lines = list(identity(f"arn:aws:iam::{ACCOUNT}:root", "AKIA1", "env", "aws"))
    assert [line.status for line in lines] == [Status.WARNING, Status.WARNING]


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (0, Status.OK),
        (-60, Status.OK),
        (61, Status.WARNING),
        (-300, Status.WARNING),
        (301, Status.WRONG),
    ],
)
def test_the_clock_may_differ_by_a_minute_and_never_by_five(
    ahead: float, status: Status
) -> None:
    assert clock(ahead).status is status
    assert clock(-ahead).status is status


@pytest.mark.parametrize(
    ("arn", "whose"),
    [
        (USER, USER),
        (f"arn:aws:iam::{ACCOUNT}:root", ""),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", ""),
        (
            f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/Admin/i-1",
            f"arn:aws-cn:iam::{ACCOUNT}:role/Admin",
        ),
    ],
)
def test_the_principal_is_who_has_the_policies(arn: str, whose: str) -> None:
    assert principal(arn) == whose


def asked() -> list[Question]:
    policy = json.loads((ROOT / "docs" / "iam-policy.json").read_text())
    return questions(policy, partition="aws", account=ACCOUNT, region=REGION)


def of(action: str) -> list[Question]:
    return [question for question in asked() if action in question.actions]


def values(question: Question) -> dict[str, str]:
    return {key: value for key, value, _ in question.context}


def test_every_action_of_the_published_policy_is_asked_for() -> None:
    policy = json.loads((ROOT / "docs" / "iam-policy.json").read_text())
    wanted = {action for said in policy["Statement"] for action in said["Action"]}
    assert {action for question in asked() for action in question.actions} == wanted


def test_resources_are_concrete_and_of_the_actions_kind() -> None:
    assert not any("*" in q.resource for q in asked() if q.resource != "*")
    role = f"arn:aws:iam::{ACCOUNT}:role/annexkit-node"
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/annexkit-node"
    assert [q.resource for q in of("iam:GetRolePolicy")] == [role]
    assert [q.resource for q in of("iam:GetInstanceProfile")] == [profile]
    [parameter] = of("ssm:PutParameter")
    assert parameter.resource == (
        f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/annexkit/doctor"
    )
    [group] = of("scheduler:CreateScheduleGroup")
    assert group.resource.endswith(":schedule-group/annexkit")


def test_conditions_are_asked_with_what_fulfils_them() -> None:
    contexts = [values(question) for question in of("ec2:TerminateInstances")]
    assert {"aws:ResourceTag/annexkit:build", "aws:ResourceTag/annexkit:launch"} <= {
        key for context in contexts for key in context
    }
    services = {values(q)["iam:PassedToService"] for q in of("iam:PassRole")}
    assert services == {"ec2.amazonaws.com", "scheduler.amazonaws.com"}
    assert all(values(q)["aws:RequestedRegion"] == REGION for q in asked())
    [entry, *_] = of("iam:PassRole")[0].parameters(USER)["ContextEntries"]
    assert set(entry) == {"ContextKeyName", "ContextKeyValues", "ContextKeyType"}


def test_an_action_refused_on_one_resource_is_refused() -> None:
    allowed = {"EvalActionName": "ec2:DeleteVolume", "EvalDecision": "allowed"}
    denied = allowed | {"EvalDecision": "implicitDeny"}
    for results in ([allowed, denied], [denied, allowed]):
        [line] = rights(results)
        assert line.status is Status.WRONG
        assert line.what.count("ec2:DeleteVolume") == 1
    [line] = rights([allowed, allowed])
    assert (line.status, "all 2 calls" in line.what) == (Status.OK, True)


def test_only_spared_actions_missing_is_a_warning() -> None:
    spared = {"EvalActionName": "pricing:GetProducts", "EvalDecision": "implicitDeny"}
    assert [line.status for line in rights([spared])] == [Status.WARNING]


def test_every_form_of_a_condition_is_fulfilled() -> None:
    policy = {
        "Statement": [
            {
                "Action": ["ec2:RunInstances", "ec2:CreateImage"],
                "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*::image/*"],
                "Condition": {
                    "ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]},
                    "Null": {"aws:ResourceTag/x": "false", "aws:ResourceTag/y": "true"},
                },
            }
        ]
    }
    run, image = questions(policy, partition="aws", account=ACCOUNT, region=REGION)
    assert run.resource == f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/doctor"
    assert image.resource == f"arn:aws:ec2:{REGION}::image/doctor"
    assert run.context == image.context
    assert run.context[1:] == (
        ("aws:TagKeys", "a", "stringList"),
        ("aws:ResourceTag/x", "doctor", "string"),
    )
