"""Versions of rpm packages, compared as rpm compares them (rpm-version(7))."""

from __future__ import annotations

import re
from functools import total_ordering
from typing import NamedTuple

# Digits, letters, or one of the two signs that mean something; all else only separates.
PARTS = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")


class _Fields(NamedTuple):
    epoch: int
    version: str
    release: str


@total_ordering
class RpmVersion:
    """Epoch, version and release of a package."""

    def __init__(self, epoch: str, version: str, release: str) -> None:
        self._is = _Fields(int(epoch or 0), version, release)

    @classmethod
    def parse(cls, text: str) -> RpmVersion:
        """Read what rpm writes as ``%{EVR}``: ``1:9.0-1.el9``, ``24.0.20-1.el9``.

        :raises ValueError: the epoch is no number.
        """
        epoch, _, rest = text.rpartition(":")
        version, _, release = rest.partition("-")
        return cls(epoch, version, release)

    def __str__(self) -> str:
        """Write it as rpm does: the epoch only where it is not 0."""
        epoch = f"{self._is.epoch}:" if self._is.epoch else ""
        return f"{epoch}{self._is.version}-{self._is.release}"

    def _keys(self) -> tuple[object, ...]:
        return self._is.epoch, _key(self._is.version), _key(self._is.release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RpmVersion) and self._keys() == other._keys()

    def __lt__(self, other: RpmVersion) -> bool:
        return bool(self._keys() < other._keys())

    def __hash__(self) -> int:
        return hash(self._keys())


def _key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts as rpm sorts.

    ``~`` sorts before the end of the text, ``^`` after it and before all else, letters
    before numbers.
    """
    return (*(_part(part) for part in PARTS.findall(text)), (1, 0, ""))


def _part(part: str) -> tuple[int, int, str]:
    if part.isdigit():
        return 4, int(part), ""
    return ({"~": 0, "^": 2}.get(part, 3), 0, part)
