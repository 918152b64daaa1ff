"""Every document, as cfn-lint judges policies: grammar, actions, resources.

cfn-lint brings AWS's own list of actions and of the resources each of them knows.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from annexkit.rights import documents
from annexkit.rights.words import Document, Place
from tests.unit.helpers import ACCOUNT
from tests.unit.rights.test_documents import EVERYBODY

PLACES = {
    "anywhere": Place(),
    "aws": Place(ACCOUNT, "aws", ("us-west-2", "eu-west-1")),
    "aws-us-gov": Place(ACCOUNT, "aws-us-gov", ("us-gov-west-1",)),
    "aws-cn": Place(ACCOUNT, "aws-cn", ("cn-north-1",)),
}


def a_policy(document: Document) -> Document:
    properties = {"PolicyDocument": document}
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}


def a_role(trust: Document) -> Document:
    properties = {"AssumeRolePolicyDocument": trust}
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def found(resources: dict[str, Any]) -> list[str]:
    """Return all that cfn-lint has to say, the informational too."""
    template = json.dumps({"Resources": resources})
    matches = lint(template, config=ManualArgs(include_checks=["I"]))
    return [f"{match.rule.id}: {match.message}" for match in matches]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_linter_has_nothing_to_say(place: Place) -> None:
    resources = {
        who.capitalize(): a_policy(documents.policy(who, place)) for who in EVERYBODY
    }
    trusts = (
        documents.service_trust(place.ec2, place),
        documents.service_trust("scheduler.amazonaws.com", place, own_account=True),
        documents.github_trust("one/grid", "main", place),
    )
    resources |= {f"Trust{n}": a_role(trust) for n, trust in enumerate(trusts)}
    assert found(resources) == []


@pytest.mark.parametrize(
    ("was", "wrong", "rule"),
    [
        ("ec2:RunInstances", "ec2:RunInstance", "W3037"),
        ("security-group/*", "security-groups/*", "I3510"),
        ('"Effect"', '"Efect"', "E3510"),
    ],
    ids=["action", "resource", "grammar"],
)
def test_the_linter_sees_what_is_wrong(was: str, wrong: str, rule: str) -> None:
    text = json.dumps(documents.policy("person", Place()))
    assert was in text
    said = found({"Person": a_policy(json.loads(text.replace(was, wrong)))})
    assert any(line.startswith(rule) for line in said), said
