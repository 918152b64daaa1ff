"""The documents: policies and trust, rendered from the source for one place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from annexkit.rights.changing import CHANGING
from annexkit.rights.looking import LOOKING
from annexkit.rights.services import GITHUB, SERVICES
from annexkit.rights.words import COMMANDS, Document, Grant, Place, Right, Who

GRANTS: tuple[Grant, ...] = (*LOOKING, *CHANGING, *SERVICES)
AUDIENCE = "sts.amazonaws.com"  # what GitHub's own action for AWS asks for
# Without white space, which IAM does not count (IAM user guide, IAM and STS quotas).
MOST_OF_MANAGED = 6144
MOST_OF_INLINE = 10_240


def policy(who: Who, place: Place) -> Document:
    """Return what one of us may do: the rights that one of their commands needs."""
    statements = [
        _statement(grant, rights, place)
        for grant in GRANTS
        if not grant.partitions or place.partition in grant.partitions
        if (rights := _needed(grant, who))
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def rights_of(who: Who) -> Iterator[Right]:
    """Yield the rights that one of us has somewhere, with their reasons."""
    for grant in GRANTS:
        yield from _needed(grant, who)


def service_trust(service: str, place: Place, *, own_account: bool = False) -> Document:
    """Let a service of AWS take a role.

    :param own_account: only when it acts for this account (IAM user guide, The confused
        deputy problem).
    """
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if own_account:
        limit = {"aws:SourceAccount": place.account}
        statement["Condition"] = {"StringEquals": limit}
    return {"Version": "2012-10-17", "Statement": [statement]}


def github_trust(repository: str, branch: str, place: Place) -> Document:
    """Let GitHub's jobs of one branch of one repository take a role.

    Both conditions compare whole values (GitHub documentation, Configuring OpenID
    Connect in Amazon Web Services): a pull request or a tag has another subject.

    :param repository: ``owner/name``, or ``owner@1/name@2`` where GitHub's subjects
        have the numbers, too.
    """
    subject = f"repo:{repository}:ref:refs/heads/{branch}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn(place)},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{GITHUB}:aud": AUDIENCE, f"{GITHUB}:sub": subject}
        },
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def provider_arn(place: Place) -> str:
    """Return the ARN of GitHub's identity provider in the account."""
    return place.arn(f"iam::{{account}}:oidc-provider/{GITHUB}")


def written(document: Document) -> str:
    """Return a document as it is published and compared, line by line."""
    return json.dumps(document, indent=2) + "\n"


def size(document: Document) -> int:
    """Return a document's size as IAM counts it."""
    return len(re.sub(r"\s", "", json.dumps(document)))


def read(said: str | Document) -> Document:
    """Read a policy document: IAM gives it as URL-encoded JSON, boto3 as data."""
    found: Document = json.loads(unquote(said)) if isinstance(said, str) else said
    return found


def normal(policy: Any) -> Any:
    """Return a document with lists of one as that one, and other lists sorted.

    IAM takes both forms for the same (IAM user guide, JSON policy elements).
    """
    if isinstance(policy, dict):
        return {key: normal(value) for key, value in policy.items()}
    if isinstance(policy, list):
        found = sorted((normal(value) for value in policy), key=json.dumps)
        return found[0] if len(found) == 1 else found
    return policy


def _needed(grant: Grant, who: Who) -> tuple[Right, ...]:
    mine = COMMANDS[who]
    return tuple(right for right in grant.rights if mine & set(right.commands))


def _statement(grant: Grant, rights: tuple[Right, ...], place: Place) -> Document:
    said: Document = {"Sid": grant.sid} if grant.sid else {}
    resources = [place.arn(tail) for tail in grant.resources]
    said |= {
        "Effect": "Allow",
        "Action": sorted({right.action for right in rights}),
        "Resource": resources if len(resources) > 1 else resources[0],
    }
    conditions = _conditions(grant, place)
    return said | ({"Condition": conditions} if conditions else {})


def _conditions(grant: Grant, place: Place) -> Document:
    found: Document = {
        operator: {key: _value(value, place) for key, value in keys.items()}
        for operator, keys in grant.conditions.items()
    }
    if grant.regional and place.regions:
        limit = {"aws:RequestedRegion": sorted(place.regions)}
        found["StringEquals"] = found.get("StringEquals", {}) | limit
    return found


def _value(value: str | tuple[str, ...], place: Place) -> str | list[str]:
    if isinstance(value, tuple):
        return list(value)
    return value.format(ec2=place.ec2)
