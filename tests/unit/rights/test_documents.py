"""The source of all policies, and what is rendered from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest

import tasks
from annexkit.rights import documents
from annexkit.rights.words import (
    COMMANDS,
    POLICIES,
    ROLES,
    Conditions,
    Grant,
    Place,
    Right,
    Who,
)
from tests.unit.helpers import ACCOUNT

EVERYBODY: tuple[Who, ...] = get_args(Who)
PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
REGIONS = ("us-gov-west-1", "us-gov-east-1")
READS = ("Describe", "Get", "List")


def statements(who: Who, place: Place | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = documents.policy(who, place or Place())["Statement"]
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def the(sid: str, place: Place | None = None) -> dict[str, Any]:
    return next(s for s in statements("person", place) if s["Sid"] == sid)


def every_right() -> Iterator[tuple[Grant, Right]]:
    return ((grant, right) for grant in documents.GRANTS for right in grant.rights)


def test_every_right_says_why_and_whose_command_needs_it() -> None:
    invented = {"a node", "a schedule", ROLES}
    for grant, right in every_right():
        assert right.why and right.commands, f"{grant.sid} {right.action}"
        assert set(right.commands) - invented <= set(tasks.ns.task_names), right
    known = frozenset[str]().union(*COMMANDS.values())
    assert {c for _, right in every_right() for c in right.commands} <= known


def test_a_right_stands_once_in_its_grant_and_grants_have_their_own_names() -> None:
    for grant in documents.GRANTS:
        actions = [right.action for right in grant.rights]
        assert len(actions) == len(set(actions)), grant.sid
    for who in EVERYBODY:
        sids = [s["Sid"] for s in statements(who) if "Sid" in s]
        assert len(sids) == len(set(sids))


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("who", EVERYBODY)
def test_every_arn_is_of_the_place(who: Who, partition: str) -> None:
    place = Place(ACCOUNT, partition, prefix="site")
    arns = [
        arn
        for said in statements(who, place)
        for arn in listed(said["Resource"])
        if arn != "*"
    ]
    assert arns
    for arn in arns:
        head, name, _, _, account, what = arn.split(":", 5)
        assert (head, name) == ("arn", partition)
        if what.startswith("parameter/aws/"):  # AWS's own, which anybody reads
            continue
        assert account in (ACCOUNT, "") and "{" not in arn
        assert account or ("::image/" in arn or "::snapshot/" in arn)


def test_of_all_that_ends_or_changes_a_thing_each_statement_has_a_limit() -> None:
    """Only what is looked at is about everything and under no condition."""
    for who in EVERYBODY:
        for said in statements(who):
            bare = [a for a in said["Action"] if a.split(":")[1].startswith(READS)]
            if bare == said["Action"] and said["Resource"] == "*":
                continue
            assert said["Resource"] != "*" or said.get("Condition"), said


@pytest.mark.parametrize("who", ["person", "publish", "setup", "nightly"])
def test_regions_limit_what_is_made_and_what_nobody_tagged(who: Who) -> None:
    """What only reads, is IAM's, or is ours by a tag already, is free of regions."""
    place = Place(ACCOUNT, "aws-us-gov", REGIONS)
    limited = []
    for said in statements(who, place):
        limits = said.get("Condition", {}).get("StringEquals", {})
        reads = said["Sid"].startswith("Look")
        iam = said["Action"][0].startswith("iam:")
        free = (
            *("OfBakes", "OfAnnexes", "GroupOfAnnexes", "TagInTheMaking"),
            *("GroupsOfPersons", "TheirRules", "TagInTheSetup", "ExportedAmis"),
        )
        if reads or iam or said["Sid"] in free:
            assert "aws:RequestedRegion" not in limits
        else:
            assert limits["aws:RequestedRegion"] == sorted(REGIONS)
            limited += said["Action"]
    made = {"ec2:RunInstances", "ec2:CreateImage", "ec2:DeregisterImage"}
    own = {"setup": {"ec2:ImportKeyPair"}, "publish": {"ec2:CopyImage"}}
    assert own.get(who, made) <= {*limited}


