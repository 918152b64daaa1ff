"""Instances: moto's records, and machines behind them."""

from __future__ import annotations

import base64
import logging
import time
from dataclasses import dataclass
from threading import Lock, RLock

from annexkit.rehearsal import firmware, launch
from annexkit.rehearsal.identity import IdentitySource, private_name
from annexkit.rehearsal.image_view import Disk
from annexkit.rehearsal.images import Images, mismatch
from annexkit.rehearsal.imds import Imds
from annexkit.rehearsal.machines import Hooks, Machine, State
from annexkit.rehearsal.podman import MachineSpec
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.view import Instance, View, described, put_state
from annexkit.rehearsal.wire import (
    ApiError,
    Call,
    Element,
    parse,
    result,
    text_of,
    write,
)

log = logging.getLogger(__name__)

MOST_CONSOLE = 64 * 1024
CAPTURED = {State.RUNNING, State.STOPPING, State.STOPPED}
GONE = {State.TERMINATED, State.SHUTTING_DOWN}


@dataclass(frozen=True)
class Launched:
    """A RunInstances call that was answered, kept by its client token."""

    call: Call
    answer: str
    ids: tuple[str, ...]


class Instances:
    """The instances of all regions."""

    def __init__(self, site: Site, images: Images) -> None:
        self._site = site
        self._images = images
        self._instances: dict[str, Instance] = {}
        self._tokens: dict[tuple[str, str], Launched] = {}
        self._lock = Lock()
        self._launching = RLock()
        self.view = View(site, self.find, self.all)

    def all(self) -> list[Instance]:
        """Return every instance that was ever launched, oldest first."""
        with self._lock:
            return list(self._instances.values())

    def find(self, instance_id: str) -> Instance | None:
        """Return an instance."""
        with self._lock:
            return self._instances.get(instance_id)

    def run(self, call: Call) -> Element:
        """RunInstances: as many as there is room for; idempotent by client token."""
        launch.check(call)
        if call.true("DryRun"):
            self._images.launchable(call.region, call.get("ImageId"))
            return self._site.moto.ask(call)
        token = call.get("ClientToken")
        with self._launching:
            if token and (done := self._tokens.get((call.region, token))):
                return self._again(call, done)
            root = self._launch(call)
            if token:
                ids = tuple(text_of(i, "instanceId") for i in described(root))
                answered = Launched(call, write(root), ids)
                self._tokens[call.region, token] = answered
        return root

    def _again(self, call: Call, done: Launched) -> Element:
        if done.call != call:
            raise mismatch(call.get("ClientToken"))
        if all(self._instances[i].machine.state in GONE for i in done.ids):
            raise ApiError(
                "IdempotentInstanceTerminated",
                "The instances of this client token are terminated",
            )
        return self.view.put_right(parse(done.answer))

    def _launch(self, call: Call) -> Element:
        image = self._images.launchable(call.region, call.get("ImageId"))
        count = self._room(call)
        moto = self._site.moto
        root = launch.ask(launch.prepare(call, image, count, moto), moto)
        for item in described(root):
            self._associate(call, item)
            instance = self._instance(call.region, item, image.ref)
            with self._lock:
                self._instances[instance.id] = instance
            instance.machine.start()
        return self.view.put_right(root)

    def _room(self, call: Call) -> int:
        least, most = launch.counts(call)
        there = sum(i.machine.state is not State.TERMINATED for i in self.all())
        room = self._site.rehearsal.machines - there
        if room < least:
            raise ApiError(
                "InstanceLimitExceeded",
                f"You have requested more instances ({least}) than your current "
                f"limit allows ({room}): rehearsal.machines in invoke.yaml",
            )
        return min(most, room)

    def _associate(self, call: Call, item: Element) -> None:
        """Give the instance its profile; moto gives it to a launch's first one only."""
        names = ("IamInstanceProfile.Name", "IamInstanceProfile.Arn")
        profile = {name: call.get(name) for name in names if call.get(name)}
        if profile and text_of(item, "amiLaunchIndex") != "0":
            params = {"InstanceId": text_of(item, "instanceId"), **profile}
            self._site.moto.ask(
                Call("ec2", call.region, "AssociateIamInstanceProfile", params)
            )

    def _instance(self, region: str, item: Element, ref: str) -> Instance:
        identity = text_of(item, "instanceId")
        address = self._site.addresses.take()
        source = IdentitySource(self._site.moto, region, identity, address)
        hooks = Hooks(
            behaviour=lambda: self._behaviour(region, identity),
            ended=lambda state: self._ended(region, identity, state),
            knobs=lambda: self._site.faults.knobs,
        )
        machine = Machine(
            self._site.podman,
            self._site.network,
            self._spec(region, item, ref, address),
            metadata=Imds(source, issued=self._site.faults.hand_out),
            hooks=hooks,
        )
        moto_address = text_of(item, "privateIpAddress")
        image = text_of(item, "imageId")
        return Instance(identity, region, image, moto_address, address, machine)

    def _spec(self, region: str, item: Element, ref: str, address: str) -> MachineSpec:
        identity = text_of(item, "instanceId")
        name = private_name(region, address)
        folder = self._site.folder(identity)
        mounts = firmware.install(folder, identity, text_of(item, "instanceType"))
        return MachineSpec(
            name=f"{self._site.rehearsal.network}-{identity}",
            image=ref,
            address=address,
            mac=text_of(item, "networkInterfaceSet/item/macAddress"),
            hostname=name.partition(".")[0],
            labels=(("annexkit.instance", identity), ("annexkit.region", region)),
            mounts=(*mounts, firmware.hosts_file(folder, address, name)),
        )

    def _behaviour(self, region: str, identity: str) -> str:
        name = "instanceInitiatedShutdownBehavior"
        root = self._site.moto.ec2(
            region, "DescribeInstanceAttribute", InstanceId=identity, Attribute=name
        )
        return root.findtext(f"{name}/value") or "stop"

    def _ended(self, region: str, identity: str, state: State) -> None:
        """Tell moto that a machine ended by itself."""
        action = "TerminateInstances" if state in GONE else "StopInstances"
        try:
            self._site.moto.ec2(region, action, InstanceId__1=identity)
        except ApiError:
            log.exception("%s", identity)

    def change(self, call: Call) -> Element:
        """StartInstances, StopInstances and TerminateInstances; moto checks the ids."""
        before = {i.id: i.machine.state for i in self.all()}
        root = self._site.moto.ask(call)
        for item in root.iterfind("instancesSet/item"):
            instance = self.find(text_of(item, "instanceId"))
            if instance is None:
                continue
            self._change_one(call, instance, before[instance.id])
            put_state(item, "previousState", before[instance.id])
            put_state(item, "currentState", instance.machine.state)
        return root

    def _change_one(self, call: Call, instance: Instance, was: State) -> None:
        machine = instance.machine
        if call.action == "TerminateInstances":
            machine.terminate()
        elif call.action == "StopInstances" and was in {State.RUNNING, State.PENDING}:
            machine.stop(force=call.true("Force"))
        elif call.action == "StartInstances" and was is State.STOPPED:
            machine.start()

    def reboot(self, call: Call) -> Element:
        """RebootInstances."""
        root = self._site.moto.ask(call)
        for identity in call.members("InstanceId"):
            instance = self.find(identity)
            if instance and instance.machine.state is State.RUNNING:
                instance.machine.reboot()
        return root

    def console(self, call: Call) -> Element:
        """GetConsoleOutput: the last 64 KB of what the machine wrote."""
        root = self._site.moto.ask(call)
        instance = self.find(call.get("InstanceId"))
        if instance is None:
            return root
        said = instance.machine.console().encode()[-MOST_CONSOLE:]
        texts = {
            "instanceId": instance.id,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        }
        if said:
            texts["output"] = base64.b64encode(said).decode()
        return result("GetConsoleOutput", **texts)

    def create_image(self, call: Call) -> Element:
        """CreateImage of an instance."""
        instance = self.find(call.get("InstanceId"))
        if instance is None or call.true("DryRun"):
            return self._site.moto.ask(call)
        if instance.machine.state not in CAPTURED:
            raise ApiError(
                "IncorrectInstanceState",
                f"Instance '{instance.id}' is {instance.machine.state}",
            )
        return self._images.create(call, instance.machine, self._disk(instance))

    def _disk(self, instance: Instance) -> Disk:
        root = self._site.moto.ec2(
            instance.region,
            "DescribeVolumes",
            Filter__1__Name="attachment.instance-id",
            Filter__1__Value__1=instance.id,
        )
        item = root.find("volumeSet/item")
        if item is None:
            return Disk()
        return Disk(
            text_of(item, "size") or Disk.size,
            text_of(item, "volumeType") or Disk.kind,
            text_of(item, "encrypted") or Disk.encrypted,
        )
