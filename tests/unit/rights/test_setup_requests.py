"""What the guide's set-up asks of EC2, as it asks, and what else somebody might try."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import ssh, tags
from annexkit.aws import Cloud
from annexkit.instances import from_tags
from annexkit.rights import documents
from annexkit.rights.words import Place
from annexkit.setup import groups, keypair, security_group
from annexkit.setup.rules import Rule
from tests.unit.helpers import REGION, FakeClock
from tests.unit.rights.judge import ACCOUNT, Asked, arn, refused

POLICY = documents.policy("setup", Place(ACCOUNT, "aws", (REGION,)))
SSH = Rule("tcp", 22, 22, "192.0.2.0/24")
MARKED = {tags.MAY_OPEN: "yes"}
THEIRS = {"Name": "theirs"}
Made = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The calls that change something, with what they said."""
    found: Made = []
    real = cloud.call

    def call(region: str, method: str, **said: Any) -> dict[str, Any]:
        if not method.startswith("describe_"):
            action = "".join(part.capitalize() for part in method.split("_"))
            found.append((action, said))
        return real(region, method, **said)

    monkeypatch.setattr(cloud, "call", call)
    return found


def asked(made: Made, kind: str, name: str, has: dict[str, str]) -> list[Asked]:
    """Return what EC2 asks IAM for these calls on one thing.

    What a call makes with tags is asked for besides, and its tagging, too (EC2 user
    guide, Grant permission to tag resources during creation).
    """
    found = []
    for action, said in made:
        tagged = {
            one["ResourceType"]: from_tags(one["Tags"])
            for one in said.get("TagSpecifications", [])
        }
        own = tagged.pop(kind, {})
        found.append(Asked(f"ec2:{action}", arn(kind, name), has, own))
        for what, given in [(kind, own), *tagged.items()]:
            if what != kind:
                found.append(Asked(f"ec2:{action}", arn(what, "*"), given=given))
            if given:
                thing = arn(what, "*")
                found.append(Asked("ec2:CreateTags", thing, {}, given, action))
    return found


def test_a_key_pair_of_any_name_may_be_imported(cloud: Cloud, made: Made) -> None:
    assert keypair.give(cloud, REGION, "alice at home", ssh.new_key())
    judged = asked(made, "key-pair", "alice at home", {})
    assert [one.action for one in judged] == ["ec2:ImportKeyPair", "ec2:CreateTags"]
    assert refused(POLICY, judged) == []


def test_rules_go_into_a_marked_group_and_out_again(cloud: Cloud, made: Made) -> None:
    group = groups.choose(cloud, REGION, "default", "")
    assert security_group.add(cloud, group, SSH, "ssh")
    ids = [one.id for one in security_group.look(cloud, group)]
    taken = security_group.take_back(cloud, group, ids, poll=1, clock=FakeClock())
    assert taken == ids
    judged = asked(made, "security-group", group.id, MARKED)
    assert {
        (one.action, one.resource.split(":")[5].split("/")[0]) for one in judged
    } == {
        ("ec2:AuthorizeSecurityGroupIngress", "security-group"),
        ("ec2:AuthorizeSecurityGroupIngress", "security-group-rule"),
        ("ec2:CreateTags", "security-group-rule"),
        ("ec2:RevokeSecurityGroupIngress", "security-group"),
    }
    assert refused(POLICY, judged) == []
    unmarked = asked(made, "security-group", group.id, THEIRS)
    assert {one.action for one in refused(POLICY, unmarked)} == {
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupIngress",
    }


NEVER = {
    "mark a group": Asked(
        "ec2:CreateTags", arn("security-group", "sg-1"), THEIRS, MARKED
    ),
    "tag an instance": Asked(
        "ec2:CreateTags", arn("instance", "i-1"), THEIRS, {tags.LAUNCH: "l"}
    ),
    "import a pair that nobody knows for ours": Asked(
        "ec2:ImportKeyPair", arn("key-pair", "x")
    ),
    "import elsewhere": Asked(
        "ec2:ImportKeyPair",
        arn("key-pair", "x", "sa-east-1"),
        given=keypair.SET,
        region="sa-east-1",
    ),
    "delete a pair": Asked("ec2:DeleteKeyPair", arn("key-pair", "theirs"), THEIRS),
    "delete a marked group": Asked(
        "ec2:DeleteSecurityGroup", arn("security-group", "sg-1"), MARKED
    ),
    "launch": Asked("ec2:RunInstances", arn("instance", "*"), given={tags.LAUNCH: "l"}),
}


@pytest.mark.parametrize("what", NEVER)
def test_what_is_no_part_of_the_setup_is_out_of_reach(what: str) -> None:
    assert refused(POLICY, [NEVER[what]]) == [NEVER[what]]
