"""What one night did, as one record: written after every step, read by the page."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from annexkit.registry.model import Record


class Did(StrEnum):
    """How one step of one region ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    WAITING = "waiting"  # an earlier step has not been done there


class StepNight(Record):
    """One step in one region. ``cost``: US dollars, estimated; ``seconds``: of wall."""

    did: Did = Did.WAITING
    seconds: float = 0.0
    cost: float = 0.0
    detail: str = ""
    error: str = ""
    mend: str = ""


class RegionNight(Record):
    """One image in one region. ``before``: the build that was current there."""

    ami: str = ""
    before: str = ""
    boot_seconds: float | None = None
    copied: StepNight = StepNight()
    smoke: StepNight = StepNight()
    promote: StepNight = StepNight()


class PackageNight(Record):
    """A package that differs; an empty version: it is not there."""

    name: str
    old: str = ""
    new: str = ""


class BootNight(Record):
    """How long a build took from launch to SSH login in one region, in seconds."""

    build: str
    region: str
    created: AwareDatetime
    seconds: float


class ImageNight(Record):
    """One image for one architecture.

    ``why``: what proves that it is unchanged, or what changed, a sentence each.
    ``pending``: packages that the repositories have newer than the last build has.
    ``unchecked``: why the updates could not be checked; empty when they were.
    ``build``: tonight's build, or the one that is unchanged; ``before``: the build that
    was current. ``packages``: what differs between the two.
    """

    image: str
    arch: str
    changed: bool = False
    why: list[str] = Field(default_factory=list)
    digest: str = ""
    pending: list[PackageNight] = Field(default_factory=list)
    unchecked: str = ""
    build: str = ""
    before: str = ""
    home: str = ""
    bake: StepNight = StepNight()
    boot: StepNight = StepNight()
    regions: dict[str, RegionNight] = Field(default_factory=dict)
    packages: list[PackageNight] = Field(default_factory=list)
    boots: list[BootNight] = Field(default_factory=list)


class RetiredNight(Record):
    """One line of the retirement: ``step`` as `invoke retire` calls it."""

    step: str
    image: str
    arch: str
    region: str
    build: str
    ami: str
    reason: str
    error: str = ""


class Night(Record):
    """The whole night. ``month_before``, ``month_after``: US dollars a month."""

    id: str
    began: AwareDatetime
    ended: AwareDatetime | None = None
    dry_run: bool = False
    account: str = ""
    endpoint: str = ""
    images: list[ImageNight] = Field(default_factory=list)
    retired: list[RetiredNight] = Field(default_factory=list)
    retire: StepNight = StepNight()
    month_before: float | None = None
    month_after: float | None = None
    calls: int = 0
