"""The steps of a night as its record tells them, and which are left to be taken."""

from __future__ import annotations

from collections.abc import Sequence

from annexkit.errors import AnnexkitError, Level
from annexkit.flows.nightly_look import Looked
from annexkit.flows.nightly_plan import ImagePlan, Planned
from annexkit.publish import page
from annexkit.publish.night import (
    Did,
    ImageNight,
    PackageNight,
    RegionNight,
    StepNight,
)
from annexkit.registry import Registry
from annexkit.registry.pointers import rolled_back

GOOD = (Did.DONE, Did.UNCHANGED)
AGAIN = page.RESUME
REGION_STEPS = tuple(name for name, _ in page.REGION_STEPS)


def later(old: StepNight, new: StepNight) -> StepNight:
    """Return what is told of a step: that it was done tonight outlives "unchanged"."""
    return old if (old.did, new.did) == (Did.DONE, Did.UNCHANGED) else new


def done(seconds: float = 0.0, detail: str = "", cost: float = 0.0) -> StepNight:
    """Return a step that was taken."""
    return StepNight(did=Did.DONE, seconds=seconds, detail=detail, cost=cost)


def unchanged(detail: str = "") -> StepNight:
    """Return a step that was not needed."""
    return StepNight(did=Did.UNCHANGED, detail=detail)


def waiting(detail: str = "") -> StepNight:
    """Return a step that is still to be taken."""
    return StepNight(did=Did.WAITING, detail=detail)


def failed(error: AnnexkitError, seconds: float = 0.0, region: str = "") -> StepNight:
    """Return a step that failed, with the first command that mends it.

    :param region: where it was; what says so itself is not told twice.
    """
    found = [f for f in error.findings if f.level is Level.ERROR] or [*error.findings]
    said = [
        f.what if f.where in ("", region) else f"{f.where}: {f.what}" for f in found
    ]
    mend = next((f.mend for f in found if f.mend), AGAIN)
    return StepNight(did=Did.FAILED, seconds=seconds, error="; ".join(said), mend=mend)


def fail_rest(record: ImageNight, error: AnnexkitError) -> None:
    """Tell of an error that belongs to no step: what waits in each region failed."""
    waited = False
    for region, there in record.regions.items():
        steps = (getattr(there, name).did for name in REGION_STEPS)
        at = next((n for n, did in enumerate(steps) if did not in GOOD), None)
        if at is None or getattr(there, REGION_STEPS[at]).did is Did.FAILED:
            continue
        setattr(there, REGION_STEPS[at], failed(error, region=region))
        waited = True
    if not waited:
        record.bake = failed(error)


def first_record(
    planned: Planned,
    registry: Registry,
    looked: Looked,
    home: str,
    regions: Sequence[str],
) -> ImageNight:
    """Return the record of an image before its first step: what is to be done where."""
    name, arch = planned.wanted.image, planned.wanted.arch
    plan = planned.plan
    if plan is None:
        error = planned.error or AnnexkitError("it was not planned")
        there = {region: RegionNight() for region in regions}
        return ImageNight(
            image=name, arch=arch, home=home, bake=failed(error), regions=there
        )
    record = ImageNight(
        image=name,
        arch=arch,
        changed=plan.changed,
        why=list(plan.why),
        digest=plan.bake.digest.value,
        pending=[
            PackageNight(name=u.name, old=u.installed, new=u.offered)
            for u in plan.updates.found
        ],
        unchecked="; ".join(plan.updates.unchecked),
        build=plan.going_on[0] if plan.going_on else "",
        before=plan.before,
        home=home,
    )
    if plan.going_on:
        record.bake = unchanged(f"build {record.build} is of the same input")
        if plan.candidate is None:
            record.boot = unchanged("it was proved before")
    record.regions = {r: _region(plan, registry, looked, r) for r in regions}
    for region, one in record.regions.items():
        one.before = registry.channel(name, arch, region).current or ""
    return record


def _region(
    plan: ImagePlan, registry: Registry, looked: Looked, region: str
) -> RegionNight:
    if error := looked.silent.get(region):
        return RegionNight(copied=failed(error, region=region))
    if plan.going_on is None:
        return RegionNight()
    build_id, build = plan.going_on
    there = build.regions.get(region)
    found = RegionNight(ami=(there.ami or "") if there else "")
    if plan.left_alone:
        alone = unchanged("left alone")
        return found.model_copy(
            update={"copied": alone, "smoke": alone, "promote": alone}
        )
    if there is None or not looked.fits(region, there):
        own = region == plan.bake.region and plan.candidate is not None
        found.copied = unchanged("baked here") if own else waiting("to be copied")
        found.smoke = waiting("to be booted")
        found.promote = waiting("to be promoted")
        return found
    found.boot_seconds = there.boot_seconds
    found.copied = unchanged("it stands")
    found.smoke = unchanged(f"proved {there.verified_at:%Y-%m-%d %H:%M} UTC")
    names = registry.channel(plan.bake.image.name, plan.bake.arch, region)
    if rolled_back(there):
        found.promote = unchanged(f"{there.reason}: left alone")
    elif names.current == build_id:
        found.promote = unchanged("it is current")
    else:
        found.promote = waiting("to be promoted")
    return found
