"""What moto does not keep about AMIs, and how they show in its answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from annexkit.rehearsal.base_image import ROOT_DEVICE
from annexkit.rehearsal.state import ACCOUNT
from annexkit.rehearsal.wire import Element, put, text_of

PENDING, AVAILABLE, FAILED = "pending", "available", "failed"
DISABLED = "disabled"


@dataclass(frozen=True)
class Disk:
    """The root volume that an image was made of; size in GiB."""

    size: str = "8"
    kind: str = "gp3"
    encrypted: str = "false"


@dataclass
class Image:
    """What moto does not keep about an AMI.

    ``deprecated``: since when, as EC2 writes it; empty when it is not.
    """

    id: str
    region: str
    ref: str
    disk: Disk = Disk()
    state: str = PENDING
    imds: str = ""
    reason: str = ""
    description: str | None = None
    snapshot: str = ""
    source: dict[str, str] = field(default_factory=dict)
    gone: bool = False
    deprecated: str = ""


def put_right(item: Element, image: Image | None) -> None:
    """Correct a described image, in place; None for the base image."""
    put(item, "enaSupport", "true")
    if image is None:
        put(item, "blockDeviceMapping/item/ebs/volumeSize", Disk.size)
        put(item, "blockDeviceMapping/item/ebs/deleteOnTermination", "true")
        return
    put(item, "imageState", image.state)
    put(item, "hypervisor", "xen")
    put(item, "rootDeviceType", "ebs")
    put(item, "rootDeviceName", ROOT_DEVICE)
    put(item, "blockDeviceMapping/item/deviceName", ROOT_DEVICE)
    disk = {
        "volumeSize": image.disk.size,
        "volumeType": image.disk.kind,
        "encrypted": image.disk.encrypted,
        "deleteOnTermination": "true",
    }
    for name, value in disk.items():
        put(item, f"blockDeviceMapping/item/ebs/{name}", value)
    for name, value in image.source.items():
        put(item, name, value)
    if image.imds:
        put(item, "imdsSupport", image.imds)
    if image.deprecated:
        put(item, "deprecationTime", image.deprecated)
    if image.description is not None:
        put(item, "description", image.description)
    if image.reason:
        put(item, "stateReason/message", image.reason)


def leave_out_others(root: Element) -> None:
    """Remove the snapshots that are not this account's from an answer."""
    snapshots = root.find("snapshotSet")
    for item in list(snapshots) if snapshots is not None else ():
        if text_of(item, "ownerId") != ACCOUNT:
            snapshots.remove(item)  # type: ignore[union-attr]
