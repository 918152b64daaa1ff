"""Take things away, in an order that EC2 accepts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annexkit import instances, network
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.sweep.find import Thing
from annexkit.waiting import Clock

ORDER = ("instance", "image", "volume", "snapshot", "key-pair", "security-group")
GONE = ("NotFound", "Unavailable")  # InvalidAMIID.Unavailable: deregistered


@dataclass(frozen=True)
class Taken:
    """What became of one thing; ``error`` is empty when it is gone."""

    thing: Thing
    error: str = ""


def take(
    cloud: Cloud,
    things: Iterable[Thing],
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> list[Taken]:
    """Take things away; one that resists is reported and stops no other.

    :param timeout: seconds to wait for what holds on to another (an ending instance
        holds its security group).
    """
    taken = []
    for thing in sorted(things, key=lambda t: ORDER.index(t.kind)):
        try:
            _take_one(cloud, thing, timeout, poll, clock)
            taken.append(Taken(thing))
        except AnnexkitError as error:
            taken.append(Taken(thing, str(error)))
    return taken


def _take_one(
    cloud: Cloud, thing: Thing, timeout: float, poll: float, clock: Clock | None
) -> None:
    region = thing.region
    if thing.kind == "instance":
        instances.terminate(cloud, region, [thing.id])
        instances.wait_ended(
            cloud, region, [thing.id], timeout=timeout, poll=poll, clock=clock
        )
    elif thing.kind == "image":
        delete_image(cloud, region, thing.id, thing.parts)
    elif thing.kind == "volume":
        _unless_gone(cloud, region, "delete_volume", VolumeId=thing.id)
    elif thing.kind == "snapshot":
        _unless_gone(cloud, region, "delete_snapshot", SnapshotId=thing.id)
    elif thing.kind == "key-pair":
        _unless_gone(cloud, region, "delete_key_pair", KeyName=thing.name)
    else:
        network.delete_group(
            cloud, region, thing.id, timeout=timeout, poll=poll, clock=clock
        )


def delete_image(
    cloud: Cloud, region: str, image: str, snapshots: Iterable[str]
) -> None:
    """Deregister an image and delete its snapshots; gone already is as good."""
    _unless_gone(cloud, region, "deregister_image", ImageId=image)
    for snapshot in snapshots:
        _unless_gone(cloud, region, "delete_snapshot", SnapshotId=snapshot)


def _unless_gone(cloud: Cloud, region: str, method: str, **arguments: Any) -> None:
    try:
        cloud.call(region, method, **arguments)
    except AwsError as error:
        if not error.code.endswith(GONE):
            raise
