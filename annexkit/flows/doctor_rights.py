"""The doctor's check of permissions: IAM's simulation, else EC2's dry runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annexkit import instances, tags
from annexkit.aws import AwsError, Cloud
from annexkit.doctor import account
from annexkit.doctor.lines import Line, Missing, of_error, ok, unchecked, wrong
from annexkit.errors import AnnexkitError
from annexkit.flows.doctor_subject import Caller, Subject
from annexkit.instances import Launch
from annexkit.launch import group, roles
from annexkit.launch.answers import ruling
from annexkit.launch.offers import targets
from annexkit.launch.policies import NODE, node_role, place_of
from annexkit.rights import documents

CHECK = "permissions"
POLICY = "docs/iam-policy.json"
NAME = "annexkit-doctor"  # of what a dry run would make


class RightsError(AnnexkitError):
    """IAM's simulation cannot say what we may do."""


def permissions(subject: Subject) -> Iterator[Line]:
    """Judge what we may do; nothing is made."""
    caller = subject.after("identity", subject.caller)
    if caller.arn.endswith(":root"):
        yield ok(CHECK, "the root user may do everything in its account")
        return
    try:
        results = _simulated(subject, caller)
    except (AwsError, RightsError) as error:
        yield from _tried(subject)
        why = getattr(error, "code", "") or error.what
        what = f"rights besides EC2's were not checked, IAM does not simulate: {why}"
        mend = f"allow iam:SimulatePrincipalPolicy, or compare with {POLICY}"
        yield unchecked(CHECK, what, mend=error.mend if not _code(error) else mend)
        return
    yield from account.rights(results)


def _code(error: AnnexkitError) -> str:
    return error.code if isinstance(error, AwsError) else ""


def _simulated(subject: Subject, caller: Caller) -> list[dict[str, Any]]:
    """Return IAM's word on every action that bakes and launches need.

    :raises AwsError: it may not be asked, or knows no such user or role.
    :raises RightsError: it does not simulate who we are.
    """
    cloud, where = subject.here(), subject.region
    principal = _principal(cloud, where, caller)
    prefix = subject.site.settings.bake.name_prefix
    asked = account.questions(
        documents.policy("person", place_of(cloud, where, prefix=prefix)),
        partition=cloud.session.get_partition_for_region(where),
        account=caller.account,
        region=where,
    )
    return [
        said
        for question in asked
        for said in _answers(cloud, where, question.parameters(principal))
    ]


def _principal(cloud: Cloud, region: str, caller: Caller) -> str:
    """Return whose policies count; a role with a path is known to IAM alone."""
    plain = account.principal(caller.arn)
    if not plain:
        raise RightsError(
            f"{caller.arn} is neither a user nor a role",
            mend="act as a role or user of: docs/iam-policy.json",
        )
    if ":role/" not in plain:
        return plain
    try:
        name = plain.rpartition("/")[2]
        said = cloud.call(region, "get_role", service="iam", RoleName=name)
    except AwsError:
        return plain
    return str(said["Role"]["Arn"])


def _answers(
    cloud: Cloud, region: str, parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the results of every page of a simulation."""
    marker: dict[str, str] = {}
    while True:
        said = cloud.call(
            region,
            "simulate_principal_policy",
            service="iam",
            launch=True,  # no retries: an endpoint may not know the call at all
            **parameters,
            **marker,
        )
        yield from said["EvaluationResults"]
        if not said.get("IsTruncated"):
            return
        marker = {"Marker": said["Marker"]}


def _tried(subject: Subject) -> Iterator[Line]:
    """Ask EC2 whether it would do what a launch does; it does nothing."""
    for what, trial in (
        ("launch nodes (RunInstances)", _run_instances),
        ("make security groups (CreateSecurityGroup)", _create_group),
    ):
        try:
            trial(subject)
        except AwsError as error:
            yield _refused(error)
        except Missing as error:
            said = f"whether you may {what} was not tried: {error.what}"
            yield unchecked(CHECK, said)
        except AnnexkitError as error:
            yield from of_error(CHECK, error)
        else:
            yield ok(CHECK, f"EC2 would let you {what}; nothing was made")


def _refused(error: AwsError) -> Line:
    if error.action != "RunInstances" or not error.refused:
        return of_error(CHECK, error)[0]
    said = ruling(error)
    return wrong(CHECK, f"{said.says} ({said.code})", where=error.where, mend=said.mend)


def _run_instances(subject: Subject) -> None:
    """Have EC2 judge one node of the launch; rights and parameters, not capacity."""
    cloud, where, vpc = subject.here(), subject.region, subject.vpc()
    chosen = subject.after("registry", subject.chosen)
    places = targets(subject.offered(), subject.launch.market, {})
    if not places:
        raise Missing("instance types")
    first = places[0]
    profile = roles.look(cloud, where, node_role(cloud, where))
    instances.dry_run(
        cloud,
        Launch(
            region=where,
            ami=chosen.ami,
            instance_type=first.instance_type,
            count=1,
            token=NAME,
            user_data="",
            tags={"Name": NAME, tags.LAUNCH: NAME},
            security_group=_group(cloud, where, vpc),
            subnet_id=first.subnet,
            instance_profile=NODE if profile else "",
            key_name=subject.launch.key_name,
            market=first.market,
        ),
    )


def _group(cloud: Cloud, region: str, vpc: str) -> str:
    """Return the group of annexes, or the one that every VPC has."""
    if ours := group.find(cloud, region, vpc):
        return ours[0].id
    asked = {"vpc-id": [vpc], "group-name": ["default"]}
    filters = [{"Name": name, "Values": values} for name, values in asked.items()]
    found = cloud.pages(
        region, "describe_security_groups", "SecurityGroups", Filters=filters
    )
    for one in found:
        return str(one["GroupId"])
    raise Missing("security group")


def _create_group(subject: Subject) -> None:
    """Have EC2 judge whether a security group may be made.

    :raises RightsError: the endpoint made it all the same, as no EC2 does.
    """
    cloud, where, vpc = subject.here(), subject.region, subject.vpc()
    asked = {"GroupName": NAME, "Description": NAME, "VpcId": vpc}
    try:
        cloud.call(where, "create_security_group", DryRun=True, launch=True, **asked)
    except AwsError as error:
        if error.code != "DryRunOperation":
            raise
        return
    raise RightsError(
        f"the endpoint made a security group {NAME} on a dry run",
        where=where,
        mend="check AWS_ENDPOINT_URL, then take the group away: aws ec2 "
        f"delete-security-group --group-name {NAME} --region {where}",
    )
