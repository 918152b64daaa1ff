"""The AMI that a builder starts from, resolved before anything is rendered.

By us and not by Packer: an id is provenance and goes into the digest, and Packer's data
sources run even for builds that are left out (packer issue 11037).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from annexkit.bake.recipe import SUFFIX, Image
from annexkit.errors import UsageError


class Cloud(Protocol):
    """What this module needs of EC2."""

    def describe_images(self, region: str, **kwargs: Any) -> list[dict[str, Any]]:
        """Return all pages of DescribeImages."""
        ...


@dataclass(frozen=True)
class BaseAmi:
    """A base AMI as DescribeImages tells it.

    ``creation_date`` is ISO 8601 text as EC2 writes it, ``root_size`` GiB (0: unknown).
    """

    id: str
    name: str
    owner: str
    creation_date: str
    root_device: str
    root_size: int = 0


def resolve_base(cloud: Cloud, image: Image, arch: str, region: str) -> BaseAmi:
    """Find the newest base AMI of *image* in *region*; one API call.

    :raises UsageError: none matches, two are equally new, or it does not fit the root
        volume of the recipe.
    """
    pattern = image.base.name[image.architecture(arch)]
    sought = f"{image.base.owner} '{pattern}' ({arch}) in {region}"
    recipe = f"{image.name}{SUFFIX}"
    found = cloud.describe_images(
        region, Owners=[image.base.owner], Filters=_filters(pattern, arch)
    )
    if not found:
        raise UsageError(
            f"no base AMI: owner {sought}",
            where=recipe,
            mend="check base.owner and base.name, or bake in another region",
        )
    newest = max(str(ami.get("CreationDate", "")) for ami in found)
    same = [_base(ami) for ami in found if str(ami.get("CreationDate", "")) == newest]
    if len(same) > 1:
        both = " and ".join(sorted(f"{ami.id} ({ami.name})" for ami in same))
        raise UsageError(
            f"{len(same)} base AMIs are equally new ({newest}): {both}",
            where=f"owner {sought}",
            mend=f"make base.name in {recipe} match only one of them",
        )
    return _fitting(same[0], image)


def _fitting(base: BaseAmi, image: Image) -> BaseAmi:
    if not base.root_device:
        raise UsageError(
            f"base AMI {base.id} ({base.name}) has no root device name",
            mend="choose a base AMI with an EBS root volume",
        )
    if base.root_size > image.root_volume.size:
        raise UsageError(
            f"root_volume.size is {image.root_volume.size} GiB, but base AMI {base.id} "
            f"({base.name}) needs {base.root_size}",
            where=f"{image.name}{SUFFIX}",
            mend=f"set root_volume.size to {base.root_size} or more",
        )
    return base


def _filters(pattern: str, arch: str) -> list[dict[str, Any]]:
    wanted = {
        "name": pattern,
        "architecture": arch,
        "state": "available",
        "root-device-type": "ebs",
        "virtualization-type": "hvm",
    }
    return [{"Name": name, "Values": [value]} for name, value in wanted.items()]


def _base(ami: Mapping[str, Any]) -> BaseAmi:
    device = str(ami.get("RootDeviceName", ""))
    sizes = [
        int(mapping.get("Ebs", {}).get("VolumeSize", 0))
        for mapping in ami.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == device
    ]
    return BaseAmi(
        id=str(ami["ImageId"]),
        name=str(ami.get("Name", "")),
        owner=str(ami.get("OwnerId", "")),
        creation_date=str(ami.get("CreationDate", "")),
        root_device=device,
        root_size=max(sizes, default=0),
    )
