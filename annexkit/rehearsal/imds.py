"""The instance metadata service, as one WSGI application per machine.

Source: AWS documentation, "Use the Instance Metadata Service to access instance
metadata" and "Instance metadata categories".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from annexkit.waiting import Clock, SystemClock

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ADDRESS = "169.254.169.254"
VERSIONS = ("2016-09-02", "2018-09-24", "2021-03-23", "latest")
LONGEST = 21600
TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TTL = f"{TOKEN}-ttl-seconds"

Tree = Mapping[str, "str | Tree"]


@dataclass(frozen=True)
class Options:
    """The instance's MetadataOptions, as RunInstances takes them."""

    tokens: str = "required"
    endpoint: str = "enabled"
    tags: str = "disabled"


@dataclass(frozen=True)
class Identity:
    """What an instance may know about itself, at this moment."""

    instance_id: str
    image_id: str
    instance_type: str
    region: str
    zone: str
    account: str
    private_ip: str
    public_ip: str = ""
    mac: str = ""
    hostname: str = ""
    reservation_id: str = ""
    launch_index: str = "0"
    architecture: str = "x86_64"
    vpc_id: str = ""
    subnet_id: str = ""
    interface_id: str = ""
    subnet_cidr: str = ""
    security_groups: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    launched: str = ""
    life_cycle: str = "on-demand"
    spot_end: str = ""
    key_name: str = ""
    public_key: str = ""
    profile_arn: str = ""
    profile_id: str = ""
    role: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    options: Options = Options()


class Imds:
    """Answers one machine.

    :param identity: asked at every request, so that it is current.
    :param issued: is told every token and credential that a machine gets.
    """

    def __init__(
        self,
        identity: Callable[[], Identity],
        clock: Clock | None = None,
        issued: Callable[[str], None] = lambda secret: None,
    ) -> None:
        self._identity = identity
        self._clock = clock or SystemClock()
        self._issued = issued
        self._tokens: dict[str, float] = {}
        self._lock = Lock()

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        return self.respond(Request(environ))(environ, start_response)

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        instance = self._identity()
        if instance.options.endpoint != "enabled":
            return _error(403)
        if request.path == "/latest/api/token":
            return self._new_token(request)
        if request.method not in {"GET", "HEAD"}:
            return _error(405)
        if not self._allowed(request, instance):
            return _error(401)
        if "security-credentials" in request.path:
            for name in ("SecretAccessKey", "Token"):
                self._issued(instance.credentials.get(name, ""))
        return _document(request.path, instance)

    def _new_token(self, request: Request) -> Response:
        if request.method != "PUT":
            return _error(405)
        if "X-Forwarded-For" in request.headers:
            return _error(403)
        wanted = request.headers.get(TTL, "")
        if not wanted.isdecimal() or not 1 <= int(wanted) <= LONGEST:
            return _error(400)
        token = secrets.token_urlsafe(40)
        now = self._clock.monotonic()
        with self._lock:
            self._tokens = {t: end for t, end in self._tokens.items() if end > now}
            self._tokens[token] = now + int(wanted)
        self._issued(token)
        return Response(token, headers={TTL: wanted}, mimetype="text/plain")

    def _allowed(self, request: Request, instance: Identity) -> bool:
        token = request.headers.get(TOKEN)
        if token is None:
            return instance.options.tokens == "optional"
        with self._lock:
            return self._tokens.get(token, 0.0) > self._clock.monotonic()


def _document(path: str, instance: Identity) -> Response:
    parts = [part for part in path.split("/") if part]
    if not parts:
        return _text("\n".join(VERSIONS))
    if parts[0] not in VERSIONS:
        return _error(404)
    if parts[1:] == ["user-data"]:
        if instance.user_data is None:
            return _error(404)
        return Response(instance.user_data, mimetype="application/octet-stream")
    found: str | Tree = tree(instance)
    for part in parts[1:]:
        if isinstance(found, str) or part not in found:
            return _error(404)
        found = found[part]
    return _text(found if isinstance(found, str) else listing(found))


