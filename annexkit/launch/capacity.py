"""What AWS had no room for lately, kept on disk so that the next run does not ask.

It only saves calls: a table that is lost, damaged or locked is a warning, no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from annexkit.errors import Finding, Level
from annexkit.files import FileError, write_beside
from annexkit.launch.target import Target, quota_family

LOCK_SECONDS = 10


class Closed(BaseModel):
    """Until when (epoch seconds) something is left alone, and EC2's code for why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: float
    code: str


class _Table(BaseModel):
    """The file: what is closed, by place."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    closed: dict[str, Closed] = {}


@dataclass
class CapacityTable:
    """The table in one file; every account and endpoint has a file of its own.

    :param pause: seconds for which a place is closed.
    :param now: the time, in epoch seconds.
    :param findings: warnings about the file itself.
    """

    path: Path
    pause: float
    now: Callable[[], float]
    findings: list[Finding] = field(default_factory=list)
    _closed: dict[str, Closed] | None = None

    def closed(self, region: str, target: Target) -> Closed | None:
        """Return why and until when a target is not to be asked; None when it may."""
        table = self._current()
        for place in (_place(region, target), _family(region, target)):
            found = table.get(place)
            if found and found.until > self.now():
                return found
        return None

    def close(self, region: str, target: Target, code: str) -> None:
        """Leave this market, type and zone alone for a while."""
        self._add(_place(region, target), code)

    def close_family(self, region: str, target: Target, code: str) -> None:
        """Leave all types under this target's quota alone, in its market and region."""
        self._add(_family(region, target), code)

    def _current(self) -> dict[str, Closed]:
        if self._closed is None:
            self._closed = self._read()
        return self._closed

    def _add(self, place: str, code: str) -> None:
        now = self.now()
        entry = Closed(until=now + self.pause, code=code)
        self._current()[place] = entry  # known to this run whatever the disk says
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                self._merge(now)
        except (OSError, Timeout, FileError) as error:
            reason = getattr(error, "what", "") or str(error)
            self._warn(f"what AWS has no room for is not kept: {reason}")

    def _merge(self, now: float) -> None:
        """Write what we know and what others wrote; the later end counts."""
        mine = self._current()
        for place, other in self._read().items():
            if place not in mine or mine[place].until < other.until:
                mine[place] = other
        fresh = {place: c for place, c in sorted(mine.items()) if c.until > now}
        self._closed = fresh
        text = _Table(closed=fresh).model_dump_json(indent=1) + "\n"
        write_beside(self.path, text, mode=0o600)

    def _read(self) -> dict[str, Closed]:
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
            found = _Table.model_validate(said).closed
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, ValidationError):
            self._warn("the table of missing capacity is damaged; it starts anew")
            return {}
        # A clock that was wrong for a while must not close anything for years.
        latest = self.now() + self.pause
        return {place: c for place, c in found.items() if c.until <= latest}

    def _warn(self, what: str) -> None:
        found = Finding(Level.WARNING, what, str(self.path), f"rm {self.path}")
        if found not in self.findings:
            self.findings.append(found)


def _place(region: str, target: Target) -> str:
    return f"{region}/{target.market}/{target.instance_type}/{target.zone}"


def _family(region: str, target: Target) -> str:
    return f"{region}/{target.market}/quota {quota_family(target.instance_type)}"
