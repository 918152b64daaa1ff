"""Whether a policy allows a request, judged as IAM documents it.

Only what our policies use: Allow statements, wildcards in resources, and three
operators (IAM user guide, Policy evaluation logic; Condition operators).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from annexkit.rights.words import Document

REGION = "us-west-2"
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Asked:
    """One resource of one request; ``given`` are the tags in the request for it."""

    action: str
    resource: str
    has: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    create_action: str = ""
    region: str = REGION

    @property
    def context(self) -> dict[str, list[str]]:
        """The keys that IAM compares conditions with; what is not known has none."""
        known = {f"aws:ResourceTag/{k}": [v] for k, v in self.has.items()}
        known |= {f"aws:RequestTag/{k}": [v] for k, v in self.given.items()}
        known["aws:RequestedRegion"] = [self.region]
        if self.given:
            known["aws:TagKeys"] = list(self.given)
        if self.create_action:
            known["ec2:CreateAction"] = [self.create_action]
        return known


def arn(kind: str, name: str, region: str = REGION) -> str:
    """Return an ARN of EC2; AMIs and snapshots name no account."""
    account = "" if kind in ("image", "snapshot") else ACCOUNT
    return f"arn:aws:ec2:{region}:{account}:{kind}/{name}"


def refused(policy: Document, asked: Iterable[Asked]) -> list[Asked]:
    """Return which resources of a request no statement allows."""
    return [
        one
        for one in asked
        if not any(_allows(said, one) for said in policy["Statement"])
    ]


def _allows(said: Mapping[str, Any], one: Asked) -> bool:
    assert said["Effect"] == "Allow" and not {"NotAction", "NotResource"} & said.keys()
    return (
        one.action in said["Action"]
        and any(fnmatchcase(one.resource, each) for each in _listed(said["Resource"]))
        and all(
            _meets(operator, key, _listed(values), one.context)
            for operator, keys in said.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _meets(
    operator: str, key: str, values: list[str], context: Mapping[str, list[str]]
) -> bool:
    there = context.get(key)
    if operator == "Null":
        return values == [str(there is None).lower()]
    if operator in ("StringEquals", "ForAnyValue:StringEquals"):
        return bool(set(there or ()) & set(values))
    raise AssertionError(f"this judge knows no {operator}")


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
