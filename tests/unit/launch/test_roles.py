"""The two roles of all annexes, against moto's IAM."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from annexkit.aws import AwsError, Cloud
from annexkit.launch import roles
from annexkit.launch.policies import (
    NIGHT,
    Role,
    document,
    nightly_role,
    node_role,
    normal,
    place_of,
    scheduler_role,
)
from annexkit.launch.roles import RoleError
from tests.unit.helpers import ACCOUNT, REGION, FakeClock

WRITES = ("Create", "Put", "Add", "Update", "Delete", "Remove", "Attach")


@pytest.fixture(params=["node", "scheduler"])
def role(request: pytest.FixtureRequest, cloud: Cloud) -> Role:
    make = node_role if request.param == "node" else scheduler_role
    return make(cloud, REGION)


def iam(cloud: Cloud, method: str, **arguments: Any) -> dict[str, Any]:
    return cloud.call(REGION, method, service="iam", **arguments)


def ensure(cloud: Cloud, role: Role) -> str:
    return roles.ensure(cloud, REGION, role, poll=1, clock=FakeClock())


def said(cloud: Cloud, role: Role) -> list[str]:
    return roles.differences(role, roles.look(cloud, REGION, role))


def test_a_role_is_made_once(cloud: Cloud, role: Role) -> None:
    assert said(cloud, role) == [f"the role {role.name} is missing"]
    assert not roles.anything(cloud, REGION, role)
    arn = ensure(cloud, role)
    assert arn == f"arn:aws:iam::{ACCOUNT}:role/{role.name}"
    assert said(cloud, role) == []
    cloud.calls.clear()
    assert ensure(cloud, role) == arn
    assert [a for _, a in cloud.calls if a.startswith(WRITES)] == []


@pytest.mark.parametrize(
    "broken",
    ["missing", "trust", "policy", "no policy", "no profile", "empty profile", "none"],
)
def test_the_calls_that_were_planned_are_those_that_are_made(
    cloud: Cloud, broken: str
) -> None:
    role = node_role(cloud, REGION)
    if broken != "missing":
        ensure(cloud, role)
        break_it(cloud, role, broken)
    expected = roles.planned(role, roles.look(cloud, REGION, role))
    assert bool(expected) is (broken != "none")
    cloud.calls.clear()
    ensure(cloud, role)
    assert [a for _, a in cloud.calls if a.startswith(WRITES)] == expected
    assert roles.planned(role, roles.look(cloud, REGION, role)) == []


def break_it(cloud: Cloud, role: Role, how: str) -> None:
    profile = {"InstanceProfileName": role.name}
    if how == "trust":
        other = json.dumps(role.trust).replace("amazonaws", "example")
        trust = {"RoleName": role.name, "PolicyDocument": other}
        iam(cloud, "update_assume_role_policy", **trust)
    if how == "policy":
        other = json.dumps(role.policy).replace("GetParameter", "GetParameters")
        policy = {"PolicyName": roles.POLICY, "PolicyDocument": other}
        iam(cloud, "put_role_policy", RoleName=role.name, **policy)
    if how == "no policy":
        named = {"RoleName": role.name, "PolicyName": roles.POLICY}
        iam(cloud, "delete_role_policy", **named)
    if "profile" in how:
        iam(
            cloud,
            "remove_role_from_instance_profile",
            RoleName=role.name,
            **profile,
        )
    if how == "no profile":
        iam(cloud, "delete_instance_profile", **profile)


def test_the_arn_of_the_schedulers_role_is_known_beforehand(cloud: Cloud) -> None:
    made = ensure(cloud, scheduler_role(cloud, REGION))
    assert roles.scheduler_arn(cloud, REGION) == made


def test_a_node_may_read_our_secrets_and_nothing_else(cloud: Cloud) -> None:
    [statement] = node_role(cloud, REGION).policy["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": ["ssm:GetParameter"],
        "Resource": f"arn:aws:ssm:*:{ACCOUNT}:parameter/annexkit/*",
    }


def test_scheduler_ends_annexes_only_and_for_this_account_only(cloud: Cloud) -> None:
    role = scheduler_role(cloud, REGION)
    [may] = role.policy["Statement"]
    assert may["Action"] == ["ec2:TerminateInstances"]
    assert may["Condition"] == {"Null": {"aws:ResourceTag/annexkit:launch": "false"}}
    [who] = role.trust["Statement"]
    assert who["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


def test_other_partitions_have_other_names(cloud: Cloud) -> None:
    role = node_role(cloud, "cn-north-1")
    assert role.policy["Statement"][0]["Resource"].startswith("arn:aws-cn:ssm:")
    assert role.trust["Statement"][0]["Principal"]["Service"].endswith(".cn")
    arn = roles.scheduler_arn(cloud, "us-gov-west-1")
    assert arn.startswith("arn:aws-us-gov:iam::")


def test_a_changed_policy_is_told_and_mended(cloud: Cloud, role: Role) -> None:
    ensure(cloud, role)
    wide = {
        **role.policy,
        "Statement": [{**role.policy["Statement"][0], "Action": "*"}],
    }
    iam(
        cloud,
        "put_role_policy",
        RoleName=role.name,
        PolicyName=roles.POLICY,
        PolicyDocument=json.dumps(wide),
    )
    assert said(cloud, role) == [f"the policy of the role {role.name} was changed"]
    ensure(cloud, role)
    assert said(cloud, role) == []


def test_a_changed_trust_is_told_and_mended(cloud: Cloud, role: Role) -> None:
    ensure(cloud, role)
    other = json.dumps(role.trust).replace("amazonaws", "example")
    iam(
        cloud,
        "update_assume_role_policy",
        RoleName=role.name,
        PolicyDocument=other,
    )
    assert said(cloud, role) == [f"who may assume the role {role.name} was changed"]
    ensure(cloud, role)
    assert said(cloud, role) == []


def test_the_sessions_of_a_night_are_long_and_short_ones_are_mended(
    cloud: Cloud,
) -> None:
    role = nightly_role(place_of(cloud, REGION), "one/grid", "main")
    ensure(cloud, role)
    held = iam(cloud, "get_role", RoleName=role.name)["Role"]
    assert held["MaxSessionDuration"] == NIGHT == 6 * 3600
    iam(cloud, "update_role", RoleName=role.name, MaxSessionDuration=3600)
    assert said(cloud, role) == [f"the sessions of the role {role.name} end too early"]
    assert roles.planned(role, roles.look(cloud, REGION, role)) == ["UpdateRole"]
    ensure(cloud, role)
    assert said(cloud, role) == []
    # Longer ones are somebody's choice.
    iam(cloud, "update_role", RoleName=role.name, MaxSessionDuration=2 * NIGHT)
    assert said(cloud, role) == []


def test_what_a_killed_launch_left_half_made_is_completed(cloud: Cloud) -> None:
    role = node_role(cloud, REGION)
    roles._create(cloud, REGION, role)
    assert said(cloud, role) == [
        f"the role {role.name} has no policy 'annexkit'",
        f"the instance profile {role.name} is missing",
    ]
    ensure(cloud, role)
    assert said(cloud, role) == []


def test_an_empty_profile_gets_its_role(cloud: Cloud) -> None:
    role = node_role(cloud, REGION)
    ensure(cloud, role)
    iam(
        cloud,
        "remove_role_from_instance_profile",
        InstanceProfileName=role.name,
        RoleName=role.name,
    )
    assert said(cloud, role) == [
        f"the instance profile {role.name} does not hold its role"
    ]
    ensure(cloud, role)
    assert said(cloud, role) == []


def test_a_role_of_another_hand_is_neither_used_nor_removed(
    cloud: Cloud, role: Role
) -> None:
    iam(
        cloud,
        "create_role",
        RoleName=role.name,
        AssumeRolePolicyDocument=json.dumps(role.trust),
    )
    for act in (ensure, lambda c, r: roles.remove(c, REGION, r)):
        with pytest.raises(RoleError, match="not annexkit's") as caught:
            act(cloud, role)
        assert caught.value.mend
    assert iam(cloud, "get_role", RoleName=role.name)["Role"]["RoleName"] == role.name


def test_a_profile_with_another_role_is_not_used(cloud: Cloud) -> None:
    role = node_role(cloud, REGION)
    other = scheduler_role(cloud, REGION)
    ensure(cloud, role)
    ensure(cloud, other)
    iam(
        cloud,
        "remove_role_from_instance_profile",
        InstanceProfileName=role.name,
        RoleName=role.name,
    )
    iam(
        cloud,
        "add_role_to_instance_profile",
        InstanceProfileName=role.name,
        RoleName=other.name,
    )
    with pytest.raises(RoleError, match=f"another role: {other.name}"):
        ensure(cloud, role)


def test_a_role_that_another_launch_makes_meanwhile_is_taken(
    cloud: Cloud, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = ensure(cloud, role)
    real = roles.look
    answers = [None]
    monkeypatch.setattr(
        roles, "look", lambda *args: answers.pop() if answers else real(*args)
    )
    assert ensure(cloud, role) == arn
    assert answers == []


def test_a_role_that_iam_hides_for_a_moment_is_waited_for(
    cloud: Cloud, role: Role, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    real = roles.look
    answers = [None, None, None]
    monkeypatch.setattr(
        roles, "look", lambda *args: answers.pop() if answers else real(*args)
    )
    roles.ensure(cloud, REGION, role, poll=5, clock=clock)
    assert clock.slept == 10
    monkeypatch.undo()
    assert said(cloud, role) == []


def test_a_refusal_names_the_call(cloud: Cloud, role: Role) -> None:
    call = cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "create_role":
            raise AwsError(
                "no", code="AccessDenied", action="CreateRole", region=region
            )
        return call(region, method, **arguments)

    cloud.call = refuse  # type: ignore[method-assign]
    with pytest.raises(AwsError, match="CreateRole") as caught:
        ensure(cloud, role)
    assert "an administrator run: invoke iam (docs/" in caught.value.mend


def test_who_may_not_remove_a_role_asks_for_a_teardown(
    cloud: Cloud, role: Role
) -> None:
    ensure(cloud, role)
    call = cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method.startswith(("delete", "remove")):
            raise AwsError("no", code="AccessDenied", action=method, region=region)
        return call(region, method, **arguments)

    cloud.call = refuse  # type: ignore[method-assign]
    with pytest.raises(AwsError) as caught:
        roles.remove(cloud, REGION, role)
    assert "an administrator run: invoke teardown" in caught.value.mend


def test_removing_leaves_nothing_and_may_be_repeated(cloud: Cloud, role: Role) -> None:
    ensure(cloud, role)
    assert roles.remove(cloud, REGION, role) is True
    assert roles.look(cloud, REGION, role) is None
    assert not roles.anything(cloud, REGION, role)
    assert roles.remove(cloud, REGION, role) is False


def test_a_profile_that_lost_its_role_is_removed(cloud: Cloud) -> None:
    role = node_role(cloud, REGION)
    ensure(cloud, role)
    iam(
        cloud,
        "remove_role_from_instance_profile",
        InstanceProfileName=role.name,
        RoleName=role.name,
    )
    iam(cloud, "delete_role_policy", RoleName=role.name, PolicyName=roles.POLICY)
    iam(cloud, "delete_role", RoleName=role.name)
    assert roles.anything(cloud, REGION, role)
    assert roles.remove(cloud, REGION, role) is True
    assert not roles.anything(cloud, REGION, role)


def test_documents_are_read_in_both_forms() -> None:
    policy = {"Statement": [{"Action": "a b"}]}
    assert document(policy) == policy
    assert document(quote(json.dumps(policy))) == policy


def test_order_and_lists_of_one_do_not_count() -> None:
    one = {"Statement": [{"Action": ["b", "a"], "Resource": ["x"]}]}
    other = {"Statement": {"Resource": "x", "Action": ["a", "b"]}}
    assert normal(one) == normal(other)
    assert normal(one) != normal({"Statement": [{"Action": "a", "Resource": "x"}]})
