"""The moments of a bake: how each is made to last, and how it is recognised.

By what can be seen from outside: calls to EC2, Packer's log, the registry.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from annexkit.process import Completed
from annexkit.registry import State
from tests.stage import REGION, Command, Place

IMAGE = "again"  # tests.stage.write_again
HELD = 8.0  # seconds that a call is held up, longer than a signal takes


@dataclass(frozen=True)
class Moment:
    """A point in a bake.

    :param here: whether it has come.
    :param held: a fault of the rehearsal that holds one call up.
    :param knobs: what makes the rehearsal slow enough.
    :param leaves: what annexkit's own clean-up leaves: "", "candidate" or "current".
    """

    name: str
    here: Callable[[Place], bool]
    held: dict[str, Any] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)
    leaves: str = ""

    def reach(self, place: Place) -> Command:
        """Start a bake, and return it when the moment has come."""
        stage = place.stage
        stage.ask("knobs", "POST", self.knobs)
        stage.ask("faults", "POST", [self.held] if self.held else [])
        running = place.start("bake")
        running.reach(lambda: self.here(place), self.name)
        return running

    def interrupt(self, place: Place, sent: signal.Signals) -> Completed:
        """Bake, and send a signal when the moment has come."""
        running = self.reach(place)
        running.send(sent)
        done = running.ended(timeout=60)
        place.stage.ask("knobs", "POST", {})
        return done


def held(place: Place) -> bool:
    """The one call that is held up has come."""
    return bool(place.stage.ask("faults") == [])


def builder_is_pending(place: Place) -> bool:
    return any(m["state"] == "pending" for m in place.stage.machines())


def provisioning(place: Place) -> bool:
    return "Provisioning with shell script" in place.packer_log


def ami_is_pending(place: Place) -> bool:
    return any(image["state"] == "pending" for image in place.stage.images())


def fresh_boot(place: Place) -> bool:
    new = place.registry.channel(IMAGE, "x86_64", REGION).candidate
    ami = new and place.registry.images[IMAGE].builds[new].regions[REGION].ami
    machines = place.stage.machines()
    return [m["ami"] for m in machines if m["state"] == "running"] == [ami, ami]


def a_call(action: str, **where: str) -> dict[str, Any]:
    return {"action": action, "delay_seconds": HELD, "times": 1, "where": where}


MOMENTS = {
    moment.name: moment
    for moment in (
        Moment("base lookup", held, a_call("DescribeImages", **{"Owner.1": "self"})),
        Moment("instance pending", builder_is_pending, knobs={"pending_seconds": HELD}),
        Moment("provisioning", provisioning),
        Moment("AMI pending", ami_is_pending, knobs={"image_pending_seconds": HELD}),
        # Packer's own call, before it tags what it made, and then ours
        Moment(
            "AMI not tagged yet",
            held,
            a_call("ModifyImageAttribute", **{"Description.Value": "?*"}),
        ),
        Moment(
            "registering",
            held,
            a_call("ModifyImageAttribute", **{"ImdsSupport.Value": "v2.0"}),
        ),
        Moment("fresh boot", fresh_boot, leaves="candidate"),
        Moment("expiry coming off", held, a_call("DeleteTags"), leaves="current"),
    )
}


def orphans(place: Place, before: frozenset[str]) -> frozenset[str]:
    """Return what was made since, less what the registry holds as ready."""
    kept = {
        part
        for image in place.registry.images.values()
        for build in image.builds.values()
        for there in build.regions.values()
        if there.state is State.READY
        for part in (there.ami, there.snapshot)
    }
    made = place.stage.inventory() - before
    return frozenset(thing for thing in made if thing.split()[2] not in kept)
