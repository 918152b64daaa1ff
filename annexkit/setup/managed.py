"""A managed policy of ours in IAM: how it stands, made, and given a new version.

IAM keeps at most five versions of one (IAM user guide, IAM and STS quotas).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.instances import SETTLE, as_tags, from_tags
from annexkit.rights import documents
from annexkit.rights.words import Document, Place
from annexkit.waiting import Clock, wait_for

MOST_VERSIONS = 5
MISSING = "NoSuchEntity"
SERVICE = "iam"


class PolicyError(AnnexkitError):
    """A policy cannot be used as it is."""


@dataclass(frozen=True)
class Managed:
    """A managed policy as it is wanted; ``tags`` make it ours."""

    name: str
    arn: str
    policy: Document
    tags: dict[str, str]


@dataclass(frozen=True)
class Version:
    """One version of a policy; ``made`` orders them."""

    id: str
    made: str
    default: bool


@dataclass(frozen=True)
class Standing:
    """A policy as IAM describes it, in its default version."""

    policy: Document
    versions: tuple[Version, ...]

    @property
    def surplus(self) -> Version | None:
        """The oldest version not in use, when there is no room for a new one."""
        spare = [one for one in self.versions if not one.default]
        if len(self.versions) < MOST_VERSIONS or not spare:
            return None
        return min(spare, key=lambda one: (one.made, _number(one.id)))


def managed(name: str, policy: Document, place: Place, tags: dict[str, str]) -> Managed:
    """Return a policy as it is wanted in the account of *place*.

    :raises PolicyError: it is larger than IAM takes.
    """
    found = documents.size(policy)
    if found > documents.MOST_OF_MANAGED:
        raise PolicyError(
            f"the policy has {found} characters, IAM takes {documents.MOST_OF_MANAGED}",
            where=name,
            mend="name fewer regions, or all: invoke iam --all-regions",
        )
    return Managed(name, place.arn(f"iam::{{account}}:policy/{name}"), policy, tags)


def look(cloud: Cloud, region: str, wanted: Managed) -> Standing | None:
    """Return the policy as it stands; None when it is not made yet.

    :param region: any of the partition; IAM is the same in all.
    :raises PolicyError: its name is taken by a policy that is not annexkit's.
    """
    try:
        said = _iam(cloud, region, "get_policy", PolicyArn=wanted.arn)["Policy"]
    except AwsError as error:
        if error.code != MISSING:
            raise
        return None
    if not wanted.tags.items() <= from_tags(said.get("Tags", [])).items():
        tag = ",".join(f"{key}={value}" for key, value in wanted.tags.items())
        raise PolicyError(
            f"the policy {wanted.name} is not annexkit's: its tag is missing",
            where="IAM",
            mend=f"remove it, or tag it {tag} when annexkit may change it",
        )
    versions = tuple(_versions(cloud, region, wanted))
    got = _iam(
        cloud,
        region,
        "get_policy_version",
        PolicyArn=wanted.arn,
        VersionId=said["DefaultVersionId"],
    )
    return Standing(documents.read(got["PolicyVersion"]["Document"]), versions)


def planned(wanted: Managed, standing: Standing | None) -> list[str]:
    """Return the calls that :func:`ensure` makes for a policy that stands so."""
    if standing is None:
        return ["CreatePolicy"]
    if documents.normal(standing.policy) == documents.normal(wanted.policy):
        return []
    return [
        *(["DeletePolicyVersion"] if standing.surplus else []),
        "CreatePolicyVersion",
    ]


def ensure(
    cloud: Cloud,
    region: str,
    wanted: Managed,
    *,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Make the policy, or give it a new version in use; equal ones stay as they are.

    Of five versions the oldest that is not in use goes first.

    :raises PolicyError: its name is taken by a policy that is not annexkit's.
    :raises AwsError: IAM refused.
    :raises Deadline: IAM does not show what it just made.
    """
    standing = look(cloud, region, wanted)
    if not planned(wanted, standing):
        return
    text = json.dumps(wanted.policy, separators=(",", ":"))
    if standing is None:
        _iam(
            cloud,
            region,
            "create_policy",
            PolicyName=wanted.name,
            PolicyDocument=text,
            Description="annexkit: see docs/aws.md; made by invoke iam",
            Tags=as_tags(wanted.tags),
        )
    else:
        _new_version(cloud, region, wanted, standing, text)

    def settled() -> bool:
        # IAM answers reads from copies that may lag behind (IAM user guide).
        now = look(cloud, region, wanted)
        return now is not None and not planned(wanted, now)

    what = f"the policy {wanted.name}"
    wait_for(settled, what=what, timeout=SETTLE, poll=poll, clock=clock)


def _new_version(
    cloud: Cloud, region: str, wanted: Managed, standing: Standing, text: str
) -> None:
    if standing.surplus:
        _iam(
            cloud,
            region,
            "delete_policy_version",
            PolicyArn=wanted.arn,
            VersionId=standing.surplus.id,
        )
    _iam(
        cloud,
        region,
        "create_policy_version",
        PolicyArn=wanted.arn,
        PolicyDocument=text,
        SetAsDefault=True,
    )


def _versions(cloud: Cloud, region: str, wanted: Managed) -> Iterator[Version]:
    # Never more than five, so there is no second page.
    said = _iam(cloud, region, "list_policy_versions", PolicyArn=wanted.arn)
    for one in said["Versions"]:
        made = one["CreateDate"].isoformat()
        yield Version(one["VersionId"], made, one["IsDefaultVersion"])


def _number(version: str) -> int:
    """Return 12 for ``v12``: IAM counts on and on."""
    return int(version.removeprefix("v") or 0)


def _iam(cloud: Cloud, region: str, method: str, **arguments: Any) -> dict[str, Any]:
    return cloud.call(region, method, service=SERVICE, **arguments)
