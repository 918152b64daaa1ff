"""How instances show in the answers of the Describe calls."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from annexkit.rehearsal import filters
from annexkit.rehearsal.faults import Machines, Trouble
from annexkit.rehearsal.identity import private_name
from annexkit.rehearsal.machines import Machine, State
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import Call, Element, put, text_of

PAGE = "1000"  # EC2's own; moto's is 100 reservations
NO_TOKEN = "ABCDE"  # noqa: S105 - what moto says when there is no client token


@dataclass(frozen=True)
class Instance:
    """An instance: where moto has it, its address with moto and its real one."""

    id: str
    region: str
    image_id: str
    moto_address: str
    address: str
    machine: Machine
    spot: bool = False
    trouble: Trouble = field(default_factory=Trouble)


class View:
    """Puts right what moto says of instances."""

    def __init__(
        self,
        site: Site,
        find: Callable[[str], Instance | None],
        every: Callable[[], list[Instance]],
    ) -> None:
        self._site = site
        self._find = find
        self._every = every

    def describe(self, call: Call) -> Element:
        """DescribeInstances, filtered after moto's answer is put right."""
        ours, others = filters.split(filters.read(call), filters.INSTANCE_PATHS)
        params = {**call.without("Filter").params, **filters.params(others)}
        if not call.members("InstanceId"):  # which EC2 takes only without the other
            params.setdefault("MaxResults", PAGE)
        root = self._site.moto.ask(Call("ec2", call.region, call.action, params))
        self.put_right(root)
        reservations = root.find("reservationSet")
        for reservation in _children(reservations):
            instances = reservation.find("instancesSet")
            for item in _children(instances):
                if not filters.matches(item, ours, filters.INSTANCE_PATHS):
                    _remove(instances, item)
            if not _children(instances):
                _remove(reservations, reservation)
        return root

    def describe_status(self, call: Call) -> Element:
        """DescribeInstanceStatus: of running instances, unless all are wanted."""
        root = self._site.moto.ask(call)
        statuses = root.find("instanceStatusSet")
        for item in _children(statuses):
            instance = self._find(text_of(item, "instanceId"))
            if instance is None:
                continue
            state = instance.machine.state
            put_state(item, "instanceState", state)
            if state is not State.RUNNING and not call.true("IncludeAllInstances"):
                _remove(statuses, item)
        return root

    def describe_interfaces(self, call: Call) -> Element:
        """DescribeNetworkInterfaces, with the machines' real addresses."""
        root = self._site.moto.ask(call)
        for instance in self._every():
            _renumber(root, instance)
        return root

    def put_right(self, root: Element) -> Element:
        """Correct the described instances of an answer, in place."""
        for item in described(root):
            if instance := self._find(text_of(item, "instanceId")):
                _renumber(item, instance)
                if text_of(item, "ipAddress"):  # everybody here reaches the one it has
                    put(item, "ipAddress", instance.address)
                _describe_machine(item, instance.machine)
                if instance.spot:
                    put(item, "instanceLifecycle", "spot")
        return root


def described(root: Element) -> Iterator[Element]:
    """Yield the described instances of RunInstances or DescribeInstances."""
    for found in root.iter("instancesSet"):
        yield from list(found)


def trouble_of(troubles: Iterable[Machines], number: int) -> Trouble:
    """Return the trouble that the machine *number* of a launch has, from 0 on."""
    for trouble in troubles:
        if number < trouble.count:
            return Trouble(**trouble.model_dump(exclude={"count"}))
    return Trouble()


def other_host_keys(console: str) -> str:
    """Show other host keys than the machine's: the Ed25519 key changed, no other."""

    def changed(found: re.Match[str]) -> str:
        blob = base64.b64decode(found[1])
        other = blob[:-32] + hashlib.sha256(blob).digest()
        return f"ssh-ed25519 {base64.b64encode(other).decode()}"

    only = re.sub(r"(?m)^.*(ecdsa-sha2-\S+|ssh-rsa) AAAA.*\n?", "", console)
    return re.sub(r"ssh-ed25519 (AAAA[A-Za-z0-9+/=]+)", changed, only)


def put_state(item: Element, path: str, state: State) -> None:
    """Write an instance state as name and code."""
    put(item, f"{path}/code", str(state.code))
    put(item, f"{path}/name", state)


def _children(element: Element | None) -> list[Element]:
    return [] if element is None else list(element)


def _remove(parent: Element | None, child: Element) -> None:
    if parent is not None:
        parent.remove(child)


def _describe_machine(item: Element, machine: Machine) -> None:
    put_state(item, "instanceState", machine.state)
    if machine.reason:
        put(item, "stateReason/code", machine.reason.partition(":")[0])
        put(item, "stateReason/message", machine.reason)
    if text_of(item, "clientToken") == NO_TOKEN:
        put(item, "clientToken", "")
    if machine.state is State.TERMINATED:
        for name in ("privateIpAddress", "ipAddress", "networkInterfaceSet"):
            for element in item.findall(name):
                item.remove(element)


def _renumber(root: Element, instance: Instance) -> None:
    """Put the machine's address and name where moto has those that it invented."""
    real = private_name(instance.region, instance.address)
    invented = f"ip-{instance.moto_address.replace('.', '-')}."
    for element in root.iter():
        if element.text == instance.moto_address:
            element.text = instance.address
        elif (element.text or "").startswith(invented):
            element.text = real
