"""Find what carries annexkit's tags or name in one region."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.instances import from_tags

ALIVE = ["pending", "running", "stopping", "stopped"]
# Every name of ours has a build id in it; the prefix alone could be anybody's.
BUILD_ID = r"\d{8}T\d{6}-[0-9a-f]{6}"


@dataclass(frozen=True)
class Thing:
    """Something in EC2 that may be ours.

    ``created`` is in epoch seconds, None where EC2 does not say (security groups).
    ``parts`` are the snapshots of an image.
    """

    kind: str
    id: str
    region: str
    name: str = ""
    state: str = ""
    created: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    @property
    def build(self) -> str:
        """The build it was made for, by its tag."""
        return self.tags.get(tags.BUILD, "")

    @property
    def launch(self) -> str:
        """The launch it was made by, by its tag; what has one is an annex's."""
        return self.tags.get(tags.LAUNCH, "")

    @property
    def key(self) -> str:
        """One string that names it in the whole account."""
        return f"{self.region}/{self.kind}/{self.id}"


def find_things(cloud: Cloud, region: str, prefix: str) -> list[Thing]:
    """Return what is tagged by annexkit, or named with *prefix*, in one region.

    :raises AwsError: EC2 could not be asked; nothing is known of the region then.
    """
    things = [
        *_instances(cloud, region),
        *_images(cloud, region, prefix),
        *_volumes(cloud, region),
        *_snapshots(cloud, region),
        *_key_pairs(cloud, region, prefix),
        *_security_groups(cloud, region, prefix),
    ]
    in_images = {part for t in things if t.kind == "image" for part in t.parts}
    return [t for t in things if t.kind != "snapshot" or t.id not in in_images]


def _instances(cloud: Cloud, region: str) -> Iterator[Thing]:
    filters = [
        _by_tag(tags.BUILD, tags.LAUNCH),
        {"Name": "instance-state-name", "Values": [*ALIVE, "shutting-down"]},
    ]
    for page in cloud.pages(
        region, "describe_instances", "Reservations", Filters=filters
    ):
        for said in page["Instances"]:
            if said["State"]["Name"] in ALIVE:
                yield _thing(
                    "instance",
                    said["InstanceId"],
                    region,
                    said,
                    state=said["State"]["Name"],
                    created=said.get("LaunchTime"),
                )
            if tags.BUILD in from_tags(said.get("Tags", [])):
                yield from _packer_groups(said, region)


def _packer_groups(said: dict[str, Any], region: str) -> Iterator[Thing]:
    """Yield the groups that Packer 1.6 makes for a builder and cannot tag.

    They are known by their builder only: named ``packer_`` and a random id.
    """
    interfaces = said.get("NetworkInterfaces", [])
    groups = [*said.get("SecurityGroups", []), *_groups_of(interfaces)]
    found = {g["GroupId"]: g["GroupName"] for g in groups}
    for group, name in found.items():
        if name.startswith("packer_"):
            yield _thing("security-group", group, region, said, name=name)


def _groups_of(interfaces: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for interface in interfaces:
        yield from interface.get("Groups", [])


def _images(cloud: Cloud, region: str, prefix: str) -> Iterator[Thing]:
    filters = [{"Name": "name", "Values": [f"{prefix}-*"]}]
    for said in cloud.describe_images(region, Owners=["self"], Filters=filters):
        if not _ours(said, said.get("Name", ""), prefix):
            continue
        yield _thing(
            "image",
            said["ImageId"],
            region,
            said,
            name=said.get("Name", ""),
            state=said.get("State", ""),
            created=said.get("CreationDate"),
            parts=tuple(
                mapping["Ebs"]["SnapshotId"]
                for mapping in said.get("BlockDeviceMappings", [])
                if mapping.get("Ebs", {}).get("SnapshotId")
            ),
        )


def _volumes(cloud: Cloud, region: str) -> Iterator[Thing]:
    # Volumes in use go with their instance; only the loose ones are left behind.
    loose = {"Name": "status", "Values": ["available"]}
    for key in (tags.BUILD, tags.LAUNCH):
        filters = [_by_tag(key), loose]
        for said in cloud.pages(region, "describe_volumes", "Volumes", Filters=filters):
            yield _thing(
                "volume", said["VolumeId"], region, said, created=said.get("CreateTime")
            )


def _snapshots(cloud: Cloud, region: str) -> Iterator[Thing]:
    for said in cloud.pages(
        region,
        "describe_snapshots",
        "Snapshots",
        OwnerIds=["self"],
        Filters=[_by_tag(tags.BUILD)],
    ):
        yield _thing(
            "snapshot", said["SnapshotId"], region, said, created=said.get("StartTime")
        )


def _key_pairs(cloud: Cloud, region: str, prefix: str) -> Iterator[Thing]:
    for said in cloud.pages(region, "describe_key_pairs", "KeyPairs"):
        name = said["KeyName"]
        if _ours(said, name, prefix):
            yield _thing(
                "key-pair",
                said.get("KeyPairId", name),
                region,
                said,
                name=name,
                created=said.get("CreateTime"),
            )


def _security_groups(cloud: Cloud, region: str, prefix: str) -> Iterator[Thing]:
    for said in cloud.pages(region, "describe_security_groups", "SecurityGroups"):
        name = said.get("GroupName", "")
        if _ours(said, name, prefix):
            yield _thing("security-group", said["GroupId"], region, said, name=name)


def _ours(said: dict[str, Any], name: str, prefix: str) -> bool:
    named = re.fullmatch(rf"{re.escape(prefix)}-(.+-)?{BUILD_ID}(-.+)?", name)
    return bool(named) or tags.BUILD in from_tags(said.get("Tags", []))


def _by_tag(*keys: str) -> dict[str, Any]:
    return {"Name": "tag-key", "Values": list(keys)}


def _thing(
    kind: str,
    thing_id: str,
    region: str,
    said: dict[str, Any],
    *,
    name: str = "",
    state: str = "",
    created: datetime | str | None = None,
    parts: tuple[str, ...] = (),
) -> Thing:
    own = from_tags(said.get("Tags", []))
    return Thing(
        kind=kind,
        id=thing_id,
        region=region,
        name=name or own.get("Name", ""),
        state=state,
        created=_epoch(created),
        tags=own,
        parts=parts,
    )


def _epoch(moment: datetime | str | None) -> float | None:
    if not moment:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
