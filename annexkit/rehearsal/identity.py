"""What an instance's metadata service says, read from moto."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from annexkit.rehearsal.imds import Identity, Options
from annexkit.rehearsal.launch import user_data
from annexkit.rehearsal.state import ACCOUNT
from annexkit.rehearsal.wire import ApiError, Call, Element, Moto, tags_of, text_of
from annexkit.waiting import Clock, SystemClock

# A boot asks some sixty times, and moto takes 20 ms of a processor for each: read anew
# only after a call that may have changed something, and now and then all the same.
FRESH = 60.0
CREDENTIALS_RENEWED = 3600


class IdentitySource:
    """Reads one instance's identity; what was read is good until something changes.

    :param roles: is told which role the access keys stand for.
    :param notice: when a spot instance is to end, as the service says it, or nothing.
    """

    def __init__(
        self,
        moto: Moto,
        region: str,
        instance_id: str,
        address: str,
        *,
        roles: dict[str, str],
        notice: Callable[[], str] = str,
        clock: Clock | None = None,
    ) -> None:
        self._roles = roles
        self._notice = notice
        self._moto = moto
        self._region = region
        self._instance_id = instance_id
        self._address = address
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._known: tuple[float, int, Identity] | None = None
        self._role: tuple[float, Identity] | None = None
        self._public_key: str | None = None

    def __call__(self) -> Identity:
        """Return the instance's identity as it is now."""
        now = self._clock.monotonic()
        with self._lock:
            changes = (
                self._moto.changes
            )  # before reading: what changes meanwhile counts
            then, before, identity = self._known or (-FRESH, -1, None)
            if identity is None or changes != before or now - then > FRESH:
                identity = self._read()
                self._known = now, changes, identity
        return replace(identity, spot_end=self._notice())

    def _read(self) -> Identity:
        root = self._moto.ec2(
            self._region, "DescribeInstances", InstanceId__1=self._instance_id
        )
        item = root.find("reservationSet/item/instancesSet/item")
        if item is None:
            raise ApiError("InvalidInstanceID.NotFound", self._instance_id)
        identity = self._described(item)
        reservation = root.findtext("reservationSet/item/reservationId") or ""
        identity = replace(
            identity, reservation_id=reservation, user_data=self._user_data()
        )
        return self._with_role(identity, text_of(item, "iamInstanceProfile/arn"))

    def _described(self, item: Element) -> Identity:
        interface = item.find("networkInterfaceSet/item")
        nic = item if interface is None else interface
        groups = [
            (text_of(g, "groupName"), text_of(g, "groupId"))
            for g in nic.iterfind("groupSet/item")
        ]
        return Identity(
            instance_id=self._instance_id,
            image_id=text_of(item, "imageId"),
            instance_type=text_of(item, "instanceType"),
            region=self._region,
            zone=text_of(item, "placement/availabilityZone"),
            account=ACCOUNT,
            private_ip=self._address,
            # one address is all that a machine has, and everybody here reaches it
            public_ip=text_of(item, "ipAddress") and self._address,
            mac=text_of(nic, "macAddress"),
            hostname=private_name(self._region, self._address),
            launch_index=text_of(item, "amiLaunchIndex"),
            architecture=text_of(item, "architecture"),
            vpc_id=text_of(item, "vpcId"),
            subnet_id=text_of(item, "subnetId"),
            interface_id=text_of(nic, "networkInterfaceId"),
            security_groups=tuple(name for name, _ in groups),
            security_group_ids=tuple(group for _, group in groups),
            launched=text_of(item, "launchTime"),
            key_name=text_of(item, "keyName"),
            life_cycle=text_of(item, "instanceLifecycle") or "on-demand",
            public_key=self._key(text_of(item, "keyName")),
            tags=tags_of(item),
            options=_options(item),
        )

    def _key(self, name: str) -> str:
        # kept: deleting a key pair takes nothing from an instance that has it
        if self._public_key is None and name:
            root = self._moto.ec2(
                self._region,
                "DescribeKeyPairs",
                KeyName__1=name,
                IncludePublicKey="true",
            )
            self._public_key = root.findtext("keySet/item/publicKey") or ""
        return self._public_key or ""

    def _user_data(self) -> bytes | None:
        root = self._moto.ec2(
            self._region,
            "DescribeInstanceAttribute",
            InstanceId=self._instance_id,
            Attribute="userData",
        )
        encoded = root.findtext("userData/value")
        return user_data(encoded) if encoded else None

    def _with_role(self, identity: Identity, arn: str) -> Identity:
        if not arn:
            return identity
        now = self._clock.monotonic()
        if self._role is None or now - self._role[0] > CREDENTIALS_RENEWED:
            self._role = now, self._read_role(arn)
        role = self._role[1]
        return replace(
            identity,
            profile_arn=arn,
            profile_id=role.profile_id,
            role=role.role,
            credentials=role.credentials,
        )

    def _read_role(self, arn: str) -> Identity:
        name = arn.rpartition("/")[2]
        params = {"InstanceProfileName": name, "Version": "2010-05-08"}
        got = self._moto.ask(Call("iam", self._region, "GetInstanceProfile", params))
        profile = got.find(".//InstanceProfile")
        if profile is None:
            raise ApiError("NoSuchEntity", f"instance profile {name}", 404)
        found = Identity("", "", "", self._region, "", ACCOUNT, self._address)
        role = text_of(profile, "Roles/member/RoleName")
        credentials = self._assume(text_of(profile, "Roles/member/Arn")) if role else {}
        if key := credentials.get("AccessKeyId"):
            self._roles[key] = role
        identity = text_of(profile, "InstanceProfileId")
        return replace(found, role=role, profile_id=identity, credentials=credentials)

    def _assume(self, arn: str) -> dict[str, str]:
        params = {
            "RoleArn": arn,
            "RoleSessionName": self._instance_id,
            "Version": "2011-06-15",
        }
        got = self._moto.ask(Call("sts", self._region, "AssumeRole", params))
        return {
            "Code": "Success",
            "LastUpdated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Type": "AWS-HMAC",
            "AccessKeyId": got.findtext(".//AccessKeyId") or "",
            "SecretAccessKey": got.findtext(".//SecretAccessKey") or "",
            "Token": got.findtext(".//SessionToken") or "",
            "Expiration": got.findtext(".//Expiration") or "",
        }


def private_name(region: str, address: str) -> str:
    """Return the private DNS name that EC2 gives an address."""
    head = f"ip-{address.replace('.', '-')}"
    return (
        f"{head}.ec2.internal"
        if region == "us-east-1"
        else (f"{head}.{region}.compute.internal")
    )


def _options(item: Element) -> Options:
    return Options(
        tokens=text_of(item, "metadataOptions/httpTokens") or "optional",
        endpoint=text_of(item, "metadataOptions/httpEndpoint") or "enabled",
        tags=text_of(item, "metadataOptions/instanceMetadataTags") or "disabled",
    )
