"""Packer's two template dialects, and which one an installed Packer reads.

``docs/packer-attributes.md`` lists every attribute that either uses, with the first
version that knows it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from annexkit.errors import UsageError

Version = tuple[int, int, int]

# gp3's throughput came with 1.6.6 and temporary_key_pair_type with 1.6.5.
OLDEST: Version = (1, 6, 6)
PLUGINS_SINCE: Version = (1, 7, 0)
MEND = (
    "apt-get install packer on Debian (1.6.6), elsewhere install 1.7 or newer; "
    "then set annexkit.packer.program to it"
)


class Dialect(StrEnum):
    """A form of the template; the installed Packer decides."""

    PACKER_1_6 = "1.6"
    PACKER_1_7 = "1.7"

    @property
    def required_version(self) -> str:
        """The version constraint that the template states."""
        if self is Dialect.PACKER_1_6:
            return f">= {dotted(OLDEST)}, < {dotted(PLUGINS_SINCE)}"
        return f">= {dotted(PLUGINS_SINCE)}"

    @property
    def plugins(self) -> bool:
        """Builders are plugins: required_plugins, and all the newer attributes."""
        return self is Dialect.PACKER_1_7


def dialect_for(version: Version) -> Dialect:
    """Return the dialect that this version of Packer reads.

    :raises UsageError: older than any that annexkit can render for.
    """
    if version < OLDEST:
        raise UsageError(
            f"Packer {dotted(version)} is too old: {dotted(OLDEST)} is the first that "
            "knows gp3 volumes",
            mend=MEND,
        )
    return Dialect.PACKER_1_7 if version >= PLUGINS_SINCE else Dialect.PACKER_1_6


def parse_version(text: str) -> Version:
    """Read a version out of what ``packer version`` says (``Packer v1.6.6``).

    :raises UsageError: there is none in it.
    """
    match = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)\b", text)
    if not match:
        said = text.strip()[:80] or "nothing"
        raise UsageError(f"cannot tell Packer's version: it said '{said}'", mend=MEND)
    return int(match[1]), int(match[2]), int(match[3])


def dotted(version: Version) -> str:
    """Write a version as people do: ``1.6.6``."""
    return ".".join(str(number) for number in version)
