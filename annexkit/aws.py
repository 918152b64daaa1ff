"""The one door to AWS: sessions, clients, paging and errors people can act on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from annexkit.aws_session import new_session
from annexkit.errors import AnnexkitError, UsageError, nearest

if TYPE_CHECKING:
    from botocore.client import BaseClient

# A launch is never retried behind our back: capacity errors may come as HTTP 500, and
# botocore's retries would burn the small RunInstances bucket (EC2 API throttling).
LAUNCH = Config(retries={"mode": "standard", "total_max_attempts": 1})
# botocore's own 60 s to connect, ten times, would let one dead region stop all others.
ADAPTIVE = Config(
    connect_timeout=10,
    retries={"mode": "adaptive", "max_attempts": 10},
    max_pool_connections=32,
)
# Asks without credentials, for what every answer carries; a person waits for it.
ANONYMOUS = Config(
    signature_version=UNSIGNED,
    connect_timeout=10,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 1},
)
ASK = "ask for this permission; docs/iam-policy.json and iam-setup.json list all"
MENDS = {
    "AuthFailure": "check the credentials: aws sts get-caller-identity",
    "ExpiredToken": "log in again: aws sso login (or renew the session token)",
    "ExpiredTokenException": "log in again: aws sso login (or renew the session token)",
    "InvalidClientTokenId": "check the access key: aws sts get-caller-identity",
    "OptInRequired": "enable the region: aws account enable-region --region-name ...",
    "RequestExpired": "set this machine's clock: timedatectl set-ntp true",
    "RequestLimitExceeded": "wait a minute and run the same command again",
    "SignatureDoesNotMatch": "check the secret key: aws configure",
    "UnauthorizedOperation": ASK,
    "AccessDenied": ASK,
    "AccessDeniedException": ASK,
    "VcpuLimitExceeded": "ask for a higher quota: Service Quotas, EC2, L-1216C47A",
    "InstanceLimitExceeded": "ask for a higher quota: Service Quotas, EC2",
    "InsufficientInstanceCapacity": "try another instance type, zone or region",
    "InvalidSubnetID.NotFound": "correct bake.subnet_id in invoke.yaml",
    "RulesPerSecurityGroupLimitExceeded": "name fewer networks, or ask for a higher "
    "quota: Service Quotas, VPC, rules per security group",
    "VPCIdNotSpecified": "name a subnet: bake.subnet_id in invoke.yaml",
    "InvalidKeyPair.Duplicate": "name another: invoke keypair --key-name NAME",
    "InvalidKey.Format": "EC2 takes ed25519, and RSA of 1024, 2048 or 4096 bits",
    "InvalidAMIName.Duplicate": "run the command again: it makes a new build id",
}
# By the name of the botocore exception class; botocore.exceptions documents them.
LOCAL_MENDS = {
    "NoCredentialsError": "log in: aws sso login, or export AWS_PROFILE=...",
    "PartialCredentialsError": "complete the credentials: aws configure",
    "CredentialRetrievalError": "check credential_process in ~/.aws/config",
    "TokenRetrievalError": "log in again: aws sso login",
    "SSOTokenLoadError": "log in again: aws sso login",
    "UnauthorizedSSOTokenError": "log in again: aws sso login",
    "ProfileNotFound": "choose one of: aws configure list-profiles",
    "EndpointConnectionError": "check the network, or AWS_ENDPOINT_URL if it is set",
    "InvalidEndpoint": "write AWS_ENDPOINT_URL as http://host:port, or unset it",
    "ConnectTimeoutError": "check the network and the proxy settings",
    "ConnectionClosedError": "run the same command again",
    "ReadTimeoutError": "run the same command again",
    "ConfigParseError": "correct ~/.aws/config",
    "ResponseParserError": "something else than AWS answers: a proxy, or what "
    "AWS_ENDPOINT_URL names",
    "InvalidRegionError": "correct AWS_DEFAULT_REGION, or region in ~/.aws/config",
}
MOST_SAID = 400  # characters
ANY_MEND = "look the code up: EC2 API reference, Error codes"


class AwsError(AnnexkitError):
    """AWS refused a call, or could not be asked.

    :param code: EC2's error code, or botocore's exception name.
    :param action: the API action, such as ``RunInstances``.
    :param refused: AWS answered and did nothing; False when it may have acted.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        action: str,
        region: str,
        refused: bool = False,
    ) -> None:
        self.refused = refused
        self.code = code
        self.action = action
        self.region = region
        super().__init__(
            f"{message} ({code})" if code not in message else message,
            where=f"{action} in {region}" if action else region,
            mend=MENDS.get(code) or LOCAL_MENDS.get(code) or ANY_MEND,
        )


