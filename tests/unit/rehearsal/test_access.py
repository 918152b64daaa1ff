from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import quote

import pytest

from annexkit.rehearsal import access
from annexkit.rehearsal.access import Guard
from annexkit.rehearsal.wire import ApiError, Call, Moto
from tests.unit.rehearsal.samples import Answers

HEAD = "arn:aws:ssm:us-west-2:123456789012:parameter"


def allow(action: Any, resource: Any = "*", effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


OWN = allow("ssm:GetParameter", "arn:aws:ssm:*:*:parameter/annexkit/*")


def get(name: str) -> Call:
    return Call("ssm", "us-west-2", "GetParameter", {"Name": name}, json=True)


def a_guard(*own: dict[str, Any], roles: dict[str, str] | None = None) -> Guard:
    document = quote(json.dumps({"Version": "2012-10-17", "Statement": list(own)}))
    names = "<PolicyNames><member>p</member></PolicyNames>" if own else ""
    moto = Answers(
        ListRolePolicies=f"<r>{names}</r>",
        GetRolePolicy=f"<r><PolicyDocument>{document}</PolicyDocument></r>",
        ListAttachedRolePolicies="<r/>",
    )
    given = {"ASIA1": "node"} if roles is None else roles
    return Guard(cast(Moto, moto), given)


def code_of(guard: Guard, call: Call, key: str, *, inside: bool = True) -> str:
    with pytest.raises(ApiError) as caught:
        guard.check(call, key, inside=inside)
    return caught.value.code


def test_a_role_may_do_what_its_policy_says_and_nothing_else() -> None:
    guard = a_guard(OWN)
    guard.check(get("/annexkit/grid/1"), "ASIA1", inside=True)
    assert code_of(guard, get("/other/1"), "ASIA1") == "AccessDeniedException"
    put = Call("ssm", "us-west-2", "PutParameter", {"Name": "/annexkit/1"}, json=True)
    assert code_of(guard, put, "ASIA1") == "AccessDeniedException"


def test_a_roles_keys_speak_for_it_from_anywhere() -> None:
    assert code_of(a_guard(OWN), get("/x"), "ASIA1", inside=False)


def test_a_role_without_policies_may_only_ask_who_it_is() -> None:
    guard = a_guard()
    assert code_of(guard, get("/annexkit/1"), "ASIA1") == "AccessDeniedException"
    me = Call("sts", "us-west-2", "GetCallerIdentity")
    guard.check(me, "ASIA1", inside=True)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (get("/annexkit/1"), "UnrecognizedClientException"),
        (Call("ec2", "us-west-2", "DescribeTags"), "AuthFailure"),
        (Call("iam", "us-west-2", "GetRole"), "InvalidClientTokenId"),
    ],
)
def test_a_machine_without_a_role_is_refused(call: Call, code: str) -> None:
    assert code_of(a_guard(OWN), call, "AKIAOTHER") == code


def test_the_accounts_own_keys_pass_from_this_host() -> None:
    a_guard(roles={}).check(get("/annexkit/1"), "anything", inside=False)


def test_every_resource_must_be_allowed() -> None:
    names = {"Names.1": "/annexkit/1", "Names.2": "/other"}
    call = Call("ssm", "us-west-2", "GetParameters", names)
    assert access.resources(call) == [f"{HEAD}/annexkit/1", f"{HEAD}/other"]
    policy = [allow("ssm:Get*", f"{HEAD}/annexkit/*")]
    assert not access.allows(policy, "ssm:GetParameters", access.resources(call))
    assert access.allows(policy, "ssm:GetParameters", [f"{HEAD}/annexkit/1"])


def test_a_deny_wins_and_case_of_an_action_does_not_matter() -> None:
    both = [allow("EC2:terminateinstances"), allow("ec2:*", effect="Deny")]
    assert access.allows(both[:1], "ec2:TerminateInstances", [])
    assert not access.allows(both, "ec2:TerminateInstances", [])


def test_a_policy_may_be_one_statement_and_plain_text() -> None:
    assert access.statements(json.dumps({"Statement": OWN})) == [OWN]
