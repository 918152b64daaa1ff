"""The network around short-lived instances: who may reach them."""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Sequence

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError, UsageError
from annexkit.instances import SETTLE, as_tags
from annexkit.waiting import Clock, wait_for

CHECK_IP = "https://checkip.amazonaws.com/"  # run by AWS for this purpose
SSH = 22


class NetworkError(AnnexkitError):
    """The network an instance needs is not there."""


def networks(given: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return CIDRs in their plain form, each once.

    :param where: the setting they come from, for the error.
    :raises UsageError: one is no network.
    """
    return tuple(dict.fromkeys(_network(cidr, where) for cidr in given))


def ssh_sources(
    given: Sequence[str], *, where: str = "bake.ssh_cidrs"
) -> tuple[str, ...]:
    """Return the CIDRs that may use SSH: those given, else our own address.

    :param where: the setting they come from, for the errors.
    :raises UsageError: a given one is no network.
    :raises NetworkError: none given and our own address cannot be found out.
    """
    if given:
        return networks(given, where=where)
    try:
        with urllib.request.urlopen(CHECK_IP, timeout=10) as answer:
            return (_network(answer.read(64).decode("ascii").strip(), where),)
    except (OSError, UnicodeDecodeError, UsageError) as error:
        raise NetworkError(
            f"this machine's public address cannot be found out: {error}",
            where=CHECK_IP,
            mend="name who may use SSH: export INVOKE_ANNEXKIT_"
            f"{where.replace('.', '_').upper()}=192.0.2.7/32",
        ) from error


def vpc_of(
    cloud: Cloud, region: str, subnet_id: str, *, where: str = "bake.subnet_id"
) -> str:
    """Return the VPC of the subnet, or the default VPC when none is given.

    :param where: the setting that names the subnet, for the errors.
    :raises NetworkError: there is no such subnet, or no default VPC.
    """
    if subnet_id:
        filters = [{"Name": "subnet-id", "Values": [subnet_id]}]
        for subnet in cloud.pages(
            region, "describe_subnets", "Subnets", Filters=filters
        ):
            return str(subnet["VpcId"])
        raise NetworkError(
            f"there is no subnet {subnet_id}",
            where=region,
            mend=f"correct {where} in invoke.yaml",
        )
    filters = [{"Name": "is-default", "Values": ["true"]}]
    for vpc in cloud.pages(region, "describe_vpcs", "Vpcs", Filters=filters):
        return str(vpc["VpcId"])
    raise NetworkError(
        "the account has no default VPC",
        where=region,
        mend=f"aws ec2 create-default-vpc --region {region}; or name a subnet in "
        f"{where}",
    )


def create_group(
    cloud: Cloud,
    region: str,
    *,
    name: str,
    vpc: str,
    tags: dict[str, str],
    description: str = "annexkit: SSH for a fresh boot, gone with it",
) -> str:
    """Create a security group that lets nobody in yet; return its id.

    :raises AwsError: EC2 refused.
    """
    said = cloud.call(
        region,
        "create_security_group",
        GroupName=name,
        Description=description,
        VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": as_tags(tags)}],
    )
    return str(said["GroupId"])


def allow_ssh(
    cloud: Cloud,
    region: str,
    group: str,
    sources: Sequence[str],
    *,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Let *sources* reach a group's instances by SSH.

    :raises AwsError: EC2 refused.
    :raises Deadline: EC2 does not show the group that it just made.
    """
    allow(cloud, region, group, sources, port=SSH, poll=poll, clock=clock)


def allow(
    cloud: Cloud,
    region: str,
    group: str,
    sources: Sequence[str],
    *,
    port: int,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Let *sources* reach one TCP port of a group's instances.

    One rule that is there already and EC2 adds none of a request, so each goes alone
    then (AuthorizeSecurityGroupIngress, InvalidPermission.Duplicate).

    :raises AwsError: EC2 refused.
    :raises Deadline: EC2 does not show the group that it just made.
    """

    def allowed() -> bool:
        try:
            _authorize(cloud, region, group, sources, port)
        except AwsError as error:
            if error.code == "InvalidGroup.NotFound":
                return False
            if error.code != "InvalidPermission.Duplicate":
                raise
            if len(sources) > 1:
                for one in sources:
                    allow(
                        cloud, region, group, [one], port=port, poll=poll, clock=clock
                    )
        return True

    wait_for(allowed, what=group, timeout=SETTLE, poll=poll, clock=clock)


def _authorize(
    cloud: Cloud, region: str, group: str, sources: Sequence[str], port: int
) -> None:
    four = [c for c in sources if ipaddress.ip_network(c).version == 4]
    six = [c for c in sources if ipaddress.ip_network(c).version == 6]
    cloud.call(
        region,
        "authorize_security_group_ingress",
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "IpRanges": [{"CidrIp": c, "Description": "annexkit"} for c in four],
                "Ipv6Ranges": [{"CidrIpv6": c, "Description": "annexkit"} for c in six],
            }
        ],
    )


def delete_group(
    cloud: Cloud,
    region: str,
    group: str,
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Delete a security group; EC2 refuses while an ending instance still holds it.

    :raises AwsError: EC2 refused for another reason.
    :raises Deadline: still held.
    """

    def deleted() -> bool:
        try:
            cloud.call(region, "delete_security_group", GroupId=group)
        except AwsError as error:
            if error.code == "DependencyViolation":
                return False
            if error.code != "InvalidGroup.NotFound":
                raise
        return True

    wait_for(
        deleted,
        what=f"deletion of security group {group} in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
        mend="invoke reap",
    )


def _network(cidr: str, where: str) -> str:
    try:
        return str(ipaddress.ip_network(cidr, strict=False))
    except ValueError as error:
        raise UsageError(
            f"'{cidr}' is no network",
            where=where,
            mend="write it as 192.0.2.7/32 or 2001:db8::/64",
        ) from error
