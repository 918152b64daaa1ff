"""The steps of one image in a night: bake, fresh boot, copy, smoke, promote.

A region that fails one step is left out of the later ones, and stops no other region.
Each step finds by the registry and EC2 what an earlier run did already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from annexkit.amis import Ami
from annexkit.errors import AnnexkitError, Interrupted, Level
from annexkit.flows import bake_plan, bake_run, nightly_cost
from annexkit.flows.bake_image import BakeRequest, make_candidate, prove_candidate
from annexkit.flows.copy_build import build_of, copy_build
from annexkit.flows.nightly_plan import ImagePlan
from annexkit.flows.nightly_record import Keeper
from annexkit.flows.nightly_steps import (
    AGAIN,
    GOOD,
    done,
    fail_rest,
    failed,
    unchanged,
)
from annexkit.flows.regionwise import Ended
from annexkit.flows.registry_move import MovePlan, Result, Step, run_plan
from annexkit.flows.registry_promote import ChannelRequest, promotion_plan
from annexkit.flows.site import Site
from annexkit.flows.smoke import Smoked
from annexkit.flows.smoke_regions import smoke_regions
from annexkit.publish.night import Did, ImageNight, RegionNight, StepNight
from annexkit.registry import RegionBuild, State
from annexkit.registry.pointers import moved_error, rolled_back

T = TypeVar("T")
KEEP = BakeRequest(keep_candidate=True)  # the home region is promoted with the others
OWN = "baked here"


def run_image(site: Site, keeper: Keeper, record: ImageNight, plan: ImagePlan) -> None:
    """Take what is left of the steps of one image; its record says how each ended.

    :raises Interrupted: a person stopped it; what is done stays done.
    """
    if plan.left_alone:
        return
    try:
        if at_home(site, keeper, record, plan):
            copy(site, record)
            keeper.save()
            smoke(site, record)
            keeper.save()
            promote(site, keeper, record)
    except Interrupted:
        raise
    except AnnexkitError as error:  # of no step: somebody changed the registry, say
        site.console.error(error)
        fail_rest(record, error)
    keeper.save()


def at_home(site: Site, keeper: Keeper, record: ImageNight, plan: ImagePlan) -> bool:
    """Bake and boot, as far as it is needed; return whether there is a proved build."""
    if plan.going_on and plan.candidate is None:
        return True  # where its AMI is gone, it is copied back
    ami = _ami_of(plan.candidate) if plan.candidate else _baked(site, record, plan)
    keeper.save()
    if ami is None:
        return False
    prove = partial(prove_candidate, site, plan.bake, record.build, ami, KEEP)
    proved, record.boot = _timed(site, prove)
    record.boot.cost = nightly_cost.of_boot(site, plan.bake, record.boot.seconds)
    keeper.save()
    if proved is None:
        return False
    home = record.regions[record.home]
    home.ami = ami.id
    baked = record.bake.did is Did.DONE
    home.copied = done(detail=OWN) if baked else unchanged(OWN)
    home.smoke = done(detail="by its fresh boot")
    home.boot_seconds = _there(site, record, record.home).boot_seconds
    return True


def _baked(site: Site, record: ImageNight, plan: ImagePlan) -> bake_run.Ami | None:
    bake = bake_plan.begin(site, plan.bake)
    for finding in bake.findings:
        site.console.finding(finding)
    ami, record.bake = _timed(site, partial(make_candidate, site, bake))
    record.bake.cost = nightly_cost.of_bake(site, bake, record.bake.seconds)
    record.build = bake.build_id if ami else ""
    return ami


def copy(site: Site, record: ImageNight) -> None:
    """Copy the build to every region whose copy waits; the record says how it went."""
    todo = [r for r, one in record.regions.items() if one.copied.did is Did.WAITING]
    if not todo:
        return
    work = partial(copy_build, site, record.image, record.build, todo)
    ended, whole = _timed(site, work)

    def told(there: RegionNight, ami: Ami, seconds: float) -> StepNight:
        before, there.ami = there.ami, ami.id
        if before == ami.id:
            return unchanged("an earlier run had begun it")
        return done(seconds, ami.id)

    for region in todo:
        there = record.regions[region]
        there.copied = _of_region(ended, whole, region, partial(told, there))


def smoke(site: Site, record: ImageNight) -> None:
    """Prove the copy of every region whose smoke waits, where it is copied."""
    todo = []
    for region, one in record.regions.items():
        if one.copied.did not in GOOD or one.smoke.did is not Did.WAITING:
            continue
        there = _there(site, record, region)
        if there.state is State.READY:
            one.smoke = unchanged("it was proved before")
            one.boot_seconds = there.boot_seconds
        else:
            todo.append(region)
    if not todo:
        return
    work = partial(smoke_regions, site, record.image, record.build, todo)
    ended, whole = _timed(site, work)

    def told(there: RegionNight, smoked: Smoked, seconds: float) -> StepNight:
        there.boot_seconds = smoked.boot_seconds
        shown = smoked.boot_seconds + smoked.job_seconds + smoked.ended_seconds
        said = f"{smoked.instance_type}, a job in {smoked.job_seconds:.0f} s"
        return done(seconds or shown, said, smoked.cost or 0.0)

    for region in todo:
        there_now = record.regions[region]
        there_now.smoke = _of_region(ended, whole, region, partial(told, there_now))


def promote(site: Site, keeper: Keeper, record: ImageNight) -> None:
    """Move the pointer of every region that waits for it and is proved.

    One that somebody moved since the night began stays where they put it.
    """
    todo = [
        region
        for region, one in record.regions.items()
        if one.copied.did in GOOD and one.smoke.did in GOOD
        if one.promote.did is Did.WAITING
    ]
    if not todo:
        return
    request = ChannelRequest(record.image, record.arch, tuple(todo), record.build)
    moves, whole = _timed(site, lambda: promotion_plan(site, request))
    if moves is None:
        for region in todo:
            record.regions[region].promote = whole
        return
    steps = tuple(_unless_moved(step, record) for step in moves.steps)
    moves = replace(moves, steps=steps)
    site.console.detail(moves.pool.said)

    def tell(step: Step) -> None:
        _put_move(site, record, moves, step)
        keeper.save()

    for step in moves.steps:
        if step.result is not Result.MOVES:
            tell(step)
    run_plan(site, moves, tell)


def _unless_moved(step: Step, record: ImageNight) -> Step:
    """Leave the pointers of a region alone that somebody moved since the night began.

    The moves are planned from what stands there now, and would overwrite theirs
    (docs/architecture.md, law 3).
    """
    if step.move is None or step.result is not Result.MOVES:
        return step
    if rolled_back(step.move.there):
        why = f"{step.move.there.reason}: left alone"
        return replace(step, result=Result.UNCHANGED, why=why)
    then, now = record.regions[step.region].before, step.now.current
    if now in (then, None):  # None: this night struck it, because its AMI was gone
        return step
    error = moved_error(
        step.region, f"current is {now or 'unset'}, was {then or 'unset'}"
    )
    return replace(
        step,
        result=Result.REFUSED,
        why=error.what,
        findings=(*step.findings, *error.findings),
    )


def _put_move(site: Site, record: ImageNight, moves: MovePlan, step: Step) -> None:
    there = record.regions[step.region]
    if step.result is Result.MOVED:
        there.promote = done(detail=f"it was {step.now.current or 'none'}")
        site.console.step(f"{step.region}: build {record.build} is current")
        return
    if step.result is not Result.REFUSED:
        there.promote = unchanged(step.why)
        return
    found = (*step.findings, *moves.pool.findings)
    errors = [one for one in found if one.level is Level.ERROR]
    for one in errors:
        site.console.finding(one)
    site.console.step(f"{step.region}: its pointers stay")
    mend = next((one.mend for one in errors if one.mend), AGAIN)
    there.promote = StepNight(did=Did.FAILED, error=step.why, mend=mend)


def _of_region(
    ended: list[Ended[T]] | None,
    whole: StepNight,
    region: str,
    told: Callable[[T, float], StepNight],
) -> StepNight:
    """Return how a region ended; *whole*: how all did, if the work never began."""
    one = next((one for one in ended or () if one.region == region), None)
    if one is None:
        return whole
    if one.error:
        return failed(one.error, one.seconds, region)
    return told(one.value, one.seconds) if one.value else unchanged("nothing was to do")


def _timed(site: Site, work: Callable[[], T]) -> tuple[T | None, StepNight]:
    """Do it; return what came of it, and the step as it is told.

    :raises Interrupted: a person stopped it.
    """
    began = site.clock.monotonic()
    try:
        value = work()
    except Interrupted:
        raise
    except AnnexkitError as error:
        site.console.error(error)
        return None, failed(error, site.clock.monotonic() - began)
    return value, done(site.clock.monotonic() - began)


def _there(site: Site, record: ImageNight, region: str) -> RegionBuild:
    """Return what the registry has there now; nothing usable when it has nothing.

    :raises UsageError: the build is not in it any more.
    """
    build = build_of(site, record.image, record.build)
    return build.regions.get(region) or RegionBuild(state=State.SKIPPED)


def _ami_of(there: RegionBuild) -> bake_run.Ami:
    return bake_run.Ami(there.ami or "", there.snapshot or "")
