"""Filters of the Describe calls, applied to the answer that the caller gets.

moto filters before the join corrects what moto says; a filter on something that the
join corrects must therefore be ours. Source: API reference of DescribeInstances and
DescribeImages, "Filters".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from annexkit.rehearsal.wire import Call, Element, tags_of


@dataclass(frozen=True)
class Filter:
    """A filter: one of the values must match; ``*`` and ``?`` are wildcards."""

    name: str
    values: tuple[str, ...]


INSTANCE_PATHS = {
    "architecture": "architecture",
    "availability-zone": "placement/availabilityZone",
    "client-token": "clientToken",
    "dns-name": "dnsName",
    "iam-instance-profile.arn": "iamInstanceProfile/arn",
    "image-id": "imageId",
    "instance-id": "instanceId",
    "instance-lifecycle": "instanceLifecycle",
    "instance-state-code": "instanceState/code",
    "instance-state-name": "instanceState/name",
    "instance-type": "instanceType",
    "instance.group-id": "networkInterfaceSet/item/groupSet/item/groupId",
    "ip-address": "ipAddress",
    "key-name": "keyName",
    "launch-time": "launchTime",
    "metadata-options.http-tokens": "metadataOptions/httpTokens",
    "network-interface.addresses.private-ip-address": (
        "networkInterfaceSet/item/privateIpAddressesSet/item/privateIpAddress"
    ),
    "private-dns-name": "privateDnsName",
    "private-ip-address": "privateIpAddress",
    "root-device-type": "rootDeviceType",
    "subnet-id": "subnetId",
    "vpc-id": "vpcId",
}

IMAGE_PATHS = {
    "architecture": "architecture",
    "block-device-mapping.encrypted": "blockDeviceMapping/item/ebs/encrypted",
    "block-device-mapping.snapshot-id": "blockDeviceMapping/item/ebs/snapshotId",
    "block-device-mapping.volume-type": "blockDeviceMapping/item/ebs/volumeType",
    "creation-date": "creationDate",
    "description": "description",
    "ena-support": "enaSupport",
    "hypervisor": "hypervisor",
    "image-id": "imageId",
    "image-type": "imageType",
    "imds-support": "imdsSupport",
    "is-public": "isPublic",
    "name": "name",
    "owner-alias": "imageOwnerAlias",
    "owner-id": "imageOwnerId",
    "root-device-name": "rootDeviceName",
    "root-device-type": "rootDeviceType",
    "source-image-id": "sourceImageId",
    "source-image-region": "sourceImageRegion",
    "source-instance-id": "sourceInstanceId",
    "state": "imageState",
    "virtualization-type": "virtualizationType",
}


def read(call: Call) -> list[Filter]:
    """Read the filters of a call."""
    found = []
    for group in call.groups("Filter"):
        values = Call("", "", "", group).members("Value")
        found.append(Filter(group.get("Name", ""), tuple(values)))
    return found


def split(
    filters: Iterable[Filter], paths: Mapping[str, str]
) -> tuple[list[Filter], list[Filter]]:
    """Part the filters that *paths* can answer from all others."""
    ours: list[Filter] = []
    others: list[Filter] = []
    for one in filters:
        (ours if _known(one.name, paths) else others).append(one)
    return ours, others


def params(filters: Iterable[Filter]) -> dict[str, str]:
    """Write filters as parameters of a call."""
    found: dict[str, str] = {}
    for number, one in enumerate(filters, 1):
        found[f"Filter.{number}.Name"] = one.name
        for place, value in enumerate(one.values, 1):
            found[f"Filter.{number}.Value.{place}"] = value
    return found


def matches(item: Element, filters: Sequence[Filter], paths: Mapping[str, str]) -> bool:
    """Whether a described resource passes every filter."""
    return all(_passes(item, one, paths) for one in filters)


def _known(name: str, paths: Mapping[str, str]) -> bool:
    return name in paths or name.startswith("tag:") or name == "tag-key"


def _passes(item: Element, one: Filter, paths: Mapping[str, str]) -> bool:
    if one.name == "tag-key":
        there: Iterable[str] = tags_of(item)
    elif one.name.startswith("tag:"):
        tags = tags_of(item)
        key = one.name.removeprefix("tag:")
        there = [tags[key]] if key in tags else []
    else:
        there = [found.text or "" for found in item.iterfind(paths[one.name])]
    return any(_pattern(v).fullmatch(text) for v in one.values for text in there)


@lru_cache(maxsize=512)
def _pattern(value: str) -> re.Pattern[str]:
    parts = re.split(r"(\\.|[*?])", value)
    written = {"*": ".*", "?": "."}
    return re.compile(
        "".join(
            written.get(p)
            or re.escape(p[1:] if p.startswith("\\") and len(p) == 2 else p)
            for p in parts
        ),
        re.DOTALL,
    )
