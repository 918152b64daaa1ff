"""Instances and what they need for a short life: launch, wait, console, end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.waiting import Clock, SystemClock, wait_for

USER_DATA_BYTES = 16_384  # RunInstances, parameter UserData: raw size limit
ENDED = ("shutting-down", "terminated")
SETTLE = 60.0  # seconds that EC2 may hide what it has accepted
GONE_CODES = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")


class InstanceError(AnnexkitError):
    """An instance did not come up, or cannot be used."""


@dataclass(frozen=True)
class Launch:
    """One RunInstances request; everything is terminated on power-off (law 5)."""

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

    def parameters(self) -> dict[str, Any]:
        """Return RunInstances' parameters (EC2 API reference, RunInstances).

        :raises InstanceError: the user data is larger than EC2 takes.
        """
        if len(self.user_data.encode()) > USER_DATA_BYTES:
            raise InstanceError(
                f"the user data has {len(self.user_data.encode())} bytes, EC2 takes "
                f"{USER_DATA_BYTES}",
                mend="shorten the files in cloud-init/",
            )
        interface: dict[str, Any] = {
            "DeviceIndex": 0,
            "Groups": [self.security_group],
            "AssociatePublicIpAddress": self.public_ip,
            "DeleteOnTermination": True,
        }
        if self.subnet_id:
            interface["SubnetId"] = self.subnet_id
        return {
            "ImageId": self.ami,
            "InstanceType": self.instance_type,
            "MinCount": self.count,
            "MaxCount": self.count,
            "ClientToken": self.token,
            "UserData": self.user_data,
            "NetworkInterfaces": [interface],
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "HttpEndpoint": "enabled",
                "InstanceMetadataTags": "enabled",
            },
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": as_tags(self.tags)}
                for kind in ("instance", "volume", "network-interface")
            ],
        }


@dataclass(frozen=True)
class Instance:
    """What EC2 says of one instance."""

    id: str
    region: str
    state: str
    private_ip: str = ""
    public_ip: str = ""
    launched: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)

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
        )

    def address(self, interface: str) -> str:
        """Return the address to reach it at; ``public_ip`` or ``private_ip``."""
        return self.public_ip if interface == "public_ip" else self.private_ip


def as_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    """Write tags the way EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def from_tags(tags: Iterable[dict[str, str]]) -> dict[str, str]:
    """Read tags the way EC2 gives them."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def run(cloud: Cloud, launch: Launch) -> list[str]:
    """Launch, and return the instance ids; equal tokens give the same instances.

    :raises AwsError: EC2 refused.
    """
    said = cloud.call(
        launch.region, "run_instances", launch=True, **launch.parameters()
    )
    return [item["InstanceId"] for item in said["Instances"]]


def find(
    cloud: Cloud, region: str, filters: dict[str, list[str]], ids: Iterable[str] = ()
) -> list[Instance]:
    """Return the instances EC2 describes for these filters.

    :param ids: keep only these; asked for by filter, so that an id EC2 does not know
        yet is no error (DescribeInstances, eventual consistency).
    """
    asked = dict(filters)
    if wanted := list(ids):
        asked["instance-id"] = wanted
    pages = cloud.pages(
        region,
        "describe_instances",
        "Reservations",
        Filters=[{"Name": name, "Values": values} for name, values in asked.items()],
    )
    return [Instance.read(region, i) for page in pages for i in page["Instances"]]


def wait_running(
    cloud: Cloud,
    region: str,
    ids: list[str],
    *,
    interface: str,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> list[Instance]:
    """Wait until all run and have an address; return them in the order of *ids*.

    :raises InstanceError: one ended on the way, with EC2's reason.
    :raises Deadline: not in time.
    """

    def all_running() -> list[Instance] | None:
        found = {i.id: i for i in find(cloud, region, {}, ids)}
        for instance in found.values():
            if instance.state in ENDED:
                raise InstanceError(
                    f"the instance is {instance.state} before it ran",
                    where=f"{instance.id} in {region}",
                    mend=f"see why: aws ec2 describe-instances --region {region} "
                    f"--instance-ids {instance.id}",
                )
        up = [
            i for i in found.values() if i.state == "running" and i.address(interface)
        ]
        return [found[i] for i in ids] if len(up) == len(ids) else None

    return wait_for(
        all_running,
        what=f"instances {', '.join(ids)} running in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
    )


def console_text(cloud: Cloud, region: str, instance_id: str) -> str:
    """Return the console's newest output; empty while there is none.

    At most the last 64 KB are kept by EC2 (GetConsoleOutput, parameter Latest).
    """
    said = cloud.call(region, "get_console_output", InstanceId=instance_id, Latest=True)
    return str(said.get("Output") or "")


def terminate(cloud: Cloud, region: str, ids: Iterable[str]) -> None:
    """Terminate instances; one that is gone already is as good.

    One bad id and EC2 terminates none of a request, so after an error each goes alone.
    """
    todo = list(ids)
    if not todo:
        return
    try:
        cloud.call(region, "terminate_instances", InstanceIds=todo)
    except AwsError as error:
        if error.code not in GONE_CODES:
            raise
        if len(todo) > 1:
            for one in todo:
                terminate(cloud, region, [one])


def wait_ended(
    cloud: Cloud,
    region: str,
    ids: list[str],
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Wait until none of the instances can bill any more.

    :raises Deadline: one still is not shutting down.
    """

    def none_left() -> bool:
        return all(i.state in ENDED for i in find(cloud, region, {}, ids))

    wait_for(
        none_left,
        what=f"the end of {', '.join(ids)} in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
        mend=f"aws ec2 terminate-instances --region {region} "
        f"--instance-ids {' '.join(ids)}",
    )


def end_launch(
    cloud: Cloud,
    region: str,
    ids: list[str],
    token: str,
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """End all that one launch made, also what EC2 does not show yet.

    An instance just launched may be unknown for a while (EC2 API reference, Eventual
    consistency): "not found" counts as ended only once it was seen, or after a minute.

    :param ids: what RunInstances answered; empty when its answer was lost.
    :param token: its client token, which finds them too.
    :raises Deadline: one still is not shutting down.
    """
    clock = clock or SystemClock()
    settled = clock.monotonic() + SETTLE
    filters = {"instance-id": ids} if ids else {"client-token": [token]}

    def ended() -> bool:
        found = find(cloud, region, filters)
        alive = [i.id for i in found if i.state not in ENDED]
        terminate(cloud, region, alive)
        if alive or len(found) >= max(1, len(ids)):
            return not alive
        return clock.monotonic() >= settled

    wait_for(
        ended,
        what=f"the end of the instances of client token {token} in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
        mend="invoke reap",
    )
