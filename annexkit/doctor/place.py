"""Whether a region, its subnets and the account's quotas have room for the nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annexkit.doctor.lines import Line, ok, setting, unchecked, warning, wrong

ENABLED = ("opt-in-not-required", "opted-in")  # DescribeRegions, OptInStatus
EVERYWHERE = "0.0.0.0/0"
# vCPUs of the standard families (Service Quotas, service ec2); its default is 5.
QUOTAS = {
    ("standard", "on-demand"): "L-1216C47A",
    ("standard", "spot"): "L-34B43A08",
}


def region(name: str, opt_in: str | None, lacking: Iterable[str]) -> Iterator[Line]:
    """Judge a region.

    :param opt_in: DescribeRegions' OptInStatus; empty when the region was not listed,
        None when nobody could be asked.
    :param lacking: services that botocore's data does not know there.
    """
    check = "region"
    lacking = sorted(lacking)
    enabled = opt_in in ENABLED
    if opt_in is None:
        yield unchecked(check, f"{name} is known; whether it is enabled, is not")
    elif not enabled:
        said = opt_in or "AWS does not list it"
        enable = f"aws account enable-region --region-name {name}"
        what = f"{name} is not enabled for this account ({said})"
        yield wrong(check, what, mend=f"{enable}; or choose one: invoke regions")
    if "scheduler" in lacking:
        what = f"as far as this botocore knows, {name} has no EventBridge Scheduler"
        without = setting("launch.scheduler", "0")
        mend = f"{without}; or choose another region: invoke regions"
        yield warning(check, what, mend=mend)
    if others := [service for service in lacking if service != "scheduler"]:
        what = f"as far as this botocore knows, {name} lacks {', '.join(others)}"
        yield warning(check, what, mend="choose another: invoke regions")
    if enabled and not lacking:
        yield ok(check, f"{name} is enabled and has every service")


@dataclass(frozen=True)
class Table:
    """A route table: its own subnets, and where everything else is sent.

    ``target`` is empty without such a route; ``dead``: what it leads to is gone.
    """

    id: str
    vpc: str
    main: bool
    subnets: frozenset[str]
    target: str
    dead: bool = False

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Table:
        """Take what is needed from one DescribeRouteTables item."""
        tied = said.get("Associations", [])
        routes = [
            route
            for route in said.get("Routes", [])
            if route.get("DestinationCidrBlock") == EVERYWHERE
        ]
        route = routes[0] if routes else {}
        return cls(
            id=said["RouteTableId"],
            vpc=str(said.get("VpcId", "")),
            main=any(one.get("Main") for one in tied),
            subnets=frozenset(one["SubnetId"] for one in tied if one.get("SubnetId")),
            target=_target(route),
            dead=route.get("State") == "blackhole",
        )


def _target(route: Mapping[str, Any]) -> str:
    names = (
        *("GatewayId", "NatGatewayId", "TransitGatewayId", "NetworkInterfaceId"),
        *("VpcPeeringConnectionId", "InstanceId", "LocalGatewayId", "CarrierGatewayId"),
    )
    return next((str(route[name]) for name in names if route.get(name)), "")


def routes(
    subnets: Sequence[str],
    tables: Iterable[Table],
    gateways: Sequence[str],
    *,
    public: bool,
    region: str,
) -> Iterator[Line]:
    """Judge whether nodes of each subnet can be reached, and reach the pool.

    A subnet without a table of its own has the VPC's main one (Amazon VPC user guide).

    :param gateways: the internet gateways that are attached to the VPC.
    :param public: nodes are reached at their public addresses.
    """
    check, tables = "routes", list(tables)
    main = next((table for table in tables if table.main), None)
    tied = {name: table for table in tables for name in table.subnets}
    of_table: dict[Table | None, list[str]] = {}
    for subnet in subnets:
        of_table.setdefault(tied.get(subnet, main), []).append(subnet)
    good = 0
    for table, those in of_table.items():
        where = ", ".join(those)
        if table is None:
            yield unchecked(check, "AWS names no route table", where=where)
        elif line := _route(table, where, gateways, public=public, region=region):
            yield line
        else:
            good += len(those)
    if good and good == len(subnets):
        what = "an internet gateway" if public else "the world outside"
        yield ok(check, f"all {good} subnets have a route to {what}")


def _route(
    table: Table, where: str, gateways: Sequence[str], *, public: bool, region: str
) -> Line | None:
    """Say what is wrong with a table's way out; None when it is well."""
    check, world = "routes", f"--destination-cidr-block {EVERYWHERE}"
    named = f"--region {region} --route-table-id {table.id} {world}"
    first = "" if gateways else _new_gateway(table.vpc, region)
    gateway = next(iter(gateways), "$igw")
    if table.dead:
        what = f"the way out of the VPC, {table.target}, is gone ({table.id})"
        mend = f"{first}aws ec2 replace-route {named} --gateway-id {gateway}"
        return wrong(check, what, where=where, mend=mend)
    if not table.target:
        what = f"no way out of the VPC: nodes cannot reach the pool ({table.id})"
        mend = f"{first}aws ec2 create-route {named} --gateway-id {gateway}"
        return wrong(check, what, where=where, mend=mend)
    if public and not table.target.startswith("igw-"):
        what = f"the way out is {table.target}: no public address works there"
        mend = (
            "with a VPN into the VPC: export INVOKE_ANNEXKIT_SSH_INTERFACE=private_ip; "
            "else name public subnets: INVOKE_ANNEXKIT_LAUNCH_SUBNETS=subnet-..."
        )
        return wrong(check, what, where=where, mend=mend)
    return None


def _new_gateway(vpc: str, region: str) -> str:
    """Return the commands that give a VPC an internet gateway, known as ``$igw``."""
    return (
        f"igw=$(aws ec2 create-internet-gateway --region {region} --output text "
        "--query InternetGateway.InternetGatewayId); "
        f"aws ec2 attach-internet-gateway --region {region} --vpc-id {vpc} "
        "--internet-gateway-id $igw; "
    )


@dataclass(frozen=True)
class Want:
    """What a launch would add under one quota. ``vcpus``: of one node, by its type.

    :param falls_back: what this market does not give is bought in another.
    """

    market: str
    family: str
    count: int
    vcpus: Mapping[str, int]
    falls_back: bool = False


def quota(want: Want, limit: float, used: int, region: str) -> Line:
    """Judge one quota. *limit* and *used* are vCPUs."""
    check = "quotas"
    room = limit - used
    each = sorted((vcpus, kind) for kind, vcpus in want.vcpus.items())
    (least, small), (most, large) = each[0], each[-1]
    said = f"{limit:g} vCPUs {want.market} ({want.family}), {used} run"
    if want.count * most <= room:
        return ok(check, f"{said}: room for {want.count} of {large}")
    needs = used + want.count * least
    code = QUOTAS[(want.family, want.market)]
    mend = (
        "aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {code} --desired-value {needs} --region {region}"
    )
    if fits := int(max(0, room) // least):
        mend += f"; or launch fewer: --count {fits}"
    if want.count * least > room:
        what = f"{said}: {want.count} of {small} need {want.count * least} more"
        say = warning if want.falls_back else wrong
        return say(check, what, where=code, mend=mend)
    what = f"{said}: room for {want.count} of {small}, but not of {large}"
    mend = f"leave {large} out: {setting('launch.instance_types', small)}"
    return warning(check, what, where=code, mend=mend)


def everybody(cidr: str) -> bool:
    """Say whether a network is the whole world, or half of it."""
    return ipaddress.ip_network(cidr).prefixlen <= 1
