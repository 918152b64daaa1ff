"""What all parts of one rehearsal's cloud share."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

from annexkit.process import run
from annexkit.rehearsal.faults import Faults
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from annexkit.rehearsal.wire import ApiError, Moto

# Below are the network, its gateway and what EC2 keeps for itself.
FIRST_HOST = 10


class Addresses:
    """The machines' private addresses; one that was freed is used again last."""

    def __init__(self, subnet: str) -> None:
        self._network = ipaddress.ip_network(subnet)
        self._next = FIRST_HOST
        self._taken: set[str] = set()
        self._lock = Lock()

    def take(self) -> str:
        """Return a free address.

        :raises ApiError: the subnet is full.
        """
        last = self._network.num_addresses - 2
        with self._lock:
            for _ in range(FIRST_HOST, last + 1):
                address = str(self._network[self._next])
                self._next = FIRST_HOST if self._next >= last else self._next + 1
                if address not in self._taken:
                    self._taken.add(address)
                    return address
        raise ApiError(
            "InsufficientFreeAddressesInSubnet",
            "There are not enough free addresses in subnet",
        )

    def free(self, address: str) -> None:
        """Give an address back."""
        with self._lock:
            self._taken.discard(address)


@dataclass(frozen=True)
class Site:
    """One rehearsal's moto, podman, network and faults.

    :param roles: the role that each access key of a metadata service stands for.
    """

    rehearsal: Rehearsal
    podman: Podman
    moto: Moto
    faults: Faults
    addresses: Addresses
    bridge: str
    roles: dict[str, str] = field(default_factory=dict)

    def network(self) -> str:
        """Return the machines' network, its bridge's address fixed."""
        fix_bridge(self.rehearsal.id, self.bridge)
        return self.rehearsal.network

    def folder(self, instance_id: str) -> Path:
        """Return where the firmware of an instance lies."""
        return self.rehearsal.dir / "machines" / instance_id


def fix_bridge(identity: str, bridge: str) -> None:
    """Give the bridge of a rehearsal's network the address that it keeps.

    A bridge takes the lowest address of its ports: each new machine could change it,
    and what its neighbours know of it would be wrong. netavark makes the bridge with
    the first machine and removes it with the last.
    """
    wanted = bridge_address(identity)
    file = Path(f"/sys/class/net/{bridge}/address")
    if file.exists() and file.read_text().strip() != wanted:
        run("ip", "link", "set", "dev", bridge, "address", wanted, check=False)


def bridge_address(identity: str) -> str:
    """Derive the bridge's MAC address from a rehearsal's id."""
    digits = identity[:8]
    pairs = (digits[n : n + 2] for n in range(0, 8, 2))
    return ":".join(["02", "fe", *pairs])


def in_background(work: Callable[[], None], name: str) -> None:
    """Run *work* in a thread that does not keep the process alive."""
    Thread(target=work, name=name, daemon=True).start()
