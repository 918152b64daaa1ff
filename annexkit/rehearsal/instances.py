"""Instances: moto's records, and machines behind them."""

from __future__ import annotations

import base64
import logging
import time
from dataclasses import dataclass
from threading import Event, Lock, RLock

from annexkit.rehearsal import launch
from annexkit.rehearsal.faults import troubled
from annexkit.rehearsal.image_view import Disk
from annexkit.rehearsal.images import Images, mismatch
from annexkit.rehearsal.machines import GONE, State
from annexkit.rehearsal.making import Maker
from annexkit.rehearsal.netns import Wsgi
from annexkit.rehearsal.site import Site, in_background
from annexkit.rehearsal.view import (
    Instance,
    View,
    described,
    other_host_keys,
    put_state,
    trouble_of,
)
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
SPOT_END = "Server.SpotInstanceTermination: Spot instance termination"
CAPTURED = {State.RUNNING, State.STOPPING, State.STOPPED}


@dataclass(frozen=True)
class Launched:
    """A RunInstances call that was answered, kept by its client token."""

    call: Call
    answer: str
    ids: tuple[str, ...]


class Instances:
    """The instances of all regions.

    :param api: the cloud, as its machines reach it.
    """

    def __init__(self, site: Site, images: Images, api: Wsgi) -> None:
        self._site = site
        self._notices: dict[str, str] = {}
        self._maker = Maker(site, api, self._notices)
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
        moto, asked = self._site.moto, call
        if self._site.faults.rules():
            asked = launch.with_place(call, moto)
        count = self._room(asked)
        troubles = self._site.faults.machines(asked)
        spot = bool(call.get("InstanceMarketOptions.MarketType"))
        root = launch.ask(launch.prepare(call, image, count, moto), moto)
        for number, item in enumerate(described(root)):
            self._associate(call, item)
            instance = self._maker.make(
                call.region,
                item,
                image.ref,
                spot=spot,
                trouble=trouble_of(troubles, number),
            )
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
        most = min(most, room)
        given = self._site.faults.capacity(call, least, most)
        if given < least:
            raise launch.no_capacity(call)
        return given

    def _associate(self, call: Call, item: Element) -> None:
        """Give the instance its profile; moto gives it to a launch's first one only."""
        names = ("IamInstanceProfile.Name", "IamInstanceProfile.Arn")
        profile = {name: call.get(name) for name in names if call.get(name)}
        if profile and text_of(item, "amiLaunchIndex") != "0":
            params = {"InstanceId": text_of(item, "instanceId"), **profile}
            self._site.moto.ask(
                Call("ec2", call.region, "AssociateIamInstanceProfile", params)
            )

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

    def notify(self, identity: str) -> None:
        """Tell a spot instance that it is to end, and end it when its time is over.

        :raises ApiError: no such spot instance.
        """
        instance = self.find(identity)
        if instance is None or not instance.spot:
            raise ApiError("InvalidInstanceID.NotFound", f"no spot instance {identity}")
        seconds = self._site.faults.knobs.spot_notice_seconds
        end = time.gmtime(time.time() + seconds)
        self._notices[identity] = time.strftime("%Y-%m-%dT%H:%M:%SZ", end)
        call = Call("ec2", instance.region, "TerminateInstances")

        def interrupt() -> None:
            Event().wait(seconds)
            instance.machine.reason = SPOT_END
            self.change(call.having(InstanceId__1=identity))

        in_background(interrupt, f"spot-{identity}")

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
        text = instance.machine.console()
        if troubled(self._site.faults.knobs, instance.trouble).console_host_key:
            text = other_host_keys(text)
        said = text.encode()[-MOST_CONSOLE:]
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
