"""GitHub's identity provider in IAM, which lets its jobs take a role.

An account has at most one for each issuer, so it may well be somebody else's: then it
is used as it is, and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.aws import AwsError, Cloud
from annexkit.instances import as_tags
from annexkit.rights.documents import AUDIENCE
from annexkit.rights.services import GITHUB

MISSING = "NoSuchEntity"
EXISTS = "EntityAlreadyExists"
SERVICE = "iam"


@dataclass(frozen=True)
class Provider:
    """The provider as IAM describes it."""

    audiences: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether it takes tokens that are meant for AWS."""
        return AUDIENCE in self.audiences


def look(cloud: Cloud, region: str, arn: str) -> Provider | None:
    """Return the provider; None when the account has none for GitHub.

    :param region: any of the partition; IAM is the same in all.
    :raises AwsError: IAM refused.
    """
    try:
        said = cloud.call(
            region,
            "get_open_id_connect_provider",
            service=SERVICE,
            OpenIDConnectProviderArn=arn,
        )
    except AwsError as error:
        if error.code != MISSING:
            raise
        return None
    return Provider(tuple(said.get("ClientIDList", [])))


def ensure(cloud: Cloud, region: str, arn: str, tags: dict[str, str]) -> None:
    """Make the provider when there is none.

    Without a thumbprint: IAM finds GitHub's certificate by its own list of authorities
    (IAM API reference, CreateOpenIDConnectProvider).

    :raises AwsError: IAM refused.
    """
    if look(cloud, region, arn):
        return
    try:
        cloud.call(
            region,
            "create_open_id_connect_provider",
            service=SERVICE,
            Url=f"https://{GITHUB}",
            ClientIDList=[AUDIENCE],
            Tags=as_tags(tags),
        )
    except AwsError as error:
        if error.code != EXISTS:  # somebody else was faster
            raise
