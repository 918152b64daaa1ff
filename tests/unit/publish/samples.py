"""A registry with one of everything that an export meets."""

from __future__ import annotations

from datetime import UTC, datetime

from annexkit.registry import BaseImage, Build, Registry, State
from annexkit.registry.edits import promote, put_build, set_candidate
from annexkit.registry.model import Historical, RegionBuild
from tests.unit.helpers import ACCOUNT, AMI, DIGEST, ami_id

NOW = datetime.fromtimestamp(1_700_000_000, UTC)  # as FakeClock begins
BOTH = ("annexkit", "annex-ec2")
OLD = "20231111T120000-00000a"
ARM = "20231113T220000-00000b"
NEW = "20231113T090000-00000c"
ALMA = "20231114T120000-00000d"


def there(state: State, number: int = 0, reason: str = "") -> RegionBuild:
    return RegionBuild(
        ami=ami_id(number) if number else None,
        state=state,
        verified_at=datetime(2023, 11, 14, 13, tzinfo=UTC) if number else None,
        reason=reason,
    )


def build(
    build_id: str,
    regions: dict[str, RegionBuild],
    *,
    arch: str = "x86_64",
    htcondor: str = "23.9.6",
    contracts: tuple[str, ...] = BOTH,
) -> Build:
    created = datetime.strptime(build_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return Build.model_validate(
        {
            "created": created,
            "arch": arch,
            "digest": DIGEST,
            "base_ami": BaseImage(id=AMI, name="debian-13", owner="136693071363"),
            "htcondor": htcondor,
            "contracts": list(contracts),
            "regions": regions,
        }
    )


def fill(registry: Registry) -> None:
    """Put in what is current in three places, and what is not in two."""
    ready, failed = State.READY, State.FAILED
    old = {
        "us-west-2": there(ready, 1),
        "us-east-1": there(ready, 2),
        "eu-west-1": there(failed, reason="the copy never became available"),
    }
    put_build(registry, "debian13", OLD, build(OLD, old))
    arm = build(ARM, {"us-west-2": there(ready, 3)}, arch="arm64")
    put_build(registry, "debian13", ARM, arm)
    new = build(NEW, {"ap-south-1": there(State.PENDING, 5)})
    put_build(registry, "debian13", NEW, new)
    alma = build(
        ALMA,
        {"us-west-2": there(ready, 4)},
        htcondor="25.14.1",
        contracts=("annexkit",),
    )
    put_build(registry, "alma9", ALMA, alma)
    for build_id, region in (
        (OLD, "us-west-2"),
        (OLD, "us-east-1"),
        (ARM, "us-west-2"),
    ):
        promote(registry, "debian13", build_id, region)
    promote(registry, "alma9", ALMA, "us-west-2")
    set_candidate(registry, "debian13", NEW, "ap-south-1")
    registry.historical = [
        Historical(
            region="us-east-1",
            ami="ami-91e1a3fb",
            system="Amazon Linux",
            htcondor="8.4.2",
            source="guide",
        )
    ]


def a_registry() -> Registry:
    registry = Registry(account=ACCOUNT)
    fill(registry)
    return registry
