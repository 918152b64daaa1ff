from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from annexkit.rehearsal.network_view import NetworkView
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import text_of
from tests.unit.rehearsal.samples import Answers, a_call, a_rehearsal


def subnet(zone: str, default: str) -> str:
    return (
        f"<item><availabilityZone>{zone}</availabilityZone>"
        "<cidrBlock>172.31.16.0/20</cidrBlock>"
        f"<defaultForAz>{default}</defaultForAz></item>"
    )


def vpc(default: str) -> str:
    return (
        f"<item><isDefault>{default}</isDefault><cidrBlock>172.31.0.0/16</cidrBlock>"
        "<cidrBlockAssociationSet><item><cidrBlock>172.31.0.0/16</cidrBlock></item>"
        "</cidrBlockAssociationSet></item>"
    )


def view(network: str, answers: Answers, folder: Path) -> NetworkView:
    rehearsal = a_rehearsal(folder, subnet=network)
    return NetworkView(cast(Site, SimpleNamespace(rehearsal=rehearsal, moto=answers)))


@pytest.mark.parametrize(
    ("network", "shown"),
    [
        ("10.128.0.0/20", ["10.128.0.0/23", "10.128.2.0/23", "10.128.10.0/23"]),
        ("10.128.0.0/26", ["10.128.0.0/28", "10.128.0.16/28", "10.128.0.16/28"]),
        ("10.128.0.0/28", ["10.128.0.0/28", "10.128.0.0/28", "10.128.0.0/28"]),
    ],
)
def test_the_default_subnets_are_slices_of_the_machines_network(
    tmp_path: Path, network: str, shown: list[str]
) -> None:
    zones = ("us-west-2a", "us-west-2b", "us-west-2f")
    items = "".join(subnet(zone, "true") for zone in zones)
    answers = Answers(DescribeSubnets=f"<r><subnetSet>{items}</subnetSet></r>")
    root = view(network, answers, tmp_path).describe_subnets(a_call("DescribeSubnets"))
    assert [i.text for i in root.iter("cidrBlock")] == shown


def test_the_default_vpc_is_all_of_it_and_others_stay_as_they_are(
    tmp_path: Path,
) -> None:
    own = subnet("us-west-2a", "false")
    answers = Answers(
        DescribeVpcs=f"<r><vpcSet>{vpc('true')}{vpc('false')}</vpcSet></r>",
        DescribeSubnets=f"<r><subnetSet>{own}</subnetSet></r>",
    )
    shown = view("10.128.0.0/20", answers, tmp_path)
    ours, other = shown.describe_vpcs(a_call("DescribeVpcs")).iterfind("vpcSet/item")
    paths = ("cidrBlock", "cidrBlockAssociationSet/item/cidrBlock")
    assert {text_of(ours, path) for path in paths} == {"10.128.0.0/20"}
    assert {text_of(other, path) for path in paths} == {"172.31.0.0/16"}
    root = shown.describe_subnets(a_call("DescribeSubnets"))
    assert [i.text for i in root.iter("cidrBlock")] == ["172.31.16.0/20"]
