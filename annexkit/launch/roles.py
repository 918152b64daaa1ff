"""The two IAM roles of all annexes in IAM: how they stand, made, mended, removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.instances import SETTLE, as_tags, from_tags
from annexkit.launch.group import SET
from annexkit.launch.policies import HOUR, SCHEDULER, Document, Role, document, normal
from annexkit.waiting import Clock, wait_for

POLICY = "annexkit"  # the name of the one inline policy
MISSING = "NoSuchEntity"
EXISTS = "EntityAlreadyExists"
SERVICE = "iam"
# The policy of persons has no right to write a role (docs/aws.md, Permissions).
ASK = "have an administrator run: invoke {} (docs/iam-administrator.json)"


class RoleError(AnnexkitError):
    """A role cannot be used as it is."""


@dataclass(frozen=True)
class Standing:
    """A role as IAM describes it; ``profile_roles`` is None without a profile."""

    arn: str
    trust: Document
    policy: Document | None
    tags: dict[str, str] = field(default_factory=dict)
    profile_roles: tuple[str, ...] | None = None
    session: int = HOUR


def scheduler_arn(cloud: Cloud, region: str) -> str:
    """Return the ARN that the role of Scheduler has, made or not."""
    partition = cloud.session.get_partition_for_region(region)
    return f"arn:{partition}:iam::{cloud.account}:role/{SCHEDULER}"


def look(cloud: Cloud, region: str, role: Role) -> Standing | None:
    """Return the role as it stands; None when it is not made yet.

    :param region: any of the partition; IAM is the same in all.
    :raises RoleError: its name is taken by a role or profile that is not annexkit's.
    """
    said = _ask(cloud, region, "get_role", RoleName=role.name)
    profile = _profile_roles(cloud, region, role) if role.profile else None
    if said is None:
        return None
    own = from_tags(said["Role"].get("Tags", []))
    _check_ours(own, "role", role.name)
    policy = _ask(
        cloud, region, "get_role_policy", RoleName=role.name, PolicyName=POLICY
    )
    return Standing(
        arn=said["Role"]["Arn"],
        trust=document(said["Role"]["AssumeRolePolicyDocument"]),
        policy=document(policy["PolicyDocument"]) if policy else None,
        tags=own,
        profile_roles=profile,
        session=said["Role"].get("MaxSessionDuration", HOUR),
    )


def differences(role: Role, standing: Standing | None) -> list[str]:
    """Say what is missing or other than wanted; empty when all is well."""
    if standing is None:
        return [f"the role {role.name} is missing"]
    found = []
    if normal(standing.trust) != normal(role.trust):
        found.append(f"who may assume the role {role.name} was changed")
    if standing.policy is None:
        found.append(f"the role {role.name} has no policy '{POLICY}'")
    elif normal(standing.policy) != normal(role.policy):
        found.append(f"the policy of the role {role.name} was changed")
    if standing.session < role.session:
        found.append(f"the sessions of the role {role.name} end too early")
    if role.profile and standing.profile_roles is None:
        found.append(f"the instance profile {role.name} is missing")
    elif role.profile and standing.profile_roles != (role.name,):
        found.append(f"the instance profile {role.name} does not hold its role")
    return found


def planned(role: Role, standing: Standing | None) -> list[str]:
    """Return the calls that :func:`ensure` makes for a role that stands so."""
    calls = []
    if standing is None:
        calls += ["CreateRole"]
    elif normal(standing.trust) != normal(role.trust):
        calls += ["UpdateAssumeRolePolicy"]
    if standing and standing.session < role.session:
        calls += ["UpdateRole"]
    policy = standing.policy if standing else None
    if policy is None or normal(policy) != normal(role.policy):
        calls += ["PutRolePolicy"]
    held = standing.profile_roles if standing else None
    if role.profile and held is None:
        calls += ["CreateInstanceProfile"]
    if role.profile and held != (role.name,):
        calls += ["AddRoleToInstanceProfile"]
    return calls


def ensure(
    cloud: Cloud,
    region: str,
    role: Role,
    *,
    poll: float,
    clock: Clock | None = None,
) -> str:
    """Make the role, or mend what is other than wanted; return its ARN.

    What :func:`differences` said before is what is mended. A new role or profile may
    take some seconds until other services know it.

    :raises RoleError: its name is taken by a role or profile that is not annexkit's.
    :raises AwsError: IAM refused.
    """
    standing = look(cloud, region, role)
    if standing is None:
        _create(cloud, region, role)
    elif normal(standing.trust) != normal(role.trust):
        _iam(
            cloud,
            region,
            "update_assume_role_policy",
            RoleName=role.name,
            PolicyDocument=json.dumps(role.trust),
        )

    def settled() -> Standing | None:
        # IAM answers reads from copies that may lag behind (IAM user guide).
        now = look(cloud, region, role)
        try:
            if now:
                _mend(cloud, region, role, now)
        except AwsError as error:
            if error.code != MISSING:
                raise
            return None
        return now

    return wait_for(
        settled,
        what=f"the role {role.name}",
        timeout=SETTLE,
        poll=poll,
        clock=clock,
    ).arn


def anything(cloud: Cloud, region: str, role: Role) -> bool:
    """Say whether the role, or its profile, is there.

    :raises RoleError: the name is taken by what is not annexkit's.
    """
    profile = _profile_roles(cloud, region, role) if role.profile else None
    return profile is not None or look(cloud, region, role) is not None


def remove(cloud: Cloud, region: str, role: Role) -> bool:
    """Take away the profile and the role; return whether anything was there.

    :raises RoleError: the name is taken by what is not annexkit's.
    :raises AwsError: IAM refused.
    """
    profile = _profile_roles(cloud, region, role) if role.profile else None
    standing = look(cloud, region, role)
    for held in profile or ():
        _unless_gone(
            cloud,
            region,
            "remove_role_from_instance_profile",
            InstanceProfileName=role.name,
            RoleName=held,
        )
    if profile is not None:
        _unless_gone(
            cloud, region, "delete_instance_profile", InstanceProfileName=role.name
        )
    if standing:
        _unless_gone(
            cloud, region, "delete_role_policy", RoleName=role.name, PolicyName=POLICY
        )
        _unless_gone(cloud, region, "delete_role", RoleName=role.name)
    return standing is not None or profile is not None


def _create(cloud: Cloud, region: str, role: Role) -> None:
    _unless_there(
        cloud,
        region,
        "create_role",
        RoleName=role.name,
        AssumeRolePolicyDocument=json.dumps(role.trust),
        MaxSessionDuration=role.session,
        Description=f"annexkit: see docs/aws.md; {role.ends}",
        Tags=as_tags(SET),
    )


def _mend(cloud: Cloud, region: str, role: Role, standing: Standing) -> None:
    """Bring the policy, the sessions and the profile of a role to what is wanted."""
    if standing.session < role.session:
        _iam(
            cloud,
            region,
            "update_role",
            RoleName=role.name,
            MaxSessionDuration=role.session,
        )
    if standing.policy is None or normal(standing.policy) != normal(role.policy):
        _iam(
            cloud,
            region,
            "put_role_policy",
            RoleName=role.name,
            PolicyName=POLICY,
            PolicyDocument=json.dumps(role.policy),
        )
    if not role.profile or standing.profile_roles == (role.name,):
        return
    if standing.profile_roles is None:
        _unless_there(
            cloud,
            region,
            "create_instance_profile",
            InstanceProfileName=role.name,
            Tags=as_tags(SET),
        )
    if not _profile_roles(cloud, region, role):
        _unless_there(
            cloud,
            region,
            "add_role_to_instance_profile",
            InstanceProfileName=role.name,
            RoleName=role.name,
        )


def _profile_roles(cloud: Cloud, region: str, role: Role) -> tuple[str, ...] | None:
    said = _ask(cloud, region, "get_instance_profile", InstanceProfileName=role.name)
    if said is None:
        return None
    profile = said["InstanceProfile"]
    _check_ours(from_tags(profile.get("Tags", [])), "instance profile", role.name)
    held = tuple(sorted(r["RoleName"] for r in profile.get("Roles", [])))
    if held not in ((), (role.name,)):
        raise RoleError(
            f"the instance profile {role.name} holds another role: {', '.join(held)}",
            where="IAM",
            mend="aws iam remove-role-from-instance-profile "
            f"--instance-profile-name {role.name} --role-name {held[0]}",
        )
    return held


def _check_ours(own: dict[str, str], kind: str, name: str) -> None:
    if SET.items() <= own.items():
        return
    raise RoleError(
        f"the {kind} {name} is not annexkit's: its tag is missing",
        where="IAM",
        mend=f"if annexkit may change it: aws iam tag-{kind.replace(' ', '-')} "
        f"--{kind.replace(' ', '-')}-name {name} --tags Key=annexkit:set,Value=annex; "
        "else remove it",
    )


def _iam(cloud: Cloud, region: str, method: str, **arguments: Any) -> dict[str, Any]:
    try:
        return cloud.call(region, method, service=SERVICE, **arguments)
    except AwsError as error:
        if error.code == "AccessDenied" and not method.startswith("get_"):
            ends = method.startswith(("delete_", "remove_"))
            error.mend = ASK.format("teardown" if ends else "iam")
        raise


def _ask(
    cloud: Cloud, region: str, method: str, **arguments: Any
) -> dict[str, Any] | None:
    return _passing(MISSING, lambda: _iam(cloud, region, method, **arguments))


def _unless_gone(cloud: Cloud, region: str, method: str, **arguments: Any) -> None:
    _passing(MISSING, lambda: _iam(cloud, region, method, **arguments))


def _unless_there(cloud: Cloud, region: str, method: str, **arguments: Any) -> None:
    # LimitExceeded: a profile holds one role; another launch was faster to put it in.
    _passing(
        f"{EXISTS} LimitExceeded", lambda: _iam(cloud, region, method, **arguments)
    )


def _passing(codes: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return call()
    except AwsError as error:
        if error.code not in codes.split():
            raise
        return None
