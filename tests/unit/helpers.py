"""Values and a clock that several unit tests share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from annexkit.journal import Entry, Process
from annexkit.registry import BaseImage, Build, RegionBuild, State

ACCOUNT = "123456789012"
REGION = "us-west-2"
NOON = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)
AMI = "ami-0123456789abcdef0"
SNAPSHOT = "snap-0123456789abcdef0"
BUILD = "20240517T120000-0a1b2c"
DIGEST = "ab" * 32


@dataclass
class FakeClock:
    """A clock that only moves when somebody sleeps; all its faces move together."""

    now: float = 1_700_000_000.0
    slept: float = 0.0

    def time(self) -> float:
        return self.now + self.slept

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float, /) -> None:
        assert seconds >= 0, "nobody can sleep backwards"
        self.slept += seconds


def build_id(number: int) -> str:
    return f"20240517T120000-{number:06x}"


def ami_id(number: int) -> str:
    return f"ami-{number:017x}"


def in_region(state: State = State.PENDING, ami: str | None = AMI) -> RegionBuild:
    return RegionBuild(
        ami=ami, state=state, verified_at=NOON if state is State.READY else None
    )


def a_build(
    regions: dict[str, RegionBuild] | None = None,
    *,
    arch: str = "x86_64",
    digest: str = DIGEST,
    created: datetime = NOON,
) -> Build:
    return Build.model_validate(
        {
            "created": created,
            "arch": arch,
            "digest": digest,
            "base_ami": BaseImage(id=AMI, name="debian-13", owner="136693071363"),
            "regions": regions if regions is not None else {REGION: in_region()},
        }
    )


def an_entry(owner: Process, **changes: object) -> Entry:
    values: dict[str, object] = {
        "id": f"{BUILD}-{REGION}",
        "kind": "packer",
        "account": ACCOUNT,
        "endpoint": "aws",
        "region": REGION,
        "image": "debian13",
        "build": BUILD,
        "owner": owner,
        "created": 1_700_000_000.0,
        "deadline": 1_700_007_200.0,
        "ami_name": f"annexkit-debian13-x86_64-{BUILD}",
    }
    return Entry.model_validate(values | changes)
