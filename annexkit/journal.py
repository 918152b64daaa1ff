"""The journal: what we are about to make that costs money, written before the call.

One JSON file an entry, in the state folder. An entry is closed when what it made is
recorded elsewhere or gone. It only makes resuming and reaping faster: both reach the
same end without it, by tags and names (docs/architecture.md, law 4).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annexkit import processes
from annexkit.errors import AnnexkitError
from annexkit.files import write_beside

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MACHINE_ID = Path("/etc/machine-id")


class JournalError(AnnexkitError):
    """A journal entry cannot be used."""


class Process(BaseModel):
    """A process on one host: pids alone come back, start times do not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    boot: str
    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """Describe a running process of this host."""
        return cls(
            host=_host(),
            boot=_boot_id(),
            pid=pid,
            start_time=processes.start_time(pid) or 0,
        )

    @property
    def here(self) -> bool:
        """Whether it runs, or ran, on this host since it booted."""
        return self.host == _host() and self.boot == _boot_id()

    @property
    def alive(self) -> bool:
        """Whether it still runs; only meaningful when :attr:`here`."""
        return self.here and processes.same_process(self.pid, self.start_time)

    @property
    def gone(self) -> bool:
        """Whether it surely ended: this host, and rebooted or no such process."""
        return self.host == _host() and not self.alive


class Entry(BaseModel):
    """One thing in the making, in one region.

    ``kind`` is ``packer`` (a Packer run; ``packer`` is set once it started),
    ``instances`` (a RunInstances call with ``token``), ``security-group``,
    ``copy`` (a CopyImage call with ``token``), ``rules`` (rules in a security group
    of the user's; their tag says which), or ``launch`` (a run of ``invoke launch``).
    ``launch`` and ``annex`` are set for what belongs to an annex.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: Literal["packer", "instances", "security-group", "copy", "rules", "launch"]
    account: str
    endpoint: str
    region: str
    image: str
    build: str
    owner: Process
    created: float
    deadline: float
    ami_name: str = ""
    token: str = ""
    packer: Process | None = None
    registry: str = ""
    launch: str = ""
    annex: str = ""
    tags: Annotated[dict[str, str], Field(default_factory=dict)]


@dataclass(frozen=True)
class Journal:
    """The journal in one state folder."""

    folder: Path

    def write(self, entry: Entry) -> Entry:
        """Put an entry on disk before the call it speaks of.

        :raises FileError: the disk refused; do not make the call.
        """
        write_beside(
            self._path(entry.id), entry.model_dump_json(indent=2) + "\n", mode=0o600
        )
        return entry

    def close(self, entry_id: str) -> None:
        """Strike an entry: what it made is recorded elsewhere, or gone."""
        self._path(entry_id).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Return the open entries, oldest first.

        :raises JournalError: a file is not an entry; it is named and left alone.
        """
        if not self.folder.is_dir():
            return []
        found = [self._read(path) for path in sorted(self.folder.glob("*.json"))]
        return sorted((e for e in found if e), key=lambda e: e.created)

    def _path(self, entry_id: str) -> Path:
        return self.folder / f"{entry_id}.json"

    def _read(self, path: Path) -> Entry | None:
        try:
            return Entry.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:  # its owner closed it meanwhile
            return None
        except (OSError, ValueError, ValidationError) as error:
            raise JournalError(
                "this journal entry cannot be read",
                where=str(path),
                mend="move the file away, then: invoke reap (tags find what it made)",
            ) from error


def token(build: str, region: str, step: str) -> str:
    """Return the client token of a step: equal for equal arguments, 64 characters.

    Derived, not random, so that a run with an empty state folder asks for the same
    instances again (EC2 API reference, Ensuring idempotency).
    """
    return hashlib.sha256(f"{build}/{region}/{step}".encode()).hexdigest()


def this_process() -> Process:
    """Describe the running annexkit."""
    return Process.of(os.getpid())


def _host() -> str:
    # Names alone repeat (every cloud has its "localhost"), ids alone say nothing.
    return f"{platform.node()} {_line(MACHINE_ID)}".strip()


def _boot_id() -> str:
    return _line(BOOT_ID)


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # not Linux: a reboot then looks like the same boot
        return ""
