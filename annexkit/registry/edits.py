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
    there = _there(registry, image, build_id, region)
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
    there = _there(registry, image, build_id, region)
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
    there = _there(registry, image, build_id, region)
    there.state = State.FAILED
    there.reason = reason
    _drop(_channels(registry, image, build_id, region), build_id)


def set_retired(
    registry: Registry, image: str, build_id: str, region: str, reason: str
) -> None:
    """Record that a build's AMI is gone from one region; no channel keeps it."""
    set_failed(registry, image, build_id, region, reason)
    _there(registry, image, build_id, region).state = State.RETIRED


def put_copy(
    registry: Registry,
    image: str,
    build_id: str,
    region: str,
    *,
    ami: str,
    snapshot: str,
) -> None:
    """Record a copy of a build as its region's candidate.

    The same AMI again only adds its snapshot, so that a proved one stays proved.

    :raises EditError: the build has another proved AMI there.
    """
    build = _build(registry, image, build_id)
    known = build.regions.get(region)
    if known and known.state is State.READY and known.ami != ami:
        raise EditError(
            f"build {build_id} got another AMI in {region} meanwhile: {known.ami}",
            mend="invoke registry.list",
        )
    if known and known.state in (State.PENDING, State.READY) and known.ami == ami:
        known.snapshot = snapshot or known.snapshot
        return
    build.regions[region] = RegionBuild(
        ami=ami, snapshot=snapshot or None, state=State.PENDING
    )
    set_candidate(registry, image, build_id, region)


def put_failure(
    registry: Registry,
    image: str,
    build_id: str,
    region: str,
    *,
    reason: str,
    anew: bool,
) -> None:
    """Record why a region has no usable AMI of a build.

    :param anew: the AMI that is recorded there is of no use; else it stays recorded,
        because only the asking failed.
    """
    regions = _build(registry, image, build_id).regions
    known = regions.get(region)
    if known is None or not known.ami:
        regions[region] = RegionBuild(state=State.FAILED, reason=reason)
    elif anew and known.state is State.PENDING:
        set_failed(registry, image, build_id, region, reason)


def set_note(
    registry: Registry, image: str, build_id: str, region: str, note: str
) -> None:
    """Record how far the end of a build has come in one region; its state stays."""
    _there(registry, image, build_id, region).reason = note


def promote(registry: Registry, image: str, build_id: str, region: str) -> None:
    """Make a ready build ``current`` in one region; the old one is ``previous``.

    :raises ValueError: the build is not ready there.
    """
    there = _there(registry, image, build_id, region)
    if there.state is not State.READY:
        raise ValueError(f"build {build_id} is {there.state} in {region}, not ready")
    there.reason = ""  # a rollback from it is over
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


def _build(registry: Registry, image: str, build_id: str) -> Build:
    """Return a build.

    :raises EditError: somebody took it out since it was read.
    """
    record = registry.images.get(image)
    if record is None or build_id not in record.builds:
        raise EditError(
            f"the registry has no build {build_id} of image '{image}' any more",
            mend="bring back the registry that has it: git log -p ami_registry.json",
        )
    return record.builds[build_id]


def _there(registry: Registry, image: str, build_id: str, region: str) -> RegionBuild:
    """Return a build in one region.

    :raises EditError: as :func:`_build`.
    """
    found = _build(registry, image, build_id).regions.get(region)
    if found is None:
        raise EditError(
            f"the registry does not have build {build_id} in {region} any more",
            mend="bring back the registry that has it: git log -p ami_registry.json",
        )
    return found


def _channels(registry: Registry, image: str, build_id: str, region: str) -> Channels:
    record = registry.images[image]
    arch = record.builds[build_id].arch
    return record.channels.setdefault(arch, {}).setdefault(region, Channels())


def _drop(names: Channels, build_id: str) -> None:
    for name in Channels.model_fields:
        if getattr(names, name) == build_id:
            setattr(names, name, None)
