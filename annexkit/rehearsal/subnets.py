"""Which private network the machines get: one that this host does not know yet."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Sequence

from annexkit.errors import UsageError
from annexkit.process import run

Network = ipaddress.IPv4Network
# Tried from here on; 10.89.0.0/16 and around is where podman looks for its own.
POOL = ipaddress.IPv4Network("10.128.0.0/9")
PREFIX = 20
MEND = "set rehearsal.subnet to a free private network, or to auto"


def choose(wanted: str, taken: Sequence[tuple[str, Network]]) -> Network:
    """Return the machines' network.

    :param wanted: ``auto``, or a network with a prefix of 16 to 28.
    :param taken: what is in use, each with a word on who uses it.
    :raises UsageError: *wanted* is no such network, or is in use.
    """
    if wanted == "auto":
        return _first_free([network for _, network in taken])
    try:
        network = Network(wanted)
    except ValueError:
        raise UsageError(
            f"'{wanted}' is not an IPv4 network",
            where="annexkit.rehearsal.subnet",
            mend="write auto, or a network such as 10.128.0.0/20",
        ) from None
    if not network.is_private or not 16 <= network.prefixlen <= 28:
        raise UsageError(
            f"{network} is not a private network between /16 and /28",
            where="annexkit.rehearsal.subnet",
            mend=MEND,
        )
    for who, other in taken:
        if network.overlaps(other):
            raise UsageError(
                f"network {network} is taken: {who} has {other}",
                where="annexkit.rehearsal.subnet",
                mend=MEND,
            )
    return network


def taken(
    podman: Iterable[tuple[str, str]], own: str = ""
) -> list[tuple[str, Network]]:
    """Return the networks in use: this host's routes and podman's networks.

    :param podman: (name, subnet) of podman's networks.
    :param own: the podman network that is not counted, since it is ours.
    """
    podman = list(podman)
    ours = {subnet for name, subnet in podman if name == own}
    found = [
        (f"podman's network {name}", network)
        for name, subnet in podman
        if name != own and (network := _ipv4(subnet))
    ]
    routes = ((f"a route over {device}", network) for device, network in _routes())
    return found + [route for route in routes if str(route[1]) not in ours]


def _first_free(taken: Sequence[Network]) -> Network:
    for network in POOL.subnets(new_prefix=PREFIX):
        if not any(network.overlaps(other) for other in taken):
            return network
    raise UsageError(
        f"no free /{PREFIX} in {POOL}", where="annexkit.rehearsal.subnet", mend=MEND
    )


def _routes() -> Iterator[tuple[str, Network]]:
    """Yield (device, destination) of this host's routes, default routes left out."""
    listed = run("ip", "-json", "-4", "route", "show", "table", "all").stdout
    for route in json.loads(listed or "[]"):
        network = _ipv4(str(route.get("dst", "")))
        if network and network.prefixlen:
            yield str(route.get("dev", "?")), network


def _ipv4(text: str) -> Network | None:
    try:
        return Network(text, strict=False)
    except ValueError:
        return None
