"""Which HTCondor of a node goes with which of a pool."""

from __future__ import annotations

import re

from annexkit.errors import Finding, Level

NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")


def series(version: str) -> tuple[int, int] | None:
    """Return major and minor of a version, as HTCondor or a package manager says it.

    >>> series("1:23.9.6+dfsg-2.1"), series("$CondorVersion: 25.14.1 2026-10-01 $")
    ((23, 9), (25, 14))
    """
    match = NUMBERS.search(version)
    return (int(match[1]), int(match[2])) if match else None


def skew(image: str, pool: str) -> list[Finding]:
    """Say whether nodes of an image would be of no use to a pool.

    Measured: a node of 25.14.1 joins a pool of 23.9.6, and no job ever matches it: its
    slots ask for what the older negotiator cannot evaluate. The other way round works.

    :param image: the HTCondor of the image; empty when it is not known.
    :param pool: the HTCondor of the central manager, as its collector says it.
    """
    newer, older = series(image), series(pool)
    if newer is None or older is None or newer[0] <= older[0]:
        return []
    return [
        Finding(
            Level.ERROR,
            f"HTCondor {_short(image)} of the image is newer than the pool's "
            f"{_short(pool)}: its nodes would join, and no job would match them",
            "pool",
            "launch an image with the pool's HTCondor (--image; invoke registry.list), "
            "or upgrade the central manager first",
        )
    ]


def served(image: str) -> str:
    """Say which pools run jobs on nodes of an image; empty when it is not known.

    Tried with upstream's client of either version, too (docs/contracts.md).

    >>> served("1:23.9.6+dfsg-2.1")
    'pools of HTCondor 23.9 or newer'
    """
    found = series(image)
    return f"pools of HTCondor {found[0]}.{found[1]} or newer" if found else ""


def _short(version: str) -> str:
    match = NUMBERS.search(version)
    return match[0] if match else version
