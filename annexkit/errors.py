"""Errors that a person can act on: what is wrong, where, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """Exit codes of every task (docs/architecture.md, law 12)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3


class Level(StrEnum):
    """How much a finding weighs; only an error stops the work."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that validation noticed, with the way to mend it."""

    level: Level
    what: str
    where: str = ""
    mend: str = ""

    def __str__(self) -> str:
        """Say it in one line: where, what, mend."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} -- {self.mend}" if self.mend else head


class AnnexkitError(Exception):
    """Something failed that a person can understand and mend.

    :param what: one sentence that says what is wrong.
    :param where: file and line, region, host or resource, when there is one.
    :param mend: what to do or type next.
    """

    exit_code = Exit.FAILED

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The error as findings, so that one printer shows them all."""
        return (Finding(Level.ERROR, self.what, self.where, self.mend),)

    def __str__(self) -> str:
        """Say it in one line: where, what, mend."""
        return "; ".join(str(f) for f in self.findings)


class UsageError(AnnexkitError):
    """The command, the settings or a recipe is not usable as written."""

    exit_code = Exit.USAGE


class FindingsError(UsageError):
    """Validation found errors; carries everything it found, errors or not."""

    def __init__(self, found: Iterable[Finding]) -> None:
        self._found = tuple(found)
        super().__init__("; ".join(str(f) for f in self._found))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found."""
        return self._found


class Interrupted(AnnexkitError):
    """A person or the system asked us to stop (SIGINT, SIGTERM)."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that *name* was meant to be, or ``""``."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known name closest to *name*, or ``""``."""
    close = closest(name, known)
    return f"did you mean '{close}'?" if close else ""


def raise_on_errors(found: Iterable[Finding]) -> None:
    """Raise :class:`FindingsError` when any finding is an error."""
    found = tuple(found)
    if any(f.level is Level.ERROR for f in found):
        raise FindingsError(found)
