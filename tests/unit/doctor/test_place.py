from __future__ import annotations

from typing import Any

import pytest

from annexkit.doctor.lines import Status
from annexkit.doctor.place import Table, Want, everybody, quota, region, routes

WORLD = "0.0.0.0/0"


def table(name: str, *subnets: str, main: bool = False, **route: str) -> Table:
    tied: list[dict[str, Any]] = [{"Main": False, "SubnetId": one} for one in subnets]
    tied += [{"Main": True}] if main else []
    found = [{"DestinationCidrBlock": WORLD, **route}] if route else []
    local = {"DestinationCidrBlock": "10.0.0.0/8", "GatewayId": "local"}
    return Table.read(
        {
            "RouteTableId": name,
            "VpcId": "vpc-1",
            "Associations": tied,
            "Routes": [local, *found],
        }
    )


def judged(*tables: Table, public: bool = True, subnets: tuple[str, ...] = ("s1",)):  # type: ignore[no-untyped-def]
    return list(routes(subnets, tables, ["igw-9"], public=public, region="r"))


IGW = table("main", main=True, GatewayId="igw-1", State="active")


def test_a_subnet_without_a_table_of_its_own_has_the_main_one() -> None:
    [line] = judged(IGW, subnets=("s1", "s2"))
    assert (line.status, "all 2 subnets" in line.what) == (Status.OK, True)


def test_a_table_of_its_own_comes_before_the_main_one() -> None:
    own = table("own", "s2")
    [line] = judged(IGW, own, subnets=("s1", "s2"))
    assert (line.status, line.where) == (Status.WRONG, "s2")
    [line] = judged(own, IGW, subnets=("s1", "s2"))
    assert (line.status, line.where) == (Status.WRONG, "s2")
    assert "--route-table-id own" in line.mend
    assert "--gateway-id igw-9" in line.mend


def test_by_private_addresses_any_way_out_will_do() -> None:
    for route in ({"NatGatewayId": "nat-1"}, {"TransitGatewayId": "tgw-1"}):
        there = table("main", main=True, State="active", **route)
        assert [line.status for line in judged(there, public=False)] == [Status.OK]
        assert [line.status for line in judged(there)] == [Status.WRONG]
    gone = table("main", main=True, NatGatewayId="nat-1", State="blackhole")
    assert [line.status for line in judged(gone, public=False)] == [Status.WRONG]


def test_subnets_of_one_table_are_one_line() -> None:
    [line] = judged(table("main", main=True), subnets=("s1", "s2"))
    assert line.where == "s1, s2"


def test_without_a_gateway_the_mend_makes_one_for_the_vpc() -> None:
    [line] = routes(["s"], [table("t", main=True)], [], public=True, region="r")
    made, attached, routed = line.mend.split("; ")
    assert made.startswith("igw=$(aws ec2 create-internet-gateway --region r ")
    assert "--vpc-id vpc-1 --internet-gateway-id $igw" in attached
    assert routed.startswith("aws ec2 create-route --region r --route-table-id t ")
    assert routed.endswith("--gateway-id $igw")


def test_without_any_table_nothing_can_be_told() -> None:
    assert [line.status for line in judged()] == [Status.UNCHECKED]


@pytest.mark.parametrize(
    ("opt_in", "lacking", "statuses"),
    [
        ("opted-in", [], [Status.OK]),
        ("opt-in-not-required", ["scheduler"], [Status.WARNING]),
        ("opt-in-not-required", ["ssm", "scheduler"], [Status.WARNING] * 2),
        ("", [], [Status.WRONG]),
        (None, ["ssm"], [Status.UNCHECKED, Status.WARNING]),
        ("not-opted-in", ["ssm"], [Status.WRONG, Status.WARNING]),
    ],
)
def test_a_region_is_enabled_and_has_its_services(
    opt_in: str | None, lacking: list[str], statuses: list[Status]
) -> None:
    assert [line.status for line in region("r", opt_in, lacking)] == statuses


def want(count: int, falls_back: bool = False, **vcpus: int) -> Want:
    return Want("on-demand", "standard", count, vcpus, falls_back)


@pytest.mark.parametrize(
    ("asked", "limit", "used", "status"),
    [
        (want(4, large=2), 8, 0, Status.OK),
        (want(4, large=2), 8, 1, Status.WRONG),
        (want(4, large=2), 7, 0, Status.WRONG),
        (want(4, large=2, huge=4), 8, 0, Status.WARNING),
        (want(4, falls_back=True, large=2), 0, 0, Status.WARNING),
        (want(1, large=2), 5, 9, Status.WRONG),
    ],
)
def test_a_quota_has_room_for_all_nodes(
    asked: Want, limit: float, used: int, status: Status
) -> None:
    line = quota(asked, limit, used, "r")
    assert line.status is status
    assert bool(line.mend) is (status is not Status.OK)


def test_the_quota_that_is_asked_for_is_enough() -> None:
    line = quota(want(4, large=2, huge=4), 5, 3, "r")
    assert "--desired-value 11 " in line.mend
    assert "--count 1" in line.mend
    assert "--count" not in quota(want(4, large=2), 1, 0, "r").mend


@pytest.mark.parametrize(
    ("cidr", "all_"),
    [("0.0.0.0/0", True), ("::/0", True), ("128.0.0.0/1", True), ("10.0.0.0/8", False)],
)
def test_half_the_world_is_everybody(cidr: str, all_: bool) -> None:
    assert everybody(cidr) is all_
