"""What the region offers: our subnets, the types in their zones, and the order of both.

Everything that is wrong is collected as findings; only AWS's own errors are raised.
Spot placement scores are not asked for: they say little for fewer than three types, and
the user's order of types is a wish.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annexkit.aws import Cloud
from annexkit.errors import Finding, Level, nearest
from annexkit.launch.target import MARKETS, Target

TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")


@dataclass(frozen=True)
class Subnet:
    """A subnet that nodes can go to; ``free`` is how many addresses it has left."""

    id: str
    vpc: str
    zone: str
    free: int


@dataclass(frozen=True)
class Offers:
    """What could be asked for: usable types in the user's order, and where they are.

    ``zones`` holds the (type, zone) pairs that the region offers in our subnets' zones;
    ``spot`` the types that can be bought on the spot market. ``memory``: MiB by type.
    """

    subnets: tuple[Subnet, ...]
    types: tuple[str, ...]
    zones: frozenset[tuple[str, str]]
    spot: frozenset[str]
    findings: tuple[Finding, ...]
    memory: Mapping[str, int] = field(default_factory=dict)

    @property
    def vpc(self) -> str:
        """The VPC of the subnets; empty without one."""
        return self.subnets[0].vpc if self.subnets else ""

    @property
    def free(self) -> int:
        """How many addresses the subnets have left together."""
        return sum(subnet.free for subnet in self.subnets)


def offers(
    cloud: Cloud,
    region: str,
    *,
    types: Sequence[str],
    subnets: Sequence[str],
    arch: str,
    market: str,
) -> Offers:
    """Ask EC2 which of these types can be had in these subnets.

    :param subnets: ids; those of the default VPC when empty.
    :param arch: the AMI's architecture, ``x86_64`` or ``arm64``.
    :param market: as in the settings, ``spot-then-on-demand`` included.
    :raises AwsError: EC2 refused to say.
    """
    places, findings = find_subnets(cloud, region, subnets)
    known, more = _known(cloud, region, types)
    usable, wrong = _usable(known, arch, market)
    zones = _zones(cloud, region, usable, places)
    findings += more + wrong + _not_there(usable, places, zones)
    spot = {t for t in usable if "spot" in known[t].get("SupportedUsageClasses", ())}
    memory = {t: known[t].get("MemoryInfo", {}).get("SizeInMiB", 0) for t in usable}
    return Offers(places, usable, zones, frozenset(spot), tuple(findings), memory)


def targets(
    offered: Offers, market: str, price: Mapping[str, float | None]
) -> tuple[Target, ...]:
    """Put all there is to ask in order: market, then type as wished, then free room.

    :param price: USD an hour by ``type/market``.
    """
    room = sorted(offered.subnets, key=lambda s: (-s.free, s.zone, s.id))
    return tuple(
        Target(bought, kind, subnet.zone, subnet.id, price.get(f"{kind}/{bought}"))
        for bought in MARKETS[market]
        for kind in offered.types
        for subnet in room
        if subnet.free > 0 and (kind, subnet.zone) in offered.zones
        if bought == "on-demand" or kind in offered.spot
    )


def find_subnets(
    cloud: Cloud, region: str, wanted: Sequence[str]
) -> tuple[tuple[Subnet, ...], list[Finding]]:
    """Return the subnets to use, and what is wrong with them.

    :raises AwsError: EC2 refused to say.
    """
    if not wanted:
        return _default_subnets(cloud, region)
    found = _subnets(cloud, region, {"subnet-id": list(wanted)})
    findings = [
        _error(
            f"there is no subnet {name}",
            "launch.subnets",
            "take the default VPC's: export INVOKE_ANNEXKIT_LAUNCH_SUBNETS=; or see "
            f"which there are: aws ec2 describe-subnets --region {region}",
        )
        for name in wanted
        if name not in {subnet.id for subnet in found}
    ]
    if len({subnet.vpc for subnet in found}) > 1:
        said = ", ".join(f"{subnet.id} in {subnet.vpc}" for subnet in found)
        findings.append(
            _error(
                f"the subnets are of several VPCs: {said}",
                "launch.subnets",
                "name subnets of one VPC: an annex has one security group",
            )
        )
    return found, findings + _full(found, region)


def _default_subnets(
    cloud: Cloud, region: str
) -> tuple[tuple[Subnet, ...], list[Finding]]:
    if found := _subnets(cloud, region, {"default-for-az": ["true"]}):
        return found, _full(found, region)
    filters = [{"Name": "is-default", "Values": ["true"]}]
    if not list(cloud.pages(region, "describe_vpcs", "Vpcs", Filters=filters)):
        return (), [
            _error(
                "the account has no default VPC",
                region,
                f"aws ec2 create-default-vpc --region {region}; or name subnets: "
                "INVOKE_ANNEXKIT_LAUNCH_SUBNETS=subnet-...",
            )
        ]
    return (), [
        _error(
            "the default VPC has no default subnet",
            region,
            f"aws ec2 create-default-subnet --region {region} --availability-zone "
            f"{region}a; or name subnets: INVOKE_ANNEXKIT_LAUNCH_SUBNETS=subnet-...",
        )
    ]


def _subnets(
    cloud: Cloud, region: str, filters: dict[str, list[str]]
) -> tuple[Subnet, ...]:
    asked = [{"Name": name, "Values": values} for name, values in filters.items()]
    found = cloud.pages(region, "describe_subnets", "Subnets", Filters=asked)
    return tuple(
        Subnet(
            id=said["SubnetId"],
            vpc=said["VpcId"],
            zone=said["AvailabilityZone"],
            free=int(said.get("AvailableIpAddressCount", 0)),
        )
        for said in sorted(found, key=lambda s: (s["AvailabilityZone"], s["SubnetId"]))
    )


def _full(found: Iterable[Subnet], region: str) -> list[Finding]:
    found = list(found)
    full = [subnet for subnet in found if subnet.free <= 0]
    mend = "name others in launch.subnets, or end what runs there"
    if full and len(full) == len(found):
        names = ", ".join(subnet.id for subnet in full)
        return [_error(f"no subnet has a free address: {names}", region, mend)]
    return [
        Finding(Level.WARNING, "the subnet has no free address", subnet.id, mend)
        for subnet in full
    ]


def _known(
    cloud: Cloud, region: str, types: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Describe the types that the region knows, in the order given."""
    wanted = list(dict.fromkeys(types))
    shaped = [kind for kind in wanted if TYPE.fullmatch(kind)]
    # By filter, not by name: one unknown name would fail the whole call.
    asked = [{"Name": "instance-type", "Values": shaped}]
    pages = cloud.pages(
        region, "describe_instance_types", "InstanceTypes", Filters=asked
    )
    said = {item["InstanceType"]: item for item in pages} if shaped else {}
    unknown = [kind for kind in wanted if kind not in said]
    findings = _unknown(cloud, region, unknown)
    if not wanted:
        mend = "name one: --instance-type m7i.large"
        findings.append(_error("no instance type is named", "--instance-type", mend))
    return {kind: said[kind] for kind in wanted if kind in said}, findings


