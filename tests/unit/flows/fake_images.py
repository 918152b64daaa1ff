"""EC2 as far as copies ask it, in as many regions as wanted.

moto forgets a copy's tags, token and encryption, and makes it available at once; here
they behave as the EC2 API reference says of CopyImage and DescribeImages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from annexkit.aws import AwsError

ACCOUNT = "123456789012"


def refusal(code: str, action: str, region: str, *, refused: bool = True) -> AwsError:
    return AwsError("no", code=code, action=action, region=region, refused=refused)


@dataclass
class FakeImages:
    """``looks``: how often a new copy is described as pending, by region.

    ``fails``: how many copies of a region end as failed. ``errors``: (region, method)
    → the errors of the next calls, one after another; None lets a call through.
    """

    account: str = ACCOUNT
    endpoint: str = "aws"
    images: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    fails: Counter[str] = field(default_factory=Counter)
    errors: dict[tuple[str, str], list[AwsError | None]] = field(default_factory=dict)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: list[dict[str, Any]] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)
    _tokens: dict[tuple[str, str], tuple[dict[str, Any], str]] = field(
        default_factory=dict
    )
    _lock: Lock = field(default_factory=Lock)

    def check_regions(self, regions: object) -> None:
        """Know every region."""

    def put(self, region: str, ami: str, **said: Any) -> dict[str, Any]:
        image = {
            "ImageId": ami,
            "Name": f"name of {ami}",
            "State": "available",
            "CreationDate": f"2026-01-01T00:00:{len(self.images):02}.000Z",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {"SnapshotId": f"snap-{ami[4:]}", "Encrypted": True},
                }
            ],
            "ImdsSupport": "v2.0",
            "Tags": [],
            **said,
        }
        self.images[region, ami] = image
        return image

    def of(self, region: str) -> list[dict[str, Any]]:
        return [said for (where, _), said in self.images.items() if where == region]

    def describe_images(self, region: str, **asked: Any) -> list[dict[str, Any]]:
        self._count(region, "describe_images")
        assert asked["Owners"] == ["self"]
        found = [said for said in self.of(region) if self._wanted(said, asked)]
        missing = set(asked.get("ImageIds", [])) - {said["ImageId"] for said in found}
        if missing:
            raise refusal("InvalidAMIID.NotFound", "DescribeImages", region)
        if found and self.hidden[region] > 0:
            self.hidden[region] -= 1
            return []
        for said in found:
            self._age(region, said)
        return [dict(said) for said in found]

    def call(self, region: str, method: str, **asked: Any) -> dict[str, Any]:
        self._count(region, method)
        answer: dict[str, Any] = getattr(self, f"_{method}")(region, asked)
        return answer

    def pages(self, region: str, method: str, key: str, **asked: Any) -> Iterator[Any]:
        assert method == "describe_snapshots"
        return iter(())

    def _copy_image(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            key = region, asked["ClientToken"]
            if key in self._tokens:
                before, ami = self._tokens[key]
                if before != asked:
                    raise refusal("IdempotentParameterMismatch", "CopyImage", region)
                return {"ImageId": ami}
            if any(said["Name"] == asked["Name"] for said in self.of(region)):
                raise refusal("InvalidAMIName.Duplicate", "CopyImage", region)
            ami = f"ami-{len(self.asked) + 0x1000:017x}"
            self.asked.append({"Region": region, **asked})
            (image,) = (
                spec["Tags"]
                for spec in asked["TagSpecifications"]
                if spec["ResourceType"] == "image"
            )
            self.put(
                region,
                ami,
                Name=asked["Name"],
                State="pending",
                ImdsSupport="",
                Tags=image,
            )
            self._tokens[key] = asked, ami
        return {"ImageId": ami}

    def _modify_image_attribute(self, region: str, asked: dict[str, Any]) -> Any:
        said = self.images[region, asked["ImageId"]]
        said["ImdsSupport"] = asked["ImdsSupport"]["Value"]
        return {}

    def _create_tags(self, region: str, asked: dict[str, Any]) -> Any:
        new = {tag["Key"] for tag in asked["Tags"]}
        for said in self._tagged(region, asked):
            kept = [tag for tag in said["Tags"] if tag["Key"] not in new]
            said["Tags"] = [*kept, *asked["Tags"]]
        return {}

    def _delete_tags(self, region: str, asked: dict[str, Any]) -> Any:
        gone = {tag["Key"] for tag in asked["Tags"]}
        for said in self._tagged(region, asked):
            said["Tags"] = [tag for tag in said["Tags"] if tag["Key"] not in gone]
        return {}

    def _tagged(self, region: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        assert all(asked["Resources"]), "an empty id"
        return [
            said for said in self.of(region) if said["ImageId"] in asked["Resources"]
        ]

    def _deregister_image(self, region: str, asked: dict[str, Any]) -> Any:
        del self.images[region, asked["ImageId"]]
        return {}

    def _delete_snapshot(self, region: str, asked: dict[str, Any]) -> Any:
        return {}

    def _age(self, region: str, said: dict[str, Any]) -> None:
        if said["State"] != "pending":
            return
        if self.looks[region] > 0:
            self.looks[region] -= 1
        elif self.fails[region] > 0:
            self.fails[region] -= 1
            said |= {"State": "failed", "StateReason": {"Message": "no such key"}}
        else:
            said["State"] = "available"

    def _count(self, region: str, method: str) -> None:
        self.calls[region, method] += 1
        queue = self.errors.get((region, method), [])
        error = queue.pop(0) if queue else None
        if error:
            raise error

    @staticmethod
    def _wanted(said: dict[str, Any], asked: dict[str, Any]) -> bool:
        if "ImageIds" in asked:
            return said["ImageId"] in asked["ImageIds"]
        own = {tag["Key"]: tag["Value"] for tag in said["Tags"]}
        for one in asked["Filters"]:
            name, values = one["Name"], one["Values"]
            if name == "image-id" and said["ImageId"] not in values:
                return False
            if name.startswith("tag:") and own.get(name[4:]) not in values:
                return False
        return True
