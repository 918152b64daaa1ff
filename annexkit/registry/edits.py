"""The changes a bake makes to the registry; each one edits it in place."""

from __future__ import annotations

from datetime import datetime

from annexkit.errors import AnnexkitError
from annexkit.registry.model import (
    POINTED_AT,
    Build,
    Channels,
    ImageRecord,
    RegionBuild,
    Registry,
    State,
    newest_first,
)


class EditError(AnnexkitError):
    """The registry has moved on: the change does not fit it any more."""


def put_build(registry: Registry, image: str, build_id: str, build: Build) -> None:
    """Add a build, or merge its regions into the one that is there."""
    record = registry.images.setdefault(image, ImageRecord())
    known = record.builds.get(build_id)
    if known is None:
        record.builds[build_id] = build
    else:
        known.regions.update(build.regions)


def set_candidate(registry: Registry, image: str, build_id: str, region: str) -> None:
    """Point ``candidate`` at a build, in its architecture, in one region.

    :raises ValueError: the build failed, was skipped or is retired there.
    """
    there = registry.images[image].builds[build_id].regions[region]
    if there.state not in POINTED_AT["candidate"]:
        raise ValueError(f"build {build_id} is {there.state} in {region}")
    _channels(registry, image, build_id, region).candidate = build_id


def set_proved(
    registry: Registry,
    image: str,
    build_id: str,
    region: str,
    *,
    at: datetime,
    boot_seconds: float | None,
) -> None:
    """Record that a fresh instance of the AMI passed every check.

    :raises EditError: somebody retired it meanwhile.
    """
    there = registry.images[image].builds[build_id].regions[region]
    if there.state not in (State.PENDING, State.READY):
        raise EditError(
            f"build {build_id} became {there.state} in {region} while it was proved: "
            f"{there.reason}",
            mend="invoke bake",
        )
    there.state = State.READY
    there.verified_at = at
    there.boot_seconds = boot_seconds
    there.reason = ""


def set_failed(
    registry: Registry, image: str, build_id: str, region: str, reason: str
) -> None:
    """Record why a build is not usable in one region; no channel keeps it."""
    there = registry.images[image].builds[build_id].regions[region]
    there.state = State.FAILED
    there.reason = reason
    _drop(_channels(registry, image, build_id, region), build_id)


def set_retired(
    registry: Registry, image: str, build_id: str, region: str, reason: str
) -> None:
    """Record that a build's AMI is gone from one region; no channel keeps it."""
    set_failed(registry, image, build_id, region, reason)
    registry.images[image].builds[build_id].regions[region].state = State.RETIRED


def promote(registry: Registry, image: str, build_id: str, region: str) -> None:
    """Make a ready build ``current`` in one region; the old one is ``previous``.

    :raises ValueError: the build is not ready there.
    """
    there = registry.images[image].builds[build_id].regions[region]
    if there.state is not State.READY:
        raise ValueError(f"build {build_id} is {there.state} in {region}, not ready")
    names = _channels(registry, image, build_id, region)
    if names.current != build_id:
        names.previous, names.current = names.current, build_id
    if names.candidate == build_id:
        names.candidate = None


def find_equal(
    registry: Registry, image: str, arch: str, region: str, digest: str
) -> tuple[str, Build, RegionBuild] | None:
    """Return the build of equal digest that stands in a region: proved ones first."""
    record = registry.images.get(image)
    if record is None:
        return None
    found = [
        (build_id, build, build.regions[region])
        for build_id, build in newest_first(record.builds)
        if build.arch == arch and build.digest == digest and region in build.regions
    ]
    for state in (State.READY, State.PENDING):
        for item in found:
            if item[2].state is state and item[2].ami:
                return item
    return None


def _channels(registry: Registry, image: str, build_id: str, region: str) -> Channels:
    record = registry.images[image]
    arch = record.builds[build_id].arch
    return record.channels.setdefault(arch, {}).setdefault(region, Channels())


def _drop(names: Channels, build_id: str) -> None:
    for name in Channels.model_fields:
        if getattr(names, name) == build_id:
            setattr(names, name, None)