def listing(branch: Tree) -> str:
    """List a branch: one name a line, with a slash where there is more below."""
    return "\n".join(
        name if isinstance(below, str) else str(below.get("", f"{name}/"))
        for name, below in branch.items()
        if name
    )


def tree(instance: Identity) -> Tree:
    """Return everything below a version as nested mappings."""
    return {
        "dynamic": {"instance-identity": {"document": document(instance)}},
        "meta-data": _meta_data(instance),
    } | ({} if instance.user_data is None else {"user-data": ""})


def document(instance: Identity) -> str:
    """Return the instance identity document."""
    return written(
        {
            "accountId": instance.account,
            "architecture": instance.architecture,
            "availabilityZone": instance.zone,
            "imageId": instance.image_id,
            "instanceId": instance.instance_id,
            "instanceType": instance.instance_type,
            "pendingTime": instance.launched,
            "privateIp": instance.private_ip,
            "region": instance.region,
            "version": "2017-09-30",
        }
    )


def written(data: Mapping[str, str]) -> str:
    """Write JSON as the service does: blanks around colons, which scripts count on."""
    return json.dumps(dict(data), indent=2, separators=(",", " : "))


def _meta_data(instance: Identity) -> Tree:
    found: dict[str, str | Tree] = {
        "ami-id": instance.image_id,
        "ami-launch-index": instance.launch_index,
        "hostname": instance.hostname,
        "iam": _iam(instance),
        "instance-action": "none",
        "instance-id": instance.instance_id,
        "instance-life-cycle": instance.life_cycle,
        "instance-type": instance.instance_type,
        "local-hostname": instance.hostname,
        "local-ipv4": instance.private_ip,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": {instance.mac: _interface(instance)}}},
        "placement": {"availability-zone": instance.zone, "region": instance.region},
        "public-ipv4": instance.public_ip,
        "public-keys": _public_keys(instance),
        "reservation-id": instance.reservation_id,
        "security-groups": "\n".join(instance.security_groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "spot": _spot(instance),
        "tags": _tags(instance),
    }
    return {name: value for name, value in found.items() if value}


def _interface(instance: Identity) -> Tree:
    found = {
        "device-number": "0",
        "interface-id": instance.interface_id,
        "local-hostname": instance.hostname,
        "local-ipv4s": instance.private_ip,
        "mac": instance.mac,
        "owner-id": instance.account,
        "public-ipv4s": instance.public_ip,
        "security-group-ids": "\n".join(instance.security_group_ids),
        "security-groups": "\n".join(instance.security_groups),
        "subnet-id": instance.subnet_id,
        "subnet-ipv4-cidr-block": instance.subnet_cidr,
        "vpc-id": instance.vpc_id,
    }
    return {name: value for name, value in found.items() if value}


def _public_keys(instance: Identity) -> Tree:
    if not instance.public_key:
        return {}
    # listed as "0=name", reached as "0/"; the key's comment is its name, by which
    # Packer finds the line that it clears
    line = " ".join([*instance.public_key.split()[:2], instance.key_name])
    return {"0": {"": f"0={instance.key_name}", "openssh-key": line}}


def _tags(instance: Identity) -> Tree:
    if instance.options.tags != "enabled" or not instance.tags:
        return {}
    return {"instance": dict(sorted(instance.tags.items()))}


def _spot(instance: Identity) -> Tree:
    if not instance.spot_end:
        return {}
    action = {"action": "terminate", "time": instance.spot_end}
    return {
        "instance-action": json.dumps(action),
        "termination-time": instance.spot_end,
    }


def _iam(instance: Identity) -> Tree:
    if not instance.role:
        return {}
    info = {
        "Code": "Success",
        "LastUpdated": instance.launched,
        "InstanceProfileArn": instance.profile_arn,
        "InstanceProfileId": instance.profile_id,
    }
    return {
        "info": written(info),
        "security-credentials": {instance.role: written(instance.credentials)},
    }


def _text(text: str) -> Response:
    return Response(text, mimetype="text/plain")


def _error(status: int) -> Response:
    return Response(status=status, mimetype="text/plain")
