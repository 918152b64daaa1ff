"""The secret of a launch, in SSM: nodes read it by their role, and then it is deleted.

The value is in no error, log or tag of ours; SSM encrypts it with the account's own
key for SSM (AWS Systems Manager user guide, SecureString).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.instances import as_tags, from_tags
from annexkit.launch.listing import every

PATH = "/annexkit"
MOST_BYTES = 4096  # of a value in the standard tier (SSM quotas)


class ParameterError(AnnexkitError):
    """A secret cannot be stored."""


@dataclass(frozen=True)
class Parameter:
    """Where a launch's secret lies; ``expires`` in epoch seconds, None when unsaid."""

    annex: str
    launch: str
    expires: float | None

    @property
    def name(self) -> str:
        """Its name in SSM."""
        return f"{PATH}/{self.annex}/{self.launch}"

    @property
    def tags(self) -> dict[str, str]:
        """Its tags: whose it is, and when it may be taken."""
        own = {tags.ANNEX: self.annex, tags.LAUNCH: self.launch}
        if self.expires is not None:
            own[tags.EXPIRES] = str(int(self.expires))
        return own


def put(cloud: Cloud, region: str, parameter: Parameter, value: str) -> None:
    """Store a secret with its tags; one that is there already is overwritten.

    :raises ParameterError: it is empty, or larger than SSM takes.
    :raises AwsError: SSM refused; the error does not hold the value.
    """
    _check(parameter, value)
    try:
        _put(cloud, region, parameter, value, Tags=as_tags(parameter.tags))
    except AwsError as error:
        if error.code != "ParameterAlreadyExists":
            raise
        overwrite(cloud, region, parameter, value)


def overwrite(cloud: Cloud, region: str, parameter: Parameter, value: str) -> None:
    """Store another secret in the place of the one that is there.

    PutParameter takes tags for a new parameter only, so they go first: after a crash
    between the two the old secret lies there with the new expiry.

    :raises ParameterError: it is empty, or larger than SSM takes.
    :raises AwsError: SSM refused, or none is there (``InvalidResourceId``).
    """
    _check(parameter, value)
    cloud.call(
        region,
        "add_tags_to_resource",
        service="ssm",
        ResourceType="Parameter",
        ResourceId=parameter.name,
        Tags=as_tags(parameter.tags),
    )
    _put(cloud, region, parameter, value, Overwrite=True)


def delete(cloud: Cloud, region: str, name: str) -> None:
    """Delete a secret; one that is gone already is as good."""
    try:
        cloud.call(region, "delete_parameter", service="ssm", Name=name)
    except AwsError as error:
        if error.code != "ParameterNotFound":
            raise


def listed(cloud: Cloud, region: str, annex: str = "") -> list[Parameter]:
    """Return the secrets under our path that carry a launch's tag, by name.

    :param annex: of this annex only, by its exact name.
    """
    said = every(
        cloud,
        region,
        "ssm",
        "describe_parameters",
        "Parameters",
        ParameterFilters=[
            {
                "Key": "Path",
                "Option": "Recursive",
                "Values": [f"{PATH}/{annex}" if annex else PATH],
            }
        ],
    )
    found = (_read(cloud, region, item["Name"]) for item in said)
    return sorted((p for p in found if p), key=lambda p: p.name)


def _read(cloud: Cloud, region: str, name: str) -> Parameter | None:
    """Read one by its tags, which DescribeParameters does not give."""
    try:
        said = cloud.call(
            region,
            "list_tags_for_resource",
            service="ssm",
            ResourceType="Parameter",
            ResourceId=name,
        )
    except AwsError as error:
        if error.code != "InvalidResourceId":  # deleted meanwhile
            raise
        return None
    own = from_tags(said["TagList"])
    read = Parameter(
        own.get(tags.ANNEX, ""), own.get(tags.LAUNCH, ""), tags.expiry(own)
    )
    return read if read.name == name else None


def _check(parameter: Parameter, value: str) -> None:
    size = len(value.encode())
    if not value.strip():
        raise ParameterError(
            "the secret for the nodes is empty",
            where=parameter.name,
            mend="look at pool.method and pool.token_command in invoke.yaml",
        )
    if size > MOST_BYTES:
        raise ParameterError(
            f"the secret for the nodes has {size} bytes, SSM takes {MOST_BYTES}",
            where=parameter.name,
            mend="look at what pool.token_command prints, or at pool.password_file",
        )


def _put(
    cloud: Cloud, region: str, parameter: Parameter, value: str, **more: Any
) -> None:
    try:
        cloud.call(
            region,
            "put_parameter",
            service="ssm",
            Name=parameter.name,
            Description=f"annexkit: what the nodes of annex {parameter.annex} join by",
            Value=value,
            Type="SecureString",
            Tier="Standard",
            **more,
        )
    except AwsError as error:
        if value not in error.what:
            raise
        # From nothing: the cause would show what SSM said, the value with it.
        raise AwsError(
            error.what.replace(value, "..."),
            code=error.code,
            action=error.action,
            region=region,
            refused=error.refused,
        ) from None
