"""The one security group of all annexes in a VPC: who may reach their nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from annexkit import network
from annexkit.aws import AwsError, Cloud
from annexkit.errors import Finding, Level
from annexkit.instances import SETTLE, from_tags
from annexkit.network import SSH, NetworkError
from annexkit.waiting import Clock, wait_for

NAME = "annexkit-annex"
DESCRIPTION = "annexkit: the nodes of all annexes"
SET = {"annexkit:set": "annex"}  # on everything that lives longer than a launch
CONDOR = 9618  # HTCondor's shared port, as IANA registered it


@dataclass(frozen=True, order=True)
class Rule:
    """One source, as a CIDR, that may reach one TCP port."""

    port: int
    cidr: str

    def __str__(self) -> str:
        """Say it the way the console of AWS does."""
        return f"{self.port}/tcp from {self.cidr}"


@dataclass(frozen=True)
class Group:
    """The group as EC2 describes it; ``others`` are other rules, in words."""

    id: str
    region: str
    vpc: str
    rules: frozenset[Rule] = frozenset()
    others: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether annexkit made it."""
        return SET.items() <= self.tags.items()


def wanted(
    ssh_cidrs: Sequence[str], pool_cidrs: Sequence[str] | None
) -> frozenset[Rule]:
    """Return the rules that an annex needs.

    :param pool_cidrs: from where the pool calls its nodes; None where CCB is used, for
        then the nodes call out and nobody calls them.
    :raises UsageError: a source is no network.
    """
    ssh = network.networks(ssh_cidrs, where="launch.ssh_cidrs")
    pool = network.networks(pool_cidrs or (), where="pool.cidrs")
    return frozenset({Rule(SSH, c) for c in ssh} | {Rule(CONDOR, c) for c in pool})


def findings(
    ssh_cidrs: Sequence[str], pool_cidrs: Sequence[str] | None
) -> list[Finding]:
    """Return a warning for every source that is the whole world, or half of it."""
    return [
        Finding(
            Level.WARNING,
            f"{rule} is open to everybody",
            "launch.ssh_cidrs" if rule.port == SSH else "pool.cidrs",
            "name the networks you come from",
        )
        for rule in sorted(wanted(ssh_cidrs, pool_cidrs))
        if ipaddress.ip_network(rule.cidr).prefixlen <= 1
    ]


def look(cloud: Cloud, region: str, vpc: str) -> Group | None:
    """Return the VPC's group; None when it is not made yet.

    :raises NetworkError: a group of this name is there, and annexkit did not make it.
    """
    for group in find(cloud, region, vpc):
        if not group.ours:
            raise NetworkError(
                f"the security group {NAME} is not annexkit's: its tag is missing",
                where=f"{group.id} in {region}",
                mend=f"if annexkit may have it: aws ec2 create-tags --region {region} "
                f"--resources {group.id} --tags Key=annexkit:set,Value=annex; else "
                "rename or remove it",
            )
        return group
    return None


def find(cloud: Cloud, region: str, vpc: str = "") -> list[Group]:
    """Return every group of our name in the region, or in one VPC of it."""
    filters = [{"Name": "group-name", "Values": [NAME]}]
    if vpc:
        filters.append({"Name": "vpc-id", "Values": [vpc]})
    found = cloud.pages(
        region, "describe_security_groups", "SecurityGroups", Filters=filters
    )
    return [_read(region, said) for said in found]


def differences(
    group: Group | None, ssh_cidrs: Sequence[str], pool_cidrs: Sequence[str] | None
) -> list[str]:
    """Say what the group lacks, and what it lets in besides.

    What is let in besides may be another launch's: it is told, never removed.
    """
    rules = wanted(ssh_cidrs, pool_cidrs)
    there = group.rules if group else frozenset()
    return [
        *(f"{rule} is missing" for rule in sorted(rules - there)),
        *(f"{rule} is let in, too" for rule in sorted(there - rules)),
        *(f"{other} is let in, too" for other in (group.others if group else ())),
    ]


def ensure(
    cloud: Cloud,
    region: str,
    vpc: str,
    ssh_cidrs: Sequence[str],
    pool_cidrs: Sequence[str] | None,
    *,
    poll: float,
    clock: Clock | None = None,
) -> Group:
    """Make the group, or add the rules it lacks; return it as it is wanted.

    :raises NetworkError: the name is taken by a group that is not ours.
    :raises AwsError: EC2 refused.
    :raises Deadline: EC2 does not show the group that it just made.
    """
    rules = wanted(ssh_cidrs, pool_cidrs)
    group = look(cloud, region, vpc) or _create(
        cloud, region, vpc, poll=poll, clock=clock
    )
    lacking = rules - group.rules
    for port in sorted({rule.port for rule in lacking}):
        sources = sorted(rule.cidr for rule in lacking if rule.port == port)
        network.allow(
            cloud, region, group.id, sources, port=port, poll=poll, clock=clock
        )
    return Group(group.id, region, vpc, group.rules | lacking, group.others, group.tags)


def _create(
    cloud: Cloud, region: str, vpc: str, *, poll: float, clock: Clock | None
) -> Group:
    try:
        made = network.create_group(
            cloud, region, name=NAME, vpc=vpc, tags=SET, description=DESCRIPTION
        )
    except AwsError as error:
        if error.code != "InvalidGroup.Duplicate":
            raise
        # Another launch was faster; EC2 may hide its group for a moment.
        return wait_for(
            lambda: look(cloud, region, vpc),
            what=f"the security group {NAME} in {vpc}",
            timeout=SETTLE,
            poll=poll,
            clock=clock,
        )
    return Group(made, region, vpc, tags=dict(SET))


def _read(region: str, said: dict[str, Any]) -> Group:
    rules: set[Rule] = set()
    others: list[str] = []
    for permission in said.get("IpPermissions", []):
        ports = (permission.get("FromPort"), permission.get("ToPort"))
        one_port = permission["IpProtocol"] == "tcp" and ports[0] == ports[1]
        cidrs = [*_cidrs(permission)]
        if one_port:
            rules |= {Rule(int(ports[0]), cidr) for cidr in cidrs}
        span = "all" if permission["IpProtocol"] == "-1" else "{}-{}".format(*ports)
        named = f"{span}/{permission['IpProtocol']}"
        others += [f"{named} from {cidr}" for cidr in cidrs if not one_port]
        others += [f"{named} from {other}" for other in _not_cidrs(permission)]
    return Group(
        id=said["GroupId"],
        region=region,
        vpc=said.get("VpcId", ""),
        rules=frozenset(rules),
        others=tuple(others),
        tags=from_tags(said.get("Tags", [])),
    )


def _cidrs(permission: dict[str, Any]) -> Iterator[str]:
    yield from (r["CidrIp"] for r in permission.get("IpRanges", []))
    yield from (r["CidrIpv6"] for r in permission.get("Ipv6Ranges", []))


def _not_cidrs(permission: dict[str, Any]) -> Iterable[str]:
    yield from (r["GroupId"] for r in permission.get("UserIdGroupPairs", []))
    yield from (r["PrefixListId"] for r in permission.get("PrefixListIds", []))
