"""Subnets, types and zones, against moto's EC2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.errors import Finding, Level
from annexkit.launch.offers import Offers, Subnet, find_subnets, offers, targets
from tests.unit.helpers import REGION


def ask(
    cloud: Cloud,
    *types: str,
    subnets: Sequence[str] = (),
    arch: str = "x86_64",
    market: str = "on-demand",
) -> Offers:
    return offers(cloud, REGION, types=types, subnets=subnets, arch=arch, market=market)


def errors(found: Sequence[Finding]) -> list[str]:
    return [f.what for f in found if f.level is Level.ERROR]


def make_subnet(cloud: Cloud, vpc: str, cidr: str, zone: str = "a") -> str:
    said = cloud.call(
        REGION,
        "create_subnet",
        VpcId=vpc,
        CidrBlock=cidr,
        AvailabilityZone=f"{REGION}{zone}",
    )
    return str(said["Subnet"]["SubnetId"])


def make_vpc(cloud: Cloud, cidr: str = "10.9.0.0/16") -> str:
    return str(cloud.call(REGION, "create_vpc", CidrBlock=cidr)["Vpc"]["VpcId"])


def drop_default_subnets(cloud: Cloud) -> str:
    vpc = ""
    for said in list(cloud.pages(REGION, "describe_subnets", "Subnets")):
        vpc = said["VpcId"]
        cloud.call(REGION, "delete_subnet", SubnetId=said["SubnetId"])
    return vpc


def test_the_default_vpcs_subnets_and_the_types_in_their_zones_are_found(
    cloud: Cloud,
) -> None:
    found = ask(cloud, "m7i.large", "t3.small", "m7i.large")
    assert found.findings == ()
    assert found.types == ("m7i.large", "t3.small")
    zones = {subnet.zone for subnet in found.subnets}
    assert zones >= {f"{REGION}a", f"{REGION}b"}
    assert ("m7i.large", f"{REGION}a") in found.zones
    assert {zone for _, zone in found.zones} <= zones
    assert found.vpc
    assert found.free > 4000
    assert found.memory == {"m7i.large": 8192, "t3.small": 2048}


def test_the_order_is_market_then_type_as_wished_then_free_addresses() -> None:
    subnets = (
        Subnet("subnet-a", "vpc-1", "za", 5),
        Subnet("subnet-b", "vpc-1", "zb", 50),
        Subnet("subnet-c", "vpc-1", "zc", 0),
    )
    zones = frozenset((t, z) for t in ("t2", "t1", "t3") for z in ("za", "zb", "zc"))
    offered = Offers(
        subnets,
        ("t2", "t1", "t3"),
        zones - {("t1", "zb")},
        frozenset({"t2"}),
        (),
    )
    found = targets(offered, "spot-then-on-demand", {"t2/spot": 0.03, "t1/spot": 1.0})
    assert [(t.market, t.instance_type, t.subnet, t.price) for t in found] == [
        ("spot", "t2", "subnet-b", 0.03),
        ("spot", "t2", "subnet-a", 0.03),
        ("on-demand", "t2", "subnet-b", None),
        ("on-demand", "t2", "subnet-a", None),
        ("on-demand", "t1", "subnet-a", None),
        ("on-demand", "t3", "subnet-b", None),
        ("on-demand", "t3", "subnet-a", None),
    ]
    assert found == targets(
        offered, "spot-then-on-demand", {"t2/spot": 0.03, "t1/spot": 1.0}
    )


def test_named_subnets_are_used_and_no_others(cloud: Cloud) -> None:
    one = make_subnet(cloud, make_vpc(cloud), "10.9.1.0/24", "b")
    found = ask(cloud, "m7i.large", subnets=[one])
    assert [subnet.id for subnet in found.subnets] == [one]
    assert [t.zone for t in targets(found, "on-demand", {})] == [f"{REGION}b"]


def test_a_subnet_that_is_not_there_is_named(cloud: Cloud) -> None:
    found = ask(cloud, "m7i.large", subnets=["subnet-00000000000000000"])
    assert errors(found.findings) == ["there is no subnet subnet-00000000000000000"]
    assert found.vpc == ""


def test_subnets_of_two_vpcs_are_refused(cloud: Cloud) -> None:
    one = make_subnet(cloud, make_vpc(cloud), "10.9.1.0/24")
    two = make_subnet(cloud, make_vpc(cloud, "10.8.0.0/16"), "10.8.1.0/24")
    [error] = errors(ask(cloud, "m7i.large", subnets=[one, two]).findings)
    assert "several VPCs" in error


def test_a_default_vpc_without_a_subnet_says_how_to_make_one(cloud: Cloud) -> None:
    drop_default_subnets(cloud)
    [error] = ask(cloud, "m7i.large").findings
    assert "no default subnet" in error.what
    assert "create-default-subnet" in error.mend


def test_no_default_vpc_says_how_to_make_one(cloud: Cloud) -> None:
    vpc = drop_default_subnets(cloud)
    cloud.call(REGION, "delete_vpc", VpcId=vpc)
    [error] = ask(cloud, "m7i.large").findings
    assert "no default VPC" in error.what
    assert "create-default-vpc" in error.mend


def answering(free: Sequence[int]) -> Cloud:
    class Small(Cloud):
        def pages(self, region: str, method: str, key: str, **_: Any) -> Any:
            for number, left in enumerate(free):
                yield {
                    "SubnetId": f"subnet-{number}",
                    "VpcId": "vpc-1",
                    "AvailabilityZone": f"{REGION}a",
                    "AvailableIpAddressCount": left,
                }

    return Small()


def test_a_full_subnet_is_a_warning_and_all_full_is_an_error() -> None:
    _, [warning] = find_subnets(answering([0, 9]), REGION, [])
    assert (warning.level, warning.where) == (Level.WARNING, "subnet-0")
    _, [error] = find_subnets(answering([0, 0]), REGION, [])
    assert error.level is Level.ERROR
    assert "subnet-0, subnet-1" in error.what


def test_an_unknown_type_brings_the_nearest_one(cloud: Cloud) -> None:
    found = ask(cloud, "m7i.larg", "not a type", "*", "m7i.large")
    assert found.types == ("m7i.large",)
    assert [f.level for f in found.findings] == [Level.ERROR] * 3
    assert "did you mean 'm7i.large'" in found.findings[0].mend
    assert "describe-instance-type-offerings" in found.findings[2].mend


def test_no_type_at_all_is_an_error(cloud: Cloud) -> None:
    assert errors(ask(cloud).findings) == ["no instance type is named"]


@pytest.mark.parametrize(
    ("kind", "arch", "says"),
    [
        ("m7g.large", "x86_64", "m7g.large runs arm64, the AMI is x86_64"),
        ("m7i.large", "arm64", "m7i.large runs x86_64, the AMI is arm64"),
        ("t2.small", "x86_64", "t2.small is no Nitro type"),
    ],
)
def test_a_type_that_cannot_run_the_ami_is_refused(
    cloud: Cloud, kind: str, arch: str, says: str
) -> None:
    found = ask(cloud, kind, arch=arch)
    assert found.types == ()
    assert says in errors(found.findings)[0]


def test_a_type_that_is_nowhere_near_is_a_warning_and_none_near_an_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Cloud.pages

    def pages(self: Cloud, region: str, method: str, key: str, **args: Any) -> Any:
        for item in real(self, region, method, key, **args):
            if item.get("LocationType") and item["InstanceType"] == "m7i.large":
                continue
            yield item

    monkeypatch.setattr(Cloud, "pages", pages)
    found = ask(cloud, "m7i.large", "t3.small")
    assert [f.level for f in found.findings] == [Level.WARNING]
    found = ask(cloud, "m7i.large")
    assert "m7i.large is not offered in us-west-2a" in errors(found.findings)[0]
    assert targets(found, "on-demand", {}) == ()


def test_spot_is_only_for_types_that_are_sold_so(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Cloud.pages

    def pages(self: Cloud, region: str, method: str, key: str, **args: Any) -> Any:
        for item in real(self, region, method, key, **args):
            if item.get("InstanceType") == "t3.small":
                item["SupportedUsageClasses"] = ["on-demand"]
            yield item

    monkeypatch.setattr(Cloud, "pages", pages)
    both = ask(cloud, "m7i.large", "t3.small", market="spot-then-on-demand")
    assert both.findings == ()
    bought = {(t.market, t.instance_type) for t in targets(both, "spot", {})}
    assert bought == {("spot", "m7i.large")}
    only = ask(cloud, "t3.small", market="spot")
    assert errors(only.findings) == ["t3.small is not sold on the spot market"]
