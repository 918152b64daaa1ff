"""The moments of a night: how each is made to last, and how it is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.moments import HELD, fresh_boot, held, provisioning
from tests.nights import AWAY, LONGEST
from tests.stage import REGION, Command, Place

TOKENS = {"ImdsSupport.Value": "v2.0"}
FAR = AWAY[0]


@dataclass(frozen=True)
class NightMoment:
    """A point in a night.

    :param here: whether it has come.
    :param held: a fault of the rehearsal that holds one call up.
    :param pending: least seconds that an image is pending.
    """

    name: str
    here: Callable[[Place], bool] = held
    held: dict[str, Any] = field(default_factory=dict)
    pending: float = 0

    def reach(self, place: Place, *flags: str) -> Command:
        """Start a night, and return it when the moment has come."""
        stage = place.stage
        stage.ask("knobs", "POST", {"image_pending_seconds": self.pending})
        stage.ask("faults", "POST", [self.held] if self.held else [])
        running = place.start("nightly", *flags)
        running.reach(lambda: self.here(place), self.name, timeout=LONGEST)
        return running


def a_call(action: str, region: str, **where: str) -> dict[str, Any]:
    return {
        "action": action,
        "region": region,
        "where": where,
        "delay_seconds": HELD,
        "times": 1,
    }


def ami_is_pending(place: Place) -> bool:
    found = place.stage.images()
    return any(i["state"] == "pending" and i["region"] == REGION for i in found)


def copies_are_pending(place: Place) -> bool:
    return place.stage.called().count("CopyImage") == len(AWAY)


def smoking(place: Place) -> bool:
    machines = place.stage.machines()
    there = {m["region"] for m in machines if m["state"] == "running"}
    return FAR in there


MOMENTS = (
    NightMoment("looking", held=a_call("DescribeImages", FAR)),
    NightMoment("provisioning", provisioning),
    NightMoment("AMI pending", ami_is_pending, pending=HELD),
    NightMoment("registering", held=a_call("ModifyImageAttribute", REGION, **TOKENS)),
    NightMoment("fresh boot", fresh_boot),
    NightMoment("expiry coming off", held=a_call("DeleteTags", REGION)),
    NightMoment("asking for a copy", held=a_call("CopyImage", FAR)),
    NightMoment("copies pending", copies_are_pending, pending=HELD),
    NightMoment("closing a copy", held=a_call("ModifyImageAttribute", FAR)),
    NightMoment("smoking", smoking),
    NightMoment("a copy proved", held=a_call("DeleteTags", FAR)),
    NightMoment("promoting", held=a_call("DescribeSnapshots", FAR)),
    NightMoment("retiring", held=a_call("EnableImageDeprecation", FAR)),
)
