"""How the default VPC shows: with the network that the machines really have.

A machine's address may be any of that network, whatever its zone: podman knows one
network, not one for each zone.
"""

from __future__ import annotations

import ipaddress

from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import Call, Element, put, text_of

SLICE_BITS = 3  # eight slices: no region has more zones
SMALLEST = 28  # the longest prefix of a subnet of EC2 (Amazon VPC user guide)


class NetworkView:
    """Puts right what moto says of the addresses of VPCs and subnets."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._network = ipaddress.IPv4Network(site.rehearsal.subnet)

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
