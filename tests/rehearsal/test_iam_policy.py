"""The policies allow what is really called, Packer's calls included, and nothing more.

Compared by action: the record says which calls were made, not on what. Conditions and
resources are held against requests in ``tests/unit/rights``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.rights.documents import rights_of
from annexkit.rights.services import GITHUB
from annexkit.rights.words import POLICIES
from tests.conftest import Baked
from tests.policy import never_called, not_allowed
from tests.rehearsal.annexes import LONG, Grounds, end_annexes, grounds
from tests.stage import REGION, SESSION, Place

pytestmark = pytest.mark.machines

Calls = list[dict[str, Any]]
READS = ("Describe", "Get", "List")
ELSEWHERE = "eu-central-2"
LEFT = "/annexkit/policy/left"
# What a smoke asks, and a bake does not; test_smoke holds it against the policy.
SMOKED = (
    *("ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes"),
    *("ec2:DescribeSubnets", "pricing:GetProducts"),
)
# The doctor has EC2 judge what only a launch may do; nothing is made.
TRIED = {"ec2:RunInstances", "ec2:CreateSecurityGroup"}


def test_every_call_of_a_bake_stands_in_the_policy_of_the_nightly_job(
    baked: Baked,
) -> None:
    assert baked.done.exit_code == 0, baked.done.stderr
    actions = {right.action for right in rights_of("nightly")}
    assert len(set(baked.called)) > 15  # Packer's are among them
    assert sorted(bakes(baked) - actions) == []


def test_the_calls_for_an_annex_and_the_policies_are_the_same(
    baked: Baked, tmp_path: Path
) -> None:
    place = baked.place.copy(tmp_path / "place")
    with grounds(place, "25.14", "idtokens") as found:
        end_annexes(found.ec2)
        found.place.invoke("teardown", "--yes")  # so that all of the set is made
        administration = recorded(found.place, "iam", "--role", "node", "--yes")
        found.place.stage.calm()
        life_of_an_annex(found)
        life = found.place.stage.ask("calls")
        leave_a_secret(found)
        reaped = recorded(found.place, "reap", "--yes")
        copied = recorded(found.place, "copy", "--region", ELSEWHERE)
        found.place.stage.remove_images(ELSEWHERE)
        end = recorded(found.place, "teardown", "--yes")
    for action in (
        "ec2:RunInstances",
        "iam:GetRole",
        "scheduler:CreateSchedule",
        "scheduler:UpdateSchedule",
        "ssm:PutParameter",
        "ssm:DeleteParameter",
    ):
        assert action in named(life), "the recording saw it"
    assert {"iam:CreateRole", "iam:PutRolePolicy"} <= named(administration)
    assert {"iam:DeleteRole", "scheduler:DeleteScheduleGroup"} <= named(end)
    # An administrator made the roles, so the person needs no right to write them.
    assert not_allowed([*life, *reaped], "person") == []
    assert not_allowed(copied, "publish") == []
    assert not_allowed(administration, "administrator") == []
    assert not_allowed(end, "person", "administrator") == []
    every = bakes(baked) | named([*life, *reaped, *end])
    assert never_called(every, "person") == []
    assert not_allowed([*reaped, *copied], "nightly") == []
    # What else it may do is shown by the tests of channels and of retire.
    unused = never_called(bakes(baked) | named([*reaped, *copied]), "nightly")
    unused = sorted(set(unused) - {right.action for right in rights_of("publish")})
    assert unused == list(SMOKED)


@pytest.mark.matrix
def test_the_calls_of_the_setup_and_its_policy_are_the_same(
    baked: Baked, tmp_path: Path
) -> None:
    place = baked.place.copy(tmp_path / "place")
    done(place, "iam", "--role", "node", "--yes")
    place.stage.calm()
    place.invoke("doctor")  # whatever it finds, it has looked
    done(place, "regions")
    done(place, "keypair", "--key-name", "alice")
    done(place, "security-group", "--cidr", "192.0.2.0/24")
    done(place, "security-group", "--undo")
    calls = place.stage.ask("calls")
    place.stage.ec2().delete_key_pair(KeyName="alice")
    place.invoke("teardown", "--yes")
    assert not set(not_allowed(calls, "setup")) - TRIED
    assert never_called(named(calls), "setup") == []


@pytest.mark.matrix
def test_the_calls_of_an_administrator_and_their_policy_are_the_same(
    baked: Baked, tmp_path: Path
) -> None:
    """And a second run of ``invoke iam`` changes nothing and says so."""
    place = baked.place.copy(tmp_path / "place")
    place.invoke("teardown", "--yes")
    every = ("iam", "--yes", "--repository", "one/grid")
    try:
        calls = recorded(place, *every)
        assert writes(calls)
        again = recorded(place, *every)
        assert writes(again) == []
        assert "nothing to do" in done(place, "iam", "--repository", "one/grid")
        for number in range(6):  # IAM keeps five versions
            limit = "--all-regions" if number % 2 else f"--region={REGION}"
            calls += recorded(place, *every, limit)
        other = ("--role", "nightly", "--repository", "other/grid")
        calls += recorded(place, "iam", "--yes", *other)
        calls += recorded(place, "teardown", "--yes")
    finally:
        remove_all(place)
    assert not_allowed(calls, "administrator", "person") == []
    assert never_called(named([*calls, *again]), "administrator") == []


def bakes(baked: Baked) -> set[str]:
    """Return what a bake called; it speaks to two services that share no action."""
    own = {right.action for right in rights_of("nightly")}
    return {
        next((a for a in own if a.endswith(f":{name}")), f"?:{name}")
        for name in baked.called
    }


def life_of_an_annex(found: Grounds) -> None:
    found.launch("policy", 1, "--market", "spot-then-on-demand", "--idle", LONG)
    name = ("--annex-name", "policy")
    # Of this type the settings have no price, so AWS is asked for it.
    other = ("--instance-type", "t3.medium", "--market", "spot-then-on-demand")
    found.done("launch", *name, *other, "--dry-run")
    (line,) = found.told("status", *name)["annexes"]
    (node,) = line["nodes"]
    found.told("why", node["id"])
    found.told("verify", *name)
    found.done("extend", *name, "--lease", "3h")
    found.done("terminate", *name, "--yes")
    found.done("receipt", *name)


def leave_a_secret(found: Grounds) -> None:
    """Leave what a launch leaves that was killed: the reaper takes it."""
    own = {tags.ANNEX: "policy", tags.LAUNCH: "left", tags.EXPIRES: "1"}
    found.client("ssm").put_parameter(
        Name=LEFT,
        Value="secret",
        Type="SecureString",
        Tags=[{"Key": key, "Value": value} for key, value in own.items()],
    )


def remove_all(place: Place) -> None:
    """Take away what ``invoke teardown`` leaves for an administrator to remove."""
    url = place.stage.rehearsal.endpoint
    iam: Any = SESSION.client("iam", region_name=REGION, endpoint_url=url)
    head = f"arn:aws:iam::{place.registry.account}"
    place.invoke("teardown", "--yes")
    for name in POLICIES.values():
        policy = f"{head}:policy/{name}"
        for version in iam.list_policy_versions(PolicyArn=policy)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(
                    PolicyArn=policy, VersionId=version["VersionId"]
                )
        iam.delete_policy(PolicyArn=policy)
    iam.delete_role_policy(RoleName="annexkit-nightly", PolicyName="annexkit")
    iam.delete_role(RoleName="annexkit-nightly")
    iam.delete_open_id_connect_provider(
        OpenIDConnectProviderArn=f"{head}:oidc-provider/{GITHUB}"
    )


def done(place: Place, *argv: str) -> str:
    """Run a command that has to succeed; return all that it said."""
    ran = place.invoke(*argv)
    assert ran.exit_code == 0, ran.stderr + ran.stdout
    return ran.stderr + ran.stdout


def recorded(place: Place, *argv: str) -> Calls:
    """Return the calls of one command that has to succeed."""
    place.stage.calm()
    done(place, *argv)
    calls: Calls = place.stage.ask("calls")
    return calls


def named(calls: Calls) -> set[str]:
    return {f"{call['service']}:{call['action']}" for call in calls}


def writes(calls: Calls) -> list[str]:
    return [call["action"] for call in calls if not call["action"].startswith(READS)]
