"""What ``ami_registry.json`` holds, as values that refuse what they do not know."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA = 1

AmiId = Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")]
SnapshotId = Annotated[str, Field(pattern=r"^snap-[0-9a-f]{8,17}$")]
BuildId = Annotated[str, Field(pattern=r"^\d{8}T\d{6}-[0-9a-f]{6}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class State(StrEnum):
    """How far a build got in one region."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETIRED = "retired"


# What a channel may point at; whoever launches relies on it.
POINTED_AT = {
    "current": (State.READY,),
    "previous": (State.READY,),
    "candidate": (State.PENDING, State.READY),
}


class Record(BaseModel):
    """A part of the registry; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class BaseImage(Record):
    """The AMI that a build started from."""

    id: AmiId
    name: str
    owner: str


class Git(Record):
    """The checkout that a build was made from."""

    sha: str = ""
    dirty: bool = False


class Packages(Record):
    """Where a build's package list lies, beside the registry, and its digest."""

    path: str
    sha256: Sha256


class RegionBuild(Record):
    """One build in one region: at most one AMI."""

    ami: AmiId | None = None
    snapshot: SnapshotId | None = None
    state: State
    verified_at: AwareDatetime | None = None
    boot_seconds: float | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _ready_means_an_ami(self) -> RegionBuild:
        if self.state is State.READY and not (self.ami and self.verified_at):
            raise ValueError("a ready region needs 'ami' and 'verified_at'")
        return self


class Build(Record):
    """One bake of one image for one architecture.

    ``helper_scripts``: which CloudFormation helper scripts are really in it, as name
    and version; empty without contract seed-cfn.
    """

    created: AwareDatetime
    arch: Literal["x86_64", "arm64"]
    digest: Sha256
    parts: dict[str, str] = Field(default_factory=dict)
    git: Git = Git()
    contracts: list[str] = Field(default_factory=list)
    helper_scripts: str = ""
    base_ami: BaseImage
    htcondor: str = ""
    packer: str = ""
    packages: Packages | None = None
    regions: dict[str, RegionBuild] = Field(default_factory=dict)


class Channels(Record):
    """Which build each name points to, for one architecture in one region."""

    current: BuildId | None = None
    previous: BuildId | None = None
    candidate: BuildId | None = None


class ImageRecord(Record):
    """All builds of one image, and the channels: architecture → region → names."""

    channels: dict[str, dict[str, Channels]] = Field(default_factory=dict)
    builds: dict[BuildId, Build] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _channels_point_at_builds(self) -> ImageRecord:
        for arch, regions in self.channels.items():
            for region, names in regions.items():
                for name, build in names.model_dump().items():
                    if build is not None:
                        self._check_pointer(f"{arch}.{region}.{name}", build, region)
        return self

    def _check_pointer(self, where: str, build: str, region: str) -> None:
        if build not in self.builds:
            raise ValueError(f"channel {where} points to build {build}, which is none")
        if region not in self.builds[build].regions:
            raise ValueError(
                f"channel {where} points to {build}, which has no AMI there"
            )
        arch, name = where.partition(".")[0], where.rpartition(".")[2]
        if self.builds[build].arch != arch:
            raise ValueError(
                f"channel {where} points to {build}, of another architecture"
            )
        state = self.builds[build].regions[region].state
        if state not in POINTED_AT[name]:
            raise ValueError(f"channel {where} points to {build}, which is {state}")


class Historical(Record):
    """A public AMI of the past: known, never launched."""

    region: str
    ami: AmiId
    system: str
    htcondor: str
    source: str


class Registry(Record):
    """The whole file. ``account`` is empty until the first bake claims it."""

    schema_: Literal[1] = Field(1, alias="schema")
    account: Annotated[str, Field(pattern=r"^(\d{12})?$")] = ""
    endpoint: str = "aws"
    images: dict[str, ImageRecord] = Field(default_factory=dict)
    historical: list[Historical] = Field(default_factory=list)

    model_config = ConfigDict(populate_by_name=True)

    def channel(self, image: str, arch: str, region: str) -> Channels:
        """Return the channels of an image there; all unset when there is none."""
        record = self.images.get(image, ImageRecord())
        return record.channels.get(arch, {}).get(region, Channels())

    def amis(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return (region, AMI id) → (image, build id) of every AMI that stands."""
        return {
            (region, there.ami): (image, build_id)
            for image, record in self.images.items()
            for build_id, build in record.builds.items()
            for region, there in build.regions.items()
            if there.ami and there.state is not State.RETIRED
        }

    def regions(self) -> frozenset[str]:
        """Return the regions in which any build names an AMI, retired ones as well."""
        return frozenset(
            region
            for record in self.images.values()
            for build in record.builds.values()
            for region, there in build.regions.items()
            if there.ami
        )


def newest_first(builds: dict[str, Build]) -> list[tuple[str, Build]]:
    """Return the builds with the latest creation first."""

    def created(item: tuple[str, Build]) -> datetime:
        return item[1].created

    return sorted(builds.items(), key=created, reverse=True)
