"""How the default VPC shows: with the network that the machines really have, and a way
out of it.

A machine's address may be any of that network, whatever its zone: podman knows one
network, not one for each zone. What routes say is kept and told; packets do not ask it.
"""

from __future__ import annotations

import ipaddress
import re
from threading import RLock

from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import Call, Element, Moto, put, text_of

SLICE_BITS = 3  # eight slices: no region has more zones
SMALLEST = 28  # the longest prefix of a subnet of EC2 (Amazon VPC user guide)
ROUTED = re.compile(r"Route|InternetGateway|DeleteVpc$")
EVERYWHERE = "0.0.0.0/0"


class NetworkView:
    """Puts right what moto says of the addresses of VPCs and subnets."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._network = ipaddress.IPv4Network(site.rehearsal.subnet)
        self._lock = RLock()
        self._furnished: set[str] = set()

    def furnish(self, call: Call) -> None:
        """Give a region's default VPC its way out, before the first call about that.

        moto makes the default VPC without; AWS never does (Amazon VPC user guide,
        "Default VPC components").
        """
        if not ROUTED.search(call.action) or call.region in self._furnished:
            return
        with self._lock:
            if call.region not in self._furnished:
                self._furnished.add(call.region)
                open_default_vpc(self._site.moto, call.region)

    def create_default_vpc(self, call: Call) -> Element:
        """CreateDefaultVpc: with its way out."""
        with self._lock:
            self._furnished.add(call.region)
            root = self._site.moto.ask(call)
            open_default_vpc(self._site.moto, call.region)
        return root

    def describe_route_tables(self, call: Call) -> Element:
        """DescribeRouteTables: a route by a gateway that is gone leads nowhere."""
        root = self._site.moto.ask(call)
        told = self._site.moto.ec2(call.region, "DescribeInternetGateways")
        attached = {
            text_of(one, "internetGatewayId")
            for one in told.iterfind("internetGatewaySet/item")
            if one.find("attachmentSet/item") is not None
        }
        for route in root.iterfind("routeTableSet/item/routeSet/item"):
            gateway = text_of(route, "gatewayId")
            if gateway.startswith("igw-") and gateway not in attached:
                put(route, "state", "blackhole")
        return root

    def describe_vpcs(self, call: Call) -> Element:
        """DescribeVpcs: the default one is all of the machines' network."""
        root = self._site.moto.ask(call)
        for item in root.iterfind("vpcSet/item"):
            if text_of(item, "isDefault") == "true":
                put(item, "cidrBlock", str(self._network))
                for block in item.iterfind("cidrBlockAssociationSet/item"):
                    put(block, "cidrBlock", str(self._network))
        return root

    def describe_subnets(self, call: Call) -> Element:
        """DescribeSubnets: the default one of each zone is a slice of it."""
        root = self._site.moto.ask(call)
        for item in root.iterfind("subnetSet/item"):
            if text_of(item, "defaultForAz") == "true":
                put(item, "cidrBlock", self._slice(text_of(item, "availabilityZone")))
        return root

    def _slice(self, zone: str) -> str:
        prefix = max(
            self._network.prefixlen,
            min(self._network.prefixlen + SLICE_BITS, SMALLEST),
        )
        slices = list(self._network.subnets(new_prefix=prefix))
        return str(slices[(ord(zone[-1]) - ord("a")) % len(slices)])


def open_default_vpc(moto: Moto, region: str) -> None:
    """Attach an internet gateway to the default VPC, and send everything there."""
    vpcs = moto.ec2(
        region, "DescribeVpcs", Filter__1__Name="is-default", Filter__1__Value__1="true"
    )
    vpc = vpcs.findtext("vpcSet/item/vpcId")
    if not vpc:
        return
    tables = moto.ec2(
        region,
        "DescribeRouteTables",
        Filter__1__Name="vpc-id",
        Filter__1__Value__1=vpc,
        Filter__2__Name="association.main",
        Filter__2__Value__1="true",
    )
    made = moto.ec2(region, "CreateInternetGateway")
    gateway = made.findtext("internetGateway/internetGatewayId") or ""
    moto.ec2(region, "AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    moto.ec2(
        region,
        "CreateRoute",
        RouteTableId=tables.findtext("routeTableSet/item/routeTableId") or "",
        DestinationCidrBlock=EVERYWHERE,
        GatewayId=gateway,
    )