@dataclass
class Cloud:
    """One account at one endpoint; every AWS call of annexkit goes through here.

    Credentials, profile and endpoint are what botocore finds (boto3 guide, Credentials;
    ``AWS_ENDPOINT_URL``). ``calls`` counts what was sent, by region and action.
    """

    session: boto3.Session = field(default_factory=new_session)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _clients: dict[tuple[str, str, bool], BaseClient] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def client(self, service: str, region: str, *, launch: bool = False) -> BaseClient:
        """Return the shared client; ``launch`` gives the one that never retries."""
        key = (service, region, launch)
        with self._lock:
            if key not in self._clients:
                config = LAUNCH if launch else ADAPTIVE
                self._clients[key] = self._new_client(service, region, config)
            return self._clients[key]

    def call(
        self,
        region: str,
        method: str,
        *,
        service: str = "ec2",
        launch: bool = False,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Make one call, given boto3's method name, and return its response.

        :raises AwsError: AWS refused, or could not be asked.
        """
        with _translated(region, method):
            client = self.client(service, region, launch=launch)
            response: dict[str, Any] = getattr(client, method)(**arguments)
            return response

    def pages(
        self, region: str, method: str, key: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the items under *key* of every page of an EC2 list.

        :raises AwsError: AWS refused, or could not be asked.
        """
        with _translated(region, method):
            client = self.client("ec2", region)
            if not client.can_paginate(method):
                yield from getattr(client, method)(**arguments).get(key, [])
                return
            for page in client.get_paginator(method).paginate(**arguments):
                yield from page.get(key, [])

    def describe_images(self, region: str, **arguments: Any) -> list[dict[str, Any]]:
        """Return the images EC2 describes for these filters, over all pages."""
        return list(self.pages(region, "describe_images", "Images", **arguments))

    @cached_property
    def account(self) -> str:
        """The account we act in (STS GetCallerIdentity)."""
        region = self.session.region_name or "us-east-1"
        identity = self.call(region, "get_caller_identity", service="sts")
        return str(identity["Account"])

    @cached_property
    def endpoint(self) -> str:
        """``aws`` for AWS itself, else the URL that stands for EC2."""
        with _translated("", ""):
            client = self.client("ec2", self.session.region_name or "us-east-1")
            url = client.meta.endpoint_url
        real = re.search(
            r"\.(amazonaws\.com(\.cn)?|api\.(aws|amazonwebservices\.com\.cn))(:|/|$)",
            url,
        )
        return "aws" if real else url

    def date(self, region: str) -> float:
        """Return AWS's time in epoch seconds, to a second; needs no credentials.

        Every answer carries it, a refusal as well (RFC 9110, section 6.6.1).

        :raises AwsError: AWS could not be asked, or its answer has no date.
        """
        headers: Mapping[str, str] = {}

        def keep(response_dict: Mapping[str, Any], **_: Any) -> None:
            nonlocal headers
            headers = response_dict["headers"]

        with _translated(region, "get_caller_identity"):
            with self._lock:  # a session makes one client at a time
                client: Any = self._new_client("sts", region, ANONYMOUS)
            client.meta.events.register("before-parse.sts.GetCallerIdentity", keep)
            # KeyError: botocore's own, where no XML of STS came; a date came with it.
            with suppress(ClientError, ResponseParserError, KeyError):
                client.get_caller_identity()
        try:
            return parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError):
            raise AwsError(
                "the answer has no date",
                code="NoDate",
                action="GetCallerIdentity",
                region=region,
            ) from None

    def credentials_environment(self) -> dict[str, str]:
        """Return our credentials as environment variables, for an older program.

        Packer 1.6 knows neither ``sso_session`` nor newer providers; what botocore
        found works for all. For a program's environment only, never a command line.

        :raises AwsError: there are none, or they cannot be renewed.
        """
        with _translated("", ""):
            found = self.session.get_credentials()
            if found is None:
                raise NoCredentialsError
            frozen = found.get_frozen_credentials()
        values = {
            "AWS_ACCESS_KEY_ID": frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
            "AWS_SESSION_TOKEN": frozen.token,
        }
        return {name: value for name, value in values.items() if value}

    def check_regions(self, regions: tuple[str, ...]) -> None:
        """Refuse a region that botocore does not know, before any call.

        :raises UsageError: naming the first such region and the nearest known one.
        """
        known = self.known_regions()
        for region in regions:
            if region not in known:
                raise UsageError(
                    f"unknown region '{region}'",
                    where="--region",
                    mend=nearest(region, known) or "see: aws ec2 describe-regions",
                )

    def known_regions(self) -> list[str]:
        """Return the regions that botocore knows, of all partitions."""
        return [
            region
            for partition in self.session.get_available_partitions()
            for region in self.session.get_available_regions("ec2", partition)
        ]

    def partition_of(self, region: str) -> str:
        """Return the partition of a region, by its name: ``aws``, ``aws-cn``.

        Empty when botocore does not know the name, nor its form.
        """
        try:
            return self.session.get_partition_for_region(region)
        except BotoCoreError:
            return ""

    def enabled_regions(self) -> tuple[str, ...]:
        """Return the regions this account can use (DescribeRegions).

        Credentials are good in one partition, so regions of others are left out.
        """
        region = self.session.region_name or "us-east-1"
        found = self.pages(region, "describe_regions", "Regions")
        partition = self.session.get_partition_for_region(region)
        same = self.session.get_available_regions("ec2", partition)
        return tuple(sorted(r["RegionName"] for r in found if r["RegionName"] in same))

    def _new_client(self, service: str, region: str, config: Config) -> BaseClient:
        try:
            client = self.session.client(  # type: ignore[call-overload]
                service, region_name=region, config=config
            )
        except BotoCoreError:  # some are a ValueError, too
            raise
        except ValueError as error:  # an endpoint that is no URL has no class
            raise AwsError(
                str(error), code="InvalidEndpoint", action="", region=region
            ) from error
        client.meta.events.register("before-call", self._count)
        return client  # type: ignore[no-any-return]

    def _count(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        self.calls[(context.get("client_region", ""), model.name)] += 1


def connect() -> Cloud:
    """Open the session that botocore's own configuration describes.

    :raises AwsError: the profile or the configuration file is unusable.
    """
    with _translated("", ""):
        return Cloud()


def _refused(error: ClientError) -> bool:
    """Say whether nothing was done: a client's error, or no capacity (HTTP 500)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    code = error.response.get("Error", {}).get("Code", "")
    return status < 500 or code.startswith("Insufficient")


class _translated:
    """Turn botocore's errors into ours; a context manager."""

    def __init__(self, region: str, method: str) -> None:
        self.region = region
        self.action = "".join(part.capitalize() for part in method.split("_"))

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, ClientError):
            said = error.response.get("Error", {})
            raise AwsError(
                said.get("Message") or str(error),
                code=said.get("Code", "Unknown"),
                action=error.operation_name,
                region=self.region,
                refused=_refused(error),
            ) from error
        if isinstance(error, (BotoCoreError, ResponseParserError)):
            raise AwsError(
                str(error)[:MOST_SAID],  # a page of HTML may be in it
                code=type(error).__name__,
                action=self.action,
                region=self.region,
            ) from error
