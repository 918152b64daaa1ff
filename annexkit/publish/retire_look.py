"""What EC2 says of the AMIs of one region, and who in it uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from annexkit import instances, tags
from annexkit.aws import Cloud
from annexkit.instances import Instance, from_tags
from annexkit.publish.forms import PARAMETERS
from annexkit.publish.retention import Copy, Seen

ALIVE = ["pending", "running", "stopping", "stopped"]
A_FILTER = 200  # values in one filter (DescribeInstances)
AT_ONCE = 10  # names in one GetParameters
GIB = 2**30

Uses = dict[str, list[tuple[str, str]]]  # AMI id → (guard, reason)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of ours: its build by its tag, and its size in GiB.

    ``about``: its description; CreateImage and CopyImage name their AMI in it.
    """

    id: str
    build: str
    size: float
    about: str = ""


@dataclass(frozen=True)
class Region:
    """The AMIs and snapshots that this account has in one region.

    ``snapshots``: those with our tag. ``used``: all that an AMI of the account needs.
    """

    name: str
    images: Mapping[str, Seen] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def fill(self, copy: Copy, known: str) -> Copy:
        """Return what the registry has of an AMI with what EC2 says of it.

        :param known: the snapshot that the registry names; may be empty.
        """
        seen = self.images.get(copy.ami)
        if seen is not None:
            return replace(copy, seen=seen)
        # The tag alone may stand on a backup that somebody made of the snapshot.
        left = [
            s
            for s in self.snapshots.values()
            if s.build == copy.build
            and (s.id == known or copy.ami in s.about)
            and s.id not in self.used
        ]
        return replace(
            copy,
            left=tuple(sorted(s.id for s in left)),
            left_size=sum(s.size for s in left),
        )


def look(cloud: Cloud, region: str) -> Region:
    """Ask for the AMIs and snapshots of this account: two calls, in pages.

    :raises AwsError: EC2 could not be asked; nothing is known of the region then.
    """
    snapshots = {s.id: s for s in _snapshots(cloud, region)}
    return read(region, own_images(cloud, region), snapshots)


def own_images(cloud: Cloud, region: str) -> list[dict[str, Any]]:
    """Ask for the AMIs of this account, disabled ones as well: one call, in pages.

    :raises AwsError: EC2 could not be asked.
    """
    return cloud.describe_images(region, Owners=["self"], IncludeDisabled=True)


def read(
    region: str,
    described: Iterable[Mapping[str, Any]],
    snapshots: Mapping[str, Snapshot],
) -> Region:
    """Return what EC2 said of a region.

    :param snapshots: empty when nobody asked for them: what is left of AMIs that are
        gone is not known then, and the sizes are those of the disks.
    """
    images: dict[str, Seen] = {}
    used: set[str] = set()
    for said in described:
        disks = _disks(said)
        used |= disks.keys()
        images[said["ImageId"]] = Seen(
            state=said.get("State", ""),
            tags=from_tags(said.get("Tags", [])),
            deprecated_at=_epoch(said.get("DeprecationTime")),
            last_launched=_epoch(said.get("LastLaunchedTime")),
            protected=said.get("DeregistrationProtection", "disabled") != "disabled",
            public=bool(said.get("Public")),
            snapshots=tuple(sorted(disks)),
            size=sum(
                snapshots[d].size if d in snapshots else size
                for d, size in disks.items()
            ),
        )
    return Region(region, images, snapshots, frozenset(used))


def uses(cloud: Cloud, region: str, copies: Iterable[Copy]) -> Uses:
    """Return who uses these AMIs, as far as this region knows.

    Instances that run or are stopped, with the annex and its lease; launch templates
    (the default and the latest version of each); the SSM parameters that
    ``invoke registry.export --format ssm`` is for; other accounts.

    :raises AwsError: one of them could not be asked.
    """
    asked = {copy.ami: copy for copy in copies}
    found: Uses = {}
    for name, guard in (
        *_by_instances(cloud, region, list(asked)),
        *_by_templates(cloud, region),
        *_by_parameters(cloud, region, asked.values()),
    ):
        found.setdefault(name, []).append(guard)
    for name in asked:
        found.setdefault(name, []).extend(_by_sharing(cloud, region, name))
    return {name: guards for name, guards in found.items() if name in asked and guards}


