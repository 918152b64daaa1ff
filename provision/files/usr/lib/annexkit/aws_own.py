"""What a node may ask AWS about itself: its instance, its role's policies, a file.

Upstream's client hands its pool over by these, because the instance role that it makes
allows them and nothing else: ec2:DescribeInstances, IAM's reading calls on the role,
s3:GetObject on the tarball. Sources: API references of EC2, IAM and S3; AWS General
Reference, "IAM endpoints"; S3 User Guide, "Virtual hosting of general purpose buckets"
(by path, since the name of a bucket may hold dots, which no certificate covers).
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from aws_call import PATIENCE, AwsError, Call, ask

FORM = "application/x-www-form-urlencoded; charset=utf-8"
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08"}
ANSWER = 1 << 20
# IAM is one for a partition: how its regions begin, where it is, how it is signed.
IAM = {
    "cn-": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "us-gov-": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
    "": ("iam.amazonaws.com", "us-east-1"),
}


@dataclass(frozen=True)
class Itself:
    """What EC2 says of the instance: the token it was launched with, and its tags."""

    token: str
    tags: Mapping[str, str]


class Aws:
    """Asks in one region; *tell* and *patience* are those of ``aws_call.ask``."""

    def __init__(
        self,
        region: str,
        tell: Callable[[AwsError], None] = lambda error: None,
        patience: Mapping[str, float] = PATIENCE,
    ) -> None:
        self.region = region
        self._tell = tell
        self._patience = patience

    def itself(self, instance: str) -> Itself:
        """Describe the instance.

        :raises AwsError: it cannot be had, or EC2 does not know it.
        """
        root = self._query("ec2", "DescribeInstances", {"InstanceId.1": instance})
        item = root.find("reservationSet/item/instancesSet/item")
        if item is None:
            raise AwsError("missing", f"EC2 does not know {instance}")
        tags = {
            tag.findtext("key") or "": tag.findtext("value") or ""
            for tag in item.iterfind("tagSet/item")
        }
        return Itself(item.findtext("clientToken") or "", tags)

    def policies(self, role: str) -> Iterator[Mapping[str, Any]]:
        """Yield the role's policies, the attached ones first.

        :raises AwsError: they may not be read.
        """
        named = {"RoleName": role}
        attached = self._query("iam", "ListAttachedRolePolicies", named)
        for arn in attached.iterfind(".//AttachedPolicies/member/PolicyArn"):
            policy = {"PolicyArn": arn.text or ""}
            about = self._query("iam", "GetPolicy", policy)
            version = about.findtext(".//DefaultVersionId") or "v1"
            asked = {**policy, "VersionId": version}
            root = self._query("iam", "GetPolicyVersion", asked)
            yield _document(root.findtext(".//Document"))
        own = self._query("iam", "ListRolePolicies", named)
        for name in own.iterfind(".//PolicyNames/member"):
            asked = {**named, "PolicyName": name.text or ""}
            root = self._query("iam", "GetRolePolicy", asked)
            yield _document(root.findtext(".//PolicyDocument"))

    def file(self, bucket: str, key: str, largest: int) -> bytes:
        """Return an object of S3.

        :raises AwsError: it cannot be had, or is larger than that many bytes.
        """
        where = f"s3://{bucket}/{key}"
        call = Call(
            "s3",
            self.region,
            f"read {where}",
            f"there is no {where}",
            method="GET",
            path=f"/{quote(bucket)}/{quote(key)}",
            largest=largest,
        )
        return ask(call, tell=self._tell, patience=self._patience)

    def _query(self, service: str, action: str, params: dict[str, str]) -> ET.Element:
        """Make a call by form parameters, and return its answer without namespaces."""
        host, region = "", self.region
        if service == "iam":
            found = (at for head, at in IAM.items() if region.startswith(head))
            host, region = next(found)
        form = {"Action": action, "Version": VERSIONS[service], **params}
        call = Call(
            service,
            region,
            f"call {service}:{action}",
            host=host,
            headers={"content-type": FORM},
            body=urlencode(form).encode(),
            largest=ANSWER,
        )
        answer = ask(call, tell=self._tell, patience=self._patience)
        try:
            root = ET.fromstring(answer)  # noqa: S314  (AWS's own, over TLS)
        except ET.ParseError:
            raise AwsError(
                "refused", f"{call.title}'s answer to {action} is no XML"
            ) from None
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root


def _document(text: str | None) -> Mapping[str, Any]:
    """Read a policy; IAM answers them URL-encoded."""
    try:
        found = json.loads(unquote(text or "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
