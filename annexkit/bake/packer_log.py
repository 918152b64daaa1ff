"""What Packer says while it works, as typed events.

The source is Packer's machine-readable output (Packer documentation, "Machine-Readable
Output"): ``unix-time,target,type,data...``, with commas and newlines escaped. What a
person would see comes as type ``ui``; its wording is that of Packer's amazon builder
and of its shell and file provisioners.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

GUEST_LINES = 20
PROBLEM_LINES = 10
COMMA = "%!(PACKER_COMMA)"


class Phase(StrEnum):
    """The parts of a bake, in their usual order."""

    PREPARE = "prepare"
    LAUNCH = "launch"
    CONNECT = "connect"
    PROVISION = "provision"
    STOP = "stop"
    IMAGE = "image"
    TAG = "tag"
    RECORD = "record"
    CLEAN = "clean up"


# The first words of what Packer says when a part begins.
BEGINNINGS: tuple[tuple[str, Phase], ...] = (
    (r"Prevalidating ", Phase.PREPARE),
    (r"Creating temporary (keypair|security group|\S+ SSH key)", Phase.PREPARE),
    (r"Authorizing access to port", Phase.PREPARE),
    (r"Launching a (source|spot) AWS instance", Phase.LAUNCH),
    (r"Waiting for instance ", Phase.LAUNCH),
    (r"Adding tags to source ", Phase.LAUNCH),
    (r"Using \S+ communicator to connect", Phase.CONNECT),
    (r"Waiting for SSH to become available", Phase.CONNECT),
    (r"Connected to SSH", Phase.CONNECT),
    (r"(Uploading|Downloading) .* => ", Phase.PROVISION),
    (r"Provisioning with shell script: ", Phase.PROVISION),
    (r"Running local shell script: ", Phase.PROVISION),
    (r"Trying to remove ephemeral keys", Phase.PROVISION),
    (r"Stopping the source instance", Phase.STOP),
    (r"Waiting for the instance to stop", Phase.STOP),
    (r"Creating AMI \S+ from instance", Phase.IMAGE),
    (r"Waiting for AMI to become ready", Phase.IMAGE),
    (r"(Adding|Creating) .*tags|Modifying attributes on ", Phase.TAG),
    (r"Running post-processor", Phase.RECORD),
    (r"Provisioning step had errors", Phase.CLEAN),
    (r"Terminating the source AWS instance", Phase.CLEAN),
    (r"Cleaning up any extra volumes", Phase.CLEAN),
    (r"Deleting temporary ", Phase.CLEAN),
    (r"Deregistering the AMI", Phase.CLEAN),
)
_BEGINNINGS = tuple((re.compile(words), phase) for words, phase in BEGINNINGS)
_RECORD = re.compile(r"(?P<at>\d+),(?P<target>[^,]*),(?P<type>[^,]+),(?P<data>.*)")
_PREFIX = re.compile(r"^(==>|-->|   ) [\w.-]+: ?", re.MULTILINE)
# What Packer itself says as an error while a provisioner runs; all else is the guest's.
CANCELLED = "Cancelling build after receiving"
_OWN_ERROR = re.compile(rf"({CANCELLED}|Build '|Provisioner failed|retry limit)")


@dataclass(frozen=True)
class Step:
    """A step began; ``text`` is what Packer said, ``at`` is epoch seconds."""

    phase: Phase
    text: str
    at: float = 0.0

    @property
    def label(self) -> str:
        """Say it shortly: the file of a step, else Packer's own words.

        Commands that stand in the template itself come from a file of Packer's.
        """
        found = re.match(r"(?:Provisioning with|Running local) .*: (\S+)$", self.text)
        name = Path(found[1]).name if found else self.text.rstrip(".")
        return "inline commands" if name.startswith("packer-shell") else name


@dataclass(frozen=True)
class GuestLine:
    """Something that the machine being baked printed, on either output."""

    text: str
    at: float = 0.0


@dataclass(frozen=True)
class Problem:
    """Something that Packer reported as wrong; ``final`` when a build ended by it."""

    text: str
    final: bool = False
    at: float = 0.0


Event = Step | GuestLine | Problem


@dataclass
class LogReader:
    """Turns Packer's log into events, line by line, and keeps what explains a failure.

    The guest's standard error is marked exactly as an error of Packer, so while a
    provisioner runs only what matches Packer's own wording counts as a problem.
    """

    step: Step | None = None
    failed_step: Step | None = None
    guest: deque[str] = field(default_factory=lambda: deque(maxlen=GUEST_LINES))
    problems: deque[str] = field(default_factory=lambda: deque(maxlen=PROBLEM_LINES))
    finals: list[str] = field(default_factory=list)
    cancelled: bool = False

    def read(self, line: str) -> list[Event]:
        """Return the events in one line, most often none or one."""
        record = _RECORD.fullmatch(line)
        if not record:  # Packer died before, or beside, its machine-readable output
            return self._kept(Problem(line)) if line.strip() else []
        at, data = float(record["at"]), record["data"]
        if record["type"] == "error":
            return self._kept(Problem(unescape(data), final=True, at=at))
        if record["type"] != "ui":
            return []
        kind, _, text = data.partition(",")
        return self._ui(kind, unescape(text), at)

    @property
    def errors(self) -> list[str]:
        """What Packer failed of: its final errors, else the last it complained of."""
        return list(dict.fromkeys(self.finals)) or list(self.problems)

    def _ui(self, kind: str, text: str, at: float) -> list[Event]:
        text = _PREFIX.sub("", text).strip("\n")
        if kind == "say":
            phase = _phase(text)
            return self._kept(Step(phase, text.strip(), at)) if phase else []
        if self._provisioning and not (kind == "error" and _OWN_ERROR.match(text)):
            lines = (GuestLine(said.rstrip(), at) for said in text.split("\n"))
            return [event for said in lines for event in self._kept(said)]
        return self._kept(Problem(text.strip(), at=at)) if kind == "error" else []

    @property
    def _provisioning(self) -> bool:
        return self.step is not None and self.step.phase is Phase.PROVISION

    def _kept(self, event: Event) -> list[Event]:
        match event:
            case Step(phase=Phase.CLEAN):
                self.failed_step = self.failed_step or self.step
                self.step = event
            case Step():
                self.step, self.failed_step = event, None
                self.guest.clear()
            case GuestLine(text=text):
                self.guest.append(text)
            case Problem(text=text, final=True):
                self.finals.append(text)
            case Problem(text=text):
                self.problems.append(text)
                self.cancelled = self.cancelled or text.startswith(CANCELLED)
        return [event]


@dataclass
class LogTail:
    """The growing end of a log file; ``pump`` returns the events since last time."""

    file: BinaryIO
    reader: LogReader = field(default_factory=LogReader)
    _rest: bytes = b""

    def pump(self, *, to_end: bool = False) -> list[Event]:
        """Return what is new; a last line without its end only when *to_end*."""
        *lines, self._rest = (self._rest + self.file.read()).split(b"\n")
        if to_end and self._rest:
            lines.append(self._rest)
            self._rest = b""
        texts = (line.decode(errors="replace").rstrip("\r") for line in lines)
        return [event for text in texts for event in self.reader.read(text)]


def unescape(data: str) -> str:
    """Undo what Packer does to commas and line ends.

    Packer does not escape the backslash itself, so a literal ``\\n`` that a guest
    printed comes out as a line end.
    """
    return data.replace(COMMA, ",").replace("\\r", "\r").replace("\\n", "\n")


def _phase(text: str) -> Phase | None:
    said = text.strip()
    return next((phase for words, phase in _BEGINNINGS if words.match(said)), None)
