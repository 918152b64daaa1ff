"""What changes from bake to bake: Packer's variables, kept out of the template.

One dataclass is both the template's ``variable`` blocks and ``run.pkrvars.hcl``, so
they cannot disagree.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from typing import Any

import hcl2

from annexkit.bake import hcl
from annexkit.bake.dialect import Dialect
from annexkit.bake.fields import untaggable
from annexkit.bake.hcl import Expression, quoted
from annexkit.errors import UsageError

USER_DATA_MAX = 16_384  # bytes; Amazon EC2 User Guide, "instance user data"


def _variable(description: str, kind: str = "string") -> Any:
    return field(metadata={"description": description, "type": kind})


@dataclass(frozen=True, kw_only=True)
class RunVariables:
    """The values of one bake; none has a default in the template."""

    region: str = _variable("AWS region of the bake")
    endpoint: str = _variable("EC2 endpoint; empty for AWS itself")
    max_retries: int = _variable(
        "Repeats of a failed AWS call; 0 for the SDK's own", "number"
    )
    build_id: str = _variable("Id of this build")
    build_date: str = _variable("When it began, ISO 8601 in UTC")
    digest: str = _variable("Digest of everything the image is made from")
    expires: int = _variable("When the reaper may take what is left, epoch", "number")
    owner: str = _variable("Who bakes, for the tags")
    ami_name: str = _variable("Name of the AMI and of the builder's key pair")
    manifest: str = _variable("Where Packer writes its manifest")
    packages: str = _variable("Where the list of packages is downloaded to")
    ssh_interface: str = _variable("public_ip or private_ip")
    subnet_id: str = _variable("Subnet of the builder; empty for the default VPC's")
    ssh_cidrs: tuple[str, ...] = _variable(
        "Who may reach the builder by SSH", "${list(string)}"
    )
    user_data: str = _variable("User data of the builder")
    poll_seconds: int = _variable("Seconds between two looks at the AMI", "number")
    poll_attempts: int = _variable("How many looks before giving up", "number")


def add_variables(document: hcl2.Builder) -> None:
    """Add a ``variable`` block for each of them, without defaults."""
    for item in fields(RunVariables):
        document.block(
            "variable",
            [quoted(item.name)],
            type=item.metadata["type"],
            description=quoted(item.metadata["description"]),
        )


def run_variables(values: RunVariables, dialect: Dialect) -> str:
    """Return the text of ``run.pkrvars.hcl``, not yet formatted.

    :raises UsageError: a value that Packer or EC2 cannot take.
    """
    _check_addresses(values, dialect)
    size = len(values.user_data.encode(errors="replace"))
    if size > USER_DATA_MAX:
        raise UsageError(
            f"the builder's user data has {size} bytes, EC2 takes {USER_DATA_MAX}",
            mend="shorten the files in cloud-init/",
        )
    if reason := untaggable(values.owner):
        raise UsageError(
            f"the owner's name {reason}",
            where=repr(values.owner)[:80],
            mend="use another name",
        )
    document = hcl2.Builder()
    for item in fields(RunVariables):
        document.attributes[item.name] = _source(item.name, getattr(values, item.name))
    return hcl.dump(document)


def reference(name: str) -> Expression:
    """Return the expression that stands for one of the variables.

    :raises KeyError: there is none of that name.
    """
    if name not in {item.name for item in fields(RunVariables)}:
        raise KeyError(name)
    return Expression(f"var.{name}")


def _source(name: str, value: str | int | tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return quoted(value, what=f"the value of '{name}'")
    if isinstance(value, tuple):
        return [quoted(item, what=f"an item of '{name}'") for item in value]
    return value


def _check_addresses(values: RunVariables, dialect: Dialect) -> None:
    if not values.ssh_cidrs and not dialect.plugins:
        raise UsageError(
            "no address is named that may reach the builder by SSH, and Packer 1.6 "
            "would then open it to the whole Internet",
            where="bake.ssh_cidrs",
            mend="set bake.ssh_cidrs to your own address, such as 203.0.113.7/32",
        )
    for cidr in values.ssh_cidrs:
        try:
            version = ipaddress.ip_network(cidr).version
        except ValueError as error:
            raise UsageError(
                f"'{cidr}' is not a network: {error}",
                where="bake.ssh_cidrs",
                mend="write it as 203.0.113.7/32 or 2001:db8::/64",
            ) from None
        if version != 4 and not dialect.plugins:
            raise UsageError(
                f"Packer 1.6 cannot open a group to the IPv6 network '{cidr}'",
                where="bake.ssh_cidrs",
                mend="name IPv4 networks, or use Packer 1.7 or newer",
            )