def _unknown(cloud: Cloud, region: str, unknown: list[str]) -> list[Finding]:
    if not unknown:
        return []
    offered = cloud.pages(
        region,
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="region",
    )
    names = sorted({item["InstanceType"] for item in offered})
    listing = f"see: aws ec2 describe-instance-type-offerings --region {region}"
    return [
        _error(
            f"'{kind}' is no instance type of {region}",
            "--instance-type",
            nearest(kind, names) or listing,
        )
        for kind in unknown
    ]


def _usable(
    known: dict[str, dict[str, Any]], arch: str, market: str
) -> tuple[tuple[str, ...], list[Finding]]:
    """Drop the types that cannot run the AMI, or whose console says nothing in time."""
    usable: list[str] = []
    findings: list[Finding] = []
    for kind, said in known.items():
        runs = said.get("ProcessorInfo", {}).get("SupportedArchitectures", [arch])
        wrong = ""
        mend = "choose another type"
        if arch not in runs:
            wrong = f"{kind} runs {', '.join(runs)}, the AMI is {arch}"
            mend = f"choose another type, or bake for it: invoke bake --arch {runs[0]}"
        elif said.get("Hypervisor") == "xen":
            # Without Latest, which only Nitro has, the console comes minutes too late
            # (GetConsoleOutput), and with it the host keys.
            wrong = f"{kind} is no Nitro type: its host keys cannot be read at boot"
            mend = "choose a Nitro type, such as m7i.large"
        elif market == "spot" and "spot" not in said.get("SupportedUsageClasses", ()):
            wrong = f"{kind} is not sold on the spot market"
        if wrong:
            findings.append(_error(wrong, "--instance-type", mend))
        else:
            usable.append(kind)
    return tuple(usable), findings


def _zones(
    cloud: Cloud, region: str, types: Sequence[str], subnets: Sequence[Subnet]
) -> frozenset[tuple[str, str]]:
    if not types or not subnets:
        return frozenset()
    offered = cloud.pages(
        region,
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=[
            {"Name": "instance-type", "Values": list(types)},
            {"Name": "location", "Values": sorted({s.zone for s in subnets})},
        ],
    )
    ours = {subnet.zone for subnet in subnets}
    pairs = ((item["InstanceType"], item["Location"]) for item in offered)
    return frozenset((kind, zone) for kind, zone in pairs if zone in ours)


def _not_there(
    types: Sequence[str],
    subnets: Sequence[Subnet],
    zones: frozenset[tuple[str, str]],
) -> list[Finding]:
    if not subnets:
        return []
    places = ", ".join(sorted({subnet.zone for subnet in subnets}))
    missing = [kind for kind in types if not any(k == kind for k, _ in zones)]
    level = Level.ERROR if len(missing) == len(types) else Level.WARNING
    return [
        Finding(
            level,
            f"{kind} is not offered in {places}",
            "--instance-type",
            "choose another type, or name subnets of other zones in launch.subnets",
        )
        for kind in missing
    ]


def _error(what: str, where: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, where, mend)
