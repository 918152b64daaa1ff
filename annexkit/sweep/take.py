"""Take things away, in an order that EC2 accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annexkit import instances, network
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.sweep.find import Thing
from annexkit.waiting import Clock, wait_for

ORDER = (
    *("instance", "image", "volume", "snapshot", "key-pair", "parameter"),
    "security-group",
)
BATCH = 100  # instances a call; one that resists makes its batch go one by one
GONE = ("NotFound", "Unavailable")  # InvalidAMIID.Unavailable: deregistered


@dataclass(frozen=True)
class Patience:
    """How long, and how often, to ask again while one thing holds another."""

    timeout: float
    poll: float
    clock: Clock | None = None

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until *condition* holds.

        :raises Deadline: it does not in time.
        """
        wait_for(
            condition, what=what, timeout=self.timeout, poll=self.poll, clock=self.clock
        )


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
    patience = Patience(timeout, poll, clock)
    taken = []
    for batch in _batches(sorted(things, key=lambda t: ORDER.index(t.kind))):
        taken += _take_batch(cloud, batch, patience)
    return taken


def _batches(things: list[Thing]) -> Iterator[list[Thing]]:
    """Put the instances of a region together, and everything else by itself."""
    instances_of: dict[str, list[Thing]] = {}
    for thing in things:
        if thing.kind == "instance":
            instances_of.setdefault(thing.region, []).append(thing)
    for there in instances_of.values():
        for at in range(0, len(there), BATCH):
            yield there[at : at + BATCH]
    yield from ([thing] for thing in things if thing.kind != "instance")


def _take_batch(cloud: Cloud, batch: list[Thing], patience: Patience) -> list[Taken]:
    if batch[0].kind == "instance":
        return _end_instances(cloud, batch, patience)
    try:
        _take_one(cloud, batch[0], patience)
    except AnnexkitError as error:
        return [Taken(batch[0], str(error))]
    return [Taken(batch[0])]


def _end_instances(cloud: Cloud, batch: list[Thing], patience: Patience) -> list[Taken]:
    region, ids = batch[0].region, [thing.id for thing in batch]
    errors = _terminate(cloud, region, ids)
    going = [one for one in ids if one not in errors]
    try:
        if going:
            _wait_ended(cloud, region, going, patience)
    except AnnexkitError as error:
        errors |= dict.fromkeys(_still_there(cloud, region, going), str(error))
    return [Taken(thing, errors.get(thing.id, "")) for thing in batch]


def _terminate(cloud: Cloud, region: str, ids: list[str]) -> dict[str, str]:
    """Ask for the end of instances; return what EC2 says of those that resist."""
    try:
        instances.terminate(cloud, region, ids)
    except AwsError as error:
        if len(ids) == 1:
            return {ids[0]: str(error)}
        # EC2 ends all of a request or none: find the ones that resist.
        parts = [_terminate(cloud, region, [one]) for one in ids]
        return {one: said for part in parts for one, said in part.items()}
    return {}


def _still_there(cloud: Cloud, region: str, ids: list[str]) -> list[str]:
    if len(ids) == 1:
        return ids
    try:
        found = instances.find(cloud, region, {}, ids)
    except AwsError:  # nobody knows which: none of them counts as gone
        return ids
    return [i.id for i in found if i.state not in instances.ENDED]


def _wait_ended(cloud: Cloud, region: str, ids: list[str], patience: Patience) -> None:
    instances.wait_ended(
        cloud,
        region,
        ids,
        timeout=patience.timeout,
        poll=patience.poll,
        clock=patience.clock,
    )


def _take_one(cloud: Cloud, thing: Thing, patience: Patience) -> None:
    region = thing.region
    if thing.kind == "image":
        delete_image(cloud, thing, patience)
    elif thing.kind == "volume":
        _unless_gone(cloud, region, "delete_volume", VolumeId=thing.id)
    elif thing.kind == "snapshot":
        _delete_snapshot(cloud, region, thing.id, patience)
    elif thing.kind == "key-pair":
        _unless_gone(cloud, region, "delete_key_pair", KeyName=thing.name)
    elif thing.kind == "parameter":
        _unless_gone(cloud, region, "delete_parameter", service="ssm", Name=thing.id)
    else:
        network.delete_group(
            cloud,
            region,
            thing.id,
            timeout=patience.timeout,
            poll=patience.poll,
            clock=patience.clock,
        )


def delete_image(cloud: Cloud, image: Thing, patience: Patience) -> None:
    """Deregister an image and delete its snapshots; gone already is as good.

    An image in the making may not name its snapshot yet, and without a tag nothing
    else would lead to it: so wait until it is made, and look for it by the words that
    CreateImage puts into a snapshot's description, too.

    :raises Deadline: it is still being made, or a snapshot is still in use.
    """
    region = image.region

    def made() -> bool:
        said = _described(cloud, region, image.id)
        return not said or said.get("State") != "pending"

    if image.state == "pending":
        patience.wait(made, f"{image.id} is made, so that all of it can go")
    snapshots = {*image.parts, *_snapshots_of(cloud, region, image.id)}
    _unless_gone(cloud, region, "deregister_image", ImageId=image.id)
    for snapshot in sorted(snapshots):
        _delete_snapshot(cloud, region, snapshot, patience)


def _described(cloud: Cloud, region: str, image: str) -> dict[str, Any]:
    filters = [{"Name": "image-id", "Values": [image]}]
    found = cloud.describe_images(region, Owners=["self"], Filters=filters)
    return found[0] if found else {}


def _snapshots_of(cloud: Cloud, region: str, image: str) -> set[str]:
    said = _described(cloud, region, image)
    mapped = (m.get("Ebs", {}) for m in said.get("BlockDeviceMappings", []))
    words = f"Created by CreateImage(*) for {image}*"
    described = cloud.pages(
        region,
        "describe_snapshots",
        "Snapshots",
        OwnerIds=["self"],
        Filters=[{"Name": "description", "Values": [words]}],
    )
    return {
        *(ebs["SnapshotId"] for ebs in mapped if ebs.get("SnapshotId")),
        *(snapshot["SnapshotId"] for snapshot in described),
    }


def _delete_snapshot(
    cloud: Cloud, region: str, snapshot: str, patience: Patience
) -> None:
    """Delete a snapshot; EC2 may hold it in use for a while after its image is gone."""

    def deleted() -> bool:
        try:
            _unless_gone(cloud, region, "delete_snapshot", SnapshotId=snapshot)
        except AwsError as error:
            if error.code != "InvalidSnapshot.InUse":
                raise
            return False
        return True

    patience.wait(deleted, f"{snapshot} is not in use any more")


def _unless_gone(cloud: Cloud, region: str, method: str, **arguments: Any) -> None:
    try:
        cloud.call(region, method, **arguments)
    except AwsError as error:
        if not error.code.endswith(GONE):
            raise