def test_a_region_stands_beside_another_condition_of_its_kind() -> None:
    same: Conditions = {"StringEquals": {"ec2:CreateAction": ("RunInstances",)}}
    grant = Grant("One", (Right("ec2:CreateTags", "x", ("bake",)),), conditions=same)
    said = documents._statement(grant, grant.rights, Place(regions=("eu-west-1",)))
    assert said["Condition"]["StringEquals"] == {
        "ec2:CreateAction": ["RunInstances"],
        "aws:RequestedRegion": ["eu-west-1"],
    }
    bare = documents._statement(grant, grant.rights, Place())
    assert "aws:RequestedRegion" not in json.dumps(bare)


def test_the_roles_of_annexes_are_the_same_whatever_the_regions() -> None:
    for who in ("node", "scheduler"):
        assert statements(who) == statements(who, Place(regions=("eu-west-1",)))


def test_instances_are_launched_tagged_as_ours_or_not_at_all() -> None:
    tagged = the("RunTagged")["Condition"]["ForAnyValue:StringEquals"]
    assert tagged == {"aws:TagKeys": ["annexkit:build", "annexkit:launch"]}
    untagged = [
        arn
        for said in statements("person")
        if "ec2:RunInstances" in said["Action"] and "Condition" not in said
        for arn in said["Resource"]
    ]
    assert untagged
    assert [arn for arn in untagged if arn.endswith(("instance/*", "volume/*"))] == []


def test_nobody_may_tag_what_is_somebody_elses() -> None:
    """It would be theirs to end, then."""
    for who in EVERYBODY:
        for said in statements(who):
            if "ec2:CreateTags" not in said["Action"]:
                continue
            keys = str(said["Condition"])
            assert "ec2:CreateAction" in keys or "aws:ResourceTag/" in keys, said


def test_only_in_china_builders_may_be_launched_untagged() -> None:
    late = {"RunUntaggedInChina", "TagBuildersInChina"}
    for partition in PARTITIONS:
        sids = {s["Sid"] for s in statements("person", Place(partition=partition))}
        assert (late <= sids) is (partition == "aws-cn")


def test_the_nightly_job_bakes_smokes_and_reaps_and_launches_no_annex() -> None:
    may = {action for said in statements("nightly") for action in said["Action"]}
    assert {"ec2:CreateImage", "ec2:RunInstances", "ssm:DeleteParameter"} <= may
    assert not {a for a in may if a.startswith(("iam:", "scheduler:"))}
    assert {"ec2:DescribeInstanceTypeOfferings", "pricing:GetProducts"} <= may
    assert "ssm:PutParameter" not in may
    rights = {right.action for right in documents.rights_of("nightly")}
    assert rights == may


def test_chinas_ec2_has_a_name_of_its_own() -> None:
    for partition, name in (("aws", ""), ("aws-us-gov", ""), ("aws-cn", ".cn")):
        said = the("GiveNodesTheirRole", Place(partition=partition))
        ec2 = f"ec2.amazonaws.com{name}"
        assert said["Condition"]["StringEquals"] == {"iam:PassedToService": ec2}


def test_only_one_branch_of_one_repository_may_take_the_nightly_role() -> None:
    place = Place(ACCOUNT, "aws-us-gov")
    [said] = documents.github_trust("one/grid", "main", place)["Statement"]
    issuer = "token.actions.githubusercontent.com"
    assert said == {
        "Effect": "Allow",
        "Principal": {
            "Federated": f"arn:aws-us-gov:iam::{ACCOUNT}:oidc-provider/{issuer}"
        },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": "repo:one/grid:ref:refs/heads/main",
            }
        },
    }


@pytest.mark.parametrize(
    ("partition", "most"), [("aws", 8), ("aws-us-gov", 2), ("aws-cn", 2)]
)
def test_iam_takes_the_policies_of_sites_with_many_regions(
    partition: str, most: int
) -> None:
    regions = tuple(f"ap-southeast-{n}" for n in range(most))
    place = Place(ACCOUNT, partition, regions, prefix="a" * 31)
    for who in POLICIES:
        assert documents.size(documents.policy(who, place)) <= 6144
    for who in ("nightly", "node", "scheduler"):
        assert documents.size(documents.policy(who, place)) <= 10_240


def test_white_space_is_not_counted() -> None:
    assert documents.size({"a": ["b"]}) == len('{"a":["b"]}')