def _snapshots(cloud: Cloud, region: str) -> Iterator[Snapshot]:
    for said in cloud.pages(
        region,
        "describe_snapshots",
        "Snapshots",
        OwnerIds=["self"],
        Filters=[{"Name": "tag-key", "Values": [tags.BUILD]}],
    ):
        own = from_tags(said.get("Tags", []))
        full = said.get("FullSnapshotSizeInBytes")
        size = full / GIB if full else float(said.get("VolumeSize", 0))
        about = said.get("Description", "")
        yield Snapshot(said["SnapshotId"], own.get(tags.BUILD, ""), size, about)


def _disks(said: Mapping[str, Any]) -> dict[str, float]:
    """Return the snapshots of an image with the sizes of the disks, in GiB."""
    mapped = (m.get("Ebs", {}) for m in said.get("BlockDeviceMappings", []))
    return {
        ebs["SnapshotId"]: float(ebs.get("VolumeSize") or 0)
        for ebs in mapped
        if ebs.get("SnapshotId")
    }


def _by_instances(
    cloud: Cloud, region: str, amis: list[str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for at in range(0, len(amis), A_FILTER):
        filters = {
            "image-id": amis[at : at + A_FILTER],
            "instance-state-name": ALIVE,
        }
        for instance in instances.find(cloud, region, filters):
            yield instance.ami, _said_of(instance)


def _said_of(instance: Instance) -> tuple[str, str]:
    """Return the guard of one instance; an annex's has a lease."""
    there = f"{instance.id} of it is {instance.state}"
    expires = tags.expiry(instance.tags)
    if tags.LAUNCH not in instance.tags or expires is None:
        return "instances", there
    annex = instance.tags.get(tags.ANNEX, "?")
    until = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return "lease", f"{there}: annex {annex}, leased until {until}"


def _by_templates(cloud: Cloud, region: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what launch templates name; those that resolve a parameter name none."""
    for said in cloud.pages(
        region,
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        Versions=["$Latest", "$Default"],
    ):
        ami = said.get("LaunchTemplateData", {}).get("ImageId", "")
        name, number = said.get("LaunchTemplateName", ""), said.get("VersionNumber")
        why = f"version {number} of the launch template {name} names it"
        yield ami, ("launch templates", why)


def _by_parameters(
    cloud: Cloud, region: str, copies: Iterable[Copy]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what our own parameters name; launch templates may resolve them."""
    names = sorted({f"{PARAMETERS}/{copy.image}/{copy.arch}" for copy in copies})
    for at in range(0, len(names), AT_ONCE):
        said = cloud.call(
            region, "get_parameters", service="ssm", Names=names[at : at + AT_ONCE]
        )
        for parameter in said.get("Parameters", []):
            why = f"the SSM parameter {parameter['Name']} names it"
            yield parameter["Value"], ("parameters", why)


def _by_sharing(cloud: Cloud, region: str, ami: str) -> Iterator[tuple[str, str]]:
    said = cloud.call(
        region, "describe_image_attribute", ImageId=ami, Attribute="launchPermission"
    )
    given = said.get("LaunchPermissions", [])
    whom = sorted(str(name) for one in given for name in one.values())
    if whom:
        more = f" and {len(whom) - 3} more" if len(whom) > 3 else ""
        yield "sharing", f"it is shared with {', '.join(whom[:3])}{more}"


def _epoch(moment: str | None) -> float | None:
    if not moment:
        return None
    there = datetime.fromisoformat(moment)
    return (there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp()
