"""The words of the source: a right, the grant it stands in, whose, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Document = dict[str, Any]
Who = Literal[
    "person", "publish", "setup", "nightly", "node", "scheduler", "administrator"
]
Conditions = Mapping[str, Mapping[str, str | tuple[str, ...]]]

# Names of roles in IAM; launch and teardown know the first two.
NODE = "annexkit-node"
SCHEDULER = "annexkit-scheduler"
NIGHTLY = "annexkit-nightly"
# Names of policies that persons get: three, for IAM takes 6144 characters in one, and
# not everybody sets up, or decides which AMIs others launch.
POLICIES: Mapping[Who, str] = {
    "person": "annexkit-person",
    "publish": "annexkit-publish",
    "setup": "annexkit-setup",
}

# Who needs a right follows from the commands that need it.
ANNEX = ("launch", "status", "verify", "why", "extend", "terminate", "watch", "receipt")
# The guide's set-up, as far as it is a person's.
SETUP = ("doctor", "regions", "keypair", "security-group")
# What decides which AMIs there are, and which are launched.
PUBLISH = ("copy", "registry.promote", "retire")
# Making, mending and removing the roles of annexes: who may do it can give a node, and
# with it themselves, any right at all. So no person's or job's policy holds it.
ROLES = "the roles"
COMMANDS: Mapping[Who, frozenset[str]] = {
    "person": frozenset({"bake", "smoke", *ANNEX, "teardown", "reap"}),
    "publish": frozenset(PUBLISH),
    "setup": frozenset(SETUP),
    "nightly": frozenset({"bake", "smoke", *PUBLISH, "reap"}),
    "node": frozenset({"a node"}),
    "scheduler": frozenset({"a schedule"}),
    "administrator": frozenset({"iam", ROLES}),
}


@dataclass(frozen=True)
class Right:
    """One action, as ``service:Action``.

    ``why`` says what it is for, ``commands`` which need it. ``unseen`` is the reason
    why no rehearsal records a call of that name; empty when one does.
    """

    action: str
    why: str
    commands: tuple[str, ...]
    unseen: str = ""


@dataclass(frozen=True)
class Grant:
    """Rights on the same resources under the same conditions: one statement.

    ``resources`` are ARNs without their head ``arn:<partition>:``, or ``*``;
    ``{account}`` and ``{prefix}`` are filled in, in conditions ``{ec2}``, EC2's name.
    ``regional``: limited to the regions that a place names. ``partitions``: where it is
    needed; empty for everywhere.
    """

    sid: str
    rights: tuple[Right, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: Conditions = field(default_factory=dict)
    regional: bool = True
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where documents are for: ``*`` is any account, no regions are all of them.

    ``prefix`` is ``bake.name_prefix``: AMIs and key pairs begin with it.
    """

    account: str = "*"
    partition: str = "aws"
    regions: tuple[str, ...] = ()
    prefix: str = "annexkit"

    @property
    def ec2(self) -> str:
        """EC2's name as a principal; China's has one of its own (IAM user guide)."""
        return "ec2.amazonaws.com" + (".cn" if self.partition == "aws-cn" else "")

    def arn(self, tail: str) -> str:
        """Return a whole ARN; ``*`` stays what it is."""
        if tail == "*":
            return tail
        filled = tail.format(account=self.account, prefix=self.prefix)
        return f"arn:{self.partition}:{filled}"
