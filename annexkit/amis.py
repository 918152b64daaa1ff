"""AMIs as EC2 describes them, and the one attribute that each of ours must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.instance_values import from_tags
from annexkit.waiting import Clock, wait_for

AVAILABLE = "available"
TOKENS = "v2.0"  # ModifyImageAttribute, ImdsSupport


class AmiError(AnnexkitError):
    """An AMI is not there, or not as it must be."""


@dataclass(frozen=True)
class Ami:
    """One AMI of this account.

    :param snapshot: of its root volume; empty while EC2 does not name it.
    :param state: as DescribeImages says it: pending, available, failed, ...
    :param why: EC2's reason for a state that is none of the good ones.
    """

    id: str
    region: str
    name: str = ""
    snapshot: str = ""
    state: str = ""
    why: str = ""
    description: str = ""
    encrypted: bool = False
    imds: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def find(cloud: Cloud, region: str, tags: dict[str, str]) -> list[Ami]:
    """Return our AMIs that carry all these tags, oldest first.

    :raises AwsError: EC2 could not be asked.
    """
    filters = [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in tags]
    found = cloud.describe_images(region, Owners=["self"], Filters=filters)
    found.sort(key=lambda said: str(said.get("CreationDate", "")))
    return [read(region, said) for said in found]


def get(cloud: Cloud, region: str, ami: str) -> Ami | None:
    """Return one AMI of ours; None when it is not there (any more).

    :raises AwsError: EC2 could not be asked.
    """
    try:
        found = cloud.describe_images(region, ImageIds=[ami], Owners=["self"])
    except AwsError as error:
        if error.code.startswith("InvalidAMIID."):
            return None
        raise
    return read(region, found[0]) if found else None


def require_tokens(
    cloud: Cloud, region: str, ami: str, *, poll: float, clock: Clock
) -> None:
    """Set ``ImdsSupport=v2.0`` on an AMI and read it back (law 7).

    :raises Deadline: EC2 took it, and does not show it.
    """
    cloud.call(
        region, "modify_image_attribute", ImageId=ami, ImdsSupport={"Value": TOKENS}
    )

    def read_back() -> bool:
        found = get(cloud, region, ami)
        return found is not None and found.imds == TOKENS

    wait_for(
        read_back,
        what=f"ImdsSupport={TOKENS} on {ami} in {region}, after it was set",
        timeout=60,
        poll=poll,
        clock=clock,
        mend="run the same command again; if it stays so, see AWS's page on "
        "ImdsSupport",
    )


def root(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what DescribeImages says of the root device's volume; empty if nothing."""
    for mapping in said.get("BlockDeviceMappings", []):
        if mapping.get("DeviceName") == said.get("RootDeviceName"):
            found: Mapping[str, Any] = mapping.get("Ebs", {})
            return found
    return {}


def read(region: str, said: Mapping[str, Any]) -> Ami:
    """Return one image of DescribeImages as :class:`Ami`."""
    disk = root(said)
    return Ami(
        id=said["ImageId"],
        region=region,
        name=said.get("Name", ""),
        snapshot=disk.get("SnapshotId", ""),
        state=said.get("State", ""),
        why=said.get("StateReason", {}).get("Message", ""),
        description=said.get("Description", ""),
        encrypted=bool(disk.get("Encrypted")),
        imds=said.get("ImdsSupport", ""),
        tags=from_tags(said.get("Tags", [])),
    )
