"""Which security group is meant: by its id, by its name, or the default one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annexkit import network
from annexkit.aws import Cloud
from annexkit.errors import nearest
from annexkit.network import NetworkError

DEFAULT = "default"  # EC2 gives every VPC a group of this name


@dataclass(frozen=True)
class Group:
    """A security group, as it was found."""

    id: str
    name: str
    vpc: str
    region: str

    def __str__(self) -> str:
        """Say which one it is."""
        return f"{self.id} ({self.name}, {self.vpc})"


def choose(
    cloud: Cloud, region: str, wanted: str, subnet: str, *, anywhere: bool = False
) -> Group:
    """Return the group of an id or a name; ``default`` is the default group of our VPC.

    :param subnet: of ``bake.subnet_id``; without one, the default VPC is ours.
    :param anywhere: a group that is named by its id may be in another VPC.
    :raises NetworkError: there is none, several have the name, or it is in another VPC.
    :raises AwsError: EC2 refused.
    """
    home = _home(cloud, region, subnet)
    if wanted == DEFAULT and not home:
        raise NetworkError(
            "the account has no default VPC, so there is no default group to open",
            where=region,
            mend="name a group by its id: --group sg-..., or: aws ec2 "
            f"create-default-vpc --region {region}",
        )
    by_id = bool(re.fullmatch(r"sg-[0-9a-f]+", wanted))
    found = _named(cloud, region, wanted, by_id, home if wanted == DEFAULT else "")
    if len(found) > 1:
        raise NetworkError(
            f"several groups have the name {wanted}: {', '.join(map(str, found))}",
            where=region,
            mend=f"name one by its id: --group {found[0].id}",
        )
    group = found[0]
    if home and group.vpc != home and not (anywhere and by_id):
        raise NetworkError(
            f"{group} is in another VPC than annexkit's, {home}",
            where=region,
            mend=f"name a subnet of {group.vpc} in bake.subnet_id "
            "(INVOKE_ANNEXKIT_BAKE_SUBNET_ID=subnet-...), or another group",
        )
    return group


def vpc_cidrs(cloud: Cloud, group: Group) -> tuple[str, ...]:
    """Return the networks of the group's VPC, IPv4 and IPv6.

    :raises AwsError: EC2 refused.
    """
    filters = [{"Name": "vpc-id", "Values": [group.vpc]}]
    cidrs: list[str] = []
    for vpc in cloud.pages(group.region, "describe_vpcs", "Vpcs", Filters=filters):
        four = vpc.get("CidrBlockAssociationSet", [])
        six = vpc.get("Ipv6CidrBlockAssociationSet", [])
        cidrs += [b["CidrBlock"] for b in four if _associated(b, "CidrBlockState")]
        cidrs += [
            b["Ipv6CidrBlock"] for b in six if _associated(b, "Ipv6CidrBlockState")
        ]
    return tuple(dict.fromkeys(cidrs))


def _home(cloud: Cloud, region: str, subnet: str) -> str:
    """Return our VPC; empty when no subnet is set and there is no default VPC."""
    try:
        return network.vpc_of(cloud, region, subnet)
    except NetworkError:
        if subnet:
            raise
        return ""


def _named(
    cloud: Cloud, region: str, wanted: str, by_id: bool, vpc: str
) -> list[Group]:
    """Return the groups of an id or a name, at least one."""
    name = "group-id" if by_id else "group-name"
    filters = [{"Name": name, "Values": [wanted]}]
    if vpc:
        filters.append({"Name": "vpc-id", "Values": [vpc]})
    listed = _groups(cloud, region, filters)
    # A filter's * and ? stand for anything; a name means itself.
    found = [one for one in listed if wanted in (one.id, one.name)]
    if not found:
        known = [one.name for one in _groups(cloud, region, [])]
        raise NetworkError(
            f"there is no security group {wanted}",
            where=region,
            mend=nearest(wanted, known)
            or f"see: aws ec2 describe-security-groups --region {region}",
        )
    return found


def _groups(cloud: Cloud, region: str, filters: list[dict[str, Any]]) -> list[Group]:
    said = cloud.pages(
        region, "describe_security_groups", "SecurityGroups", Filters=filters
    )
    return [
        Group(one["GroupId"], one["GroupName"], one.get("VpcId", ""), region)
        for one in said
    ]


def _associated(block: Mapping[str, Any], key: str) -> bool:
    return bool(block.get(key, {}).get("State") == "associated")
