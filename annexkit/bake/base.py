"""The AMI that a builder starts from, resolved before anything is rendered.

By us and not by Packer: an id is provenance and goes into the digest, and Packer's data
sources run even for builds that are left out (packer issue 11037).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
    found = cloud.describe_images(
        region, Owners=[image.base.owner], Filters=_filters([pattern], [arch])
    )
    return _newest(found, image, arch, region)


def resolve_bases(
    cloud: Cloud, wanted: Sequence[tuple[Image, str]], region: str, account: str
) -> list[BaseAmi | UsageError]:
    """Find the base AMIs of several images in *region*, all by one API call.

    :param wanted: images, each with an architecture that it can be built for.
    :param account: whom the owner ``self`` means.
    :returns: in their order; where none fits, the error that :func:`resolve_base`
        raises.
    """
    found = cloud.describe_images(
        region,
        Owners=sorted({image.base.owner for image, _ in wanted}),
        Filters=_filters(
            sorted({image.base.name[image.architecture(a)] for image, a in wanted}),
            sorted({arch for _, arch in wanted}),
        ),
    )

    def chosen(image: Image, arch: str) -> BaseAmi | UsageError:
        fitting = [said for said in found if _is_of(said, image, arch, account)]
        try:
            return _newest(fitting, image, arch, region)
        except UsageError as error:
            return error

    return [chosen(image, arch) for image, arch in wanted]


def _newest(
    found: Sequence[Mapping[str, Any]], image: Image, arch: str, region: str
) -> BaseAmi:
    pattern = image.base.name[image.architecture(arch)]
    sought = f"{image.base.owner} '{pattern}' ({arch}) in {region}"
    recipe = f"{image.name}{SUFFIX}"
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


def _filters(patterns: Iterable[str], archs: Iterable[str]) -> list[dict[str, Any]]:
    wanted = {
        "name": list(patterns),
        "architecture": list(archs),
        "state": ["available"],
        "root-device-type": ["ebs"],
        "virtualization-type": ["hvm"],
    }
    return [{"Name": name, "Values": values} for name, values in wanted.items()]


def _is_of(said: Mapping[str, Any], image: Image, arch: str, account: str) -> bool:
    """Say whether an AMI of a shared answer is one that this image asked for."""
    owner = account if image.base.owner == "self" else image.base.owner
    return (
        owner in (said.get("OwnerId"), said.get("ImageOwnerAlias"))
        and said.get("Architecture") == arch
        and _like(image.base.name[image.architecture(arch)], str(said.get("Name", "")))
    )


def _like(pattern: str, name: str) -> bool:
    """Match as a filter of EC2: ``*`` and ``?``, and a backslash before either."""
    parts = re.split(r"(\\.|[*?])", pattern)
    wild = {"*": ".*", "?": "."}
    written = (wild.get(p) or re.escape(re.sub(r"^\\(.)$", r"\1", p)) for p in parts)
    return re.fullmatch("".join(written), name, re.DOTALL) is not None


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
