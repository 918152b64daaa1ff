"""What is asked of EC2 for instances, and what it says of them: values, no calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from annexkit.errors import AnnexkitError

USER_DATA_BYTES = 16_384  # RunInstances, parameter UserData: raw size limit
TAGGED = ("instance", "volume", "network-interface")


class InstanceError(AnnexkitError):
    """An instance did not come up, or cannot be used."""


@dataclass(frozen=True)
class Launch:
    """One RunInstances request; everything is terminated on power-off (law 5).

    :param least: the fewest that are better than none (MinCount); *count* when None.
    :param market: ``on-demand`` or ``spot``.
    """

    region: str
    ami: str
    instance_type: str
    count: int
    token: str
    user_data: str
    tags: dict[str, str]
    security_group: str
    subnet_id: str = ""
    public_ip: bool = True
    least: int | None = None
    instance_profile: str = ""
    key_name: str = ""
    market: str = "on-demand"

    def parameters(self) -> dict[str, Any]:
        """Return RunInstances' parameters (EC2 API reference, RunInstances).

        :raises InstanceError: the user data is larger than EC2 takes.
        """
        if len(self.user_data.encode()) > USER_DATA_BYTES:
            raise InstanceError(
                f"the user data has {len(self.user_data.encode())} bytes, EC2 takes "
                f"{USER_DATA_BYTES}",
                mend="shorten the files in cloud-init/, or launch.users in invoke.yaml",
            )
        kinds = (*TAGGED, "spot-instances-request") if self._spot else TAGGED
        return self._options() | {
            "ImageId": self.ami,
            "InstanceType": self.instance_type,
            "MinCount": self.count if self.least is None else self.least,
            "MaxCount": self.count,
            "ClientToken": self.token,
            "UserData": self.user_data,
            "NetworkInterfaces": [self._interface()],
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "HttpEndpoint": "enabled",
                "InstanceMetadataTags": "enabled",
            },
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": as_tags(self.tags)} for kind in kinds
            ],
        }

    @property
    def _spot(self) -> bool:
        return self.market == "spot"

    def _interface(self) -> dict[str, Any]:
        """Return the network interface; groups and address belong inside of it."""
        interface: dict[str, Any] = {
            "DeviceIndex": 0,
            "Groups": [self.security_group],
            "AssociatePublicIpAddress": self.public_ip,
            "DeleteOnTermination": True,
        }
        if self.subnet_id:
            interface["SubnetId"] = self.subnet_id
        return interface

    def _options(self) -> dict[str, Any]:
        """Return the parameters that only some launches have."""
        options: dict[str, Any] = {}
        if self.instance_profile:
            options["IamInstanceProfile"] = {"Name": self.instance_profile}
        if self.key_name:
            options["KeyName"] = self.key_name
        if self._spot:  # a persistent request would outlive the instance and renew it
            options["InstanceMarketOptions"] = {
                "MarketType": "spot",
                "SpotOptions": {
                    "SpotInstanceType": "one-time",
                    "InstanceInterruptionBehavior": "terminate",
                },
            }
        return options


@dataclass(frozen=True)
class Instance:
    """What EC2 says of one instance; ``reason`` is why it is in its state, if said."""

    id: str
    region: str
    state: str
    private_ip: str = ""
    public_ip: str = ""
    launched: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    instance_type: str = ""
    zone: str = ""
    market: str = "on-demand"
    ami: str = ""
    subnet_id: str = ""
    token: str = ""
    reason: str = ""

    @classmethod
    def read(cls, region: str, said: dict[str, Any]) -> Instance:
        """Take what annexkit uses from one DescribeInstances item."""
        launched = said.get("LaunchTime")
        return cls(
            id=said["InstanceId"],
            region=region,
            state=said["State"]["Name"],
            private_ip=said.get("PrivateIpAddress", ""),
            public_ip=said.get("PublicIpAddress", ""),
            launched=launched.timestamp() if launched else 0.0,
            tags=from_tags(said.get("Tags", [])),
            instance_type=said.get("InstanceType", ""),
            zone=said.get("Placement", {}).get("AvailabilityZone", ""),
            market=said.get("InstanceLifecycle") or "on-demand",
            ami=said.get("ImageId", ""),
            subnet_id=said.get("SubnetId", ""),
            token=said.get("ClientToken", ""),
            reason=_reason(said.get("StateReason", {})),
        )

    def address(self, interface: str) -> str:
        """Return the address to reach it at; ``public_ip`` or ``private_ip``."""
        return self.public_ip if interface == "public_ip" else self.private_ip


def _reason(said: dict[str, str]) -> str:
    code, message = said.get("Code", ""), said.get("Message", "")
    return message if code in message else f"{code}: {message}".rstrip(": ")


def as_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    """Write tags the way EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def from_tags(tags: Iterable[dict[str, str]]) -> dict[str, str]:
    """Read tags the way EC2 gives them."""
    return {tag["Key"]: tag["Value"] for tag in tags}
