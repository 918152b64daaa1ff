"""``invoke bake``: from a recipe to a proved, recorded, current AMI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from annexkit.bake.digest import summary
from annexkit.errors import (
    AnnexkitError,
    Exit,
    Interrupted,
    Level,
    UsageError,
    raise_on_errors,
)
from annexkit.flows import bake_plan, bake_run, proof_record, prove
from annexkit.flows.bake_plan import BakePlan
from annexkit.flows.copy_build import build_of
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.site import Site
from annexkit.registry.edits import promote, set_retired
from annexkit.registry.pointers import rolled_back
from annexkit.settings import split_flag


@dataclass(frozen=True)
class BakeRequest:
    """What was asked for on the command line; empty means the settings' own."""

    image: str = ""
    regions: tuple[str, ...] = ()
    arch: str = ""
    force: bool = False
    dry_run: bool = False
    keep_candidate: bool = False


@dataclass(frozen=True)
class Outcome:
    """How one region ended."""

    region: str
    what: str
    detail: Mapping[str, Any]
    error: AnnexkitError | None = None


def bake_regions(site: Site, request: BakeRequest) -> Exit:
    """Bake in each region; one that fails stops no other and moves no pointer.

    :returns: DONE, FAILED when every region failed, PARTLY when only some did.
    :raises Interrupted: a person stopped it; the regions done stay done.
    """
    bake = site.settings.bake
    given = ",".join(request.regions) if request.regions else None
    regions = split_flag(given, bake.regions)
    if not regions:
        raise UsageError(
            "no region to bake in",
            where="annexkit.bake.regions",
            mend="invoke bake --region us-west-2, or name one in invoke.yaml",
        )
    site.cloud.check_regions(regions)
    image = bake_plan.read_image(site, request.image or bake.image)
    arch = image.architecture(request.arch or bake.arch)
    bake_plan.check_checkout(site.root)
    site.check_account()
    outcomes = []
    for region in regions:
        try:
            plan = bake_plan.make_plan(site, image, arch, region)
            outcomes.append(_bake_one(site, plan, request))
        except Interrupted:
            raise
        except AnnexkitError as error:
            outcomes.append(Outcome(region, "failed", {"error": str(error)}, error))
            site.console.error(error)
    return _report(site, outcomes)


def _bake_one(site: Site, plan: BakePlan, request: BakeRequest) -> Outcome:
    for finding in plan.findings:
        if finding.level is not Level.ERROR:
            site.console.finding(finding)
    raise_on_errors(plan.findings)
    equal = plan.equal
    if equal and not equal.stands:
        site.console.step(f"{equal.there.ami} of build {equal.build_id} is gone")
    elif equal and not request.force:
        return _from_equal(site, plan, request)
    if plan.changed:
        site.console.step(f"changed: {', '.join(plan.changed)}")
    if request.dry_run:
        return _rehearsed(site, plan)
    ami = make_candidate(site, plan)
    return prove_candidate(site, plan, plan.build_id, ami, request)


def make_candidate(site: Site, plan: BakePlan) -> bake_run.Ami:
    """Bake and register; an equal build whose AMI is gone is struck from the record.

    :raises AnnexkitError: as :func:`bake_run.bake`.
    """
    equal = plan.equal
    if equal and not equal.stands:
        site.registry.update(
            partial(
                set_retired,
                image=plan.image.name,
                build_id=equal.build_id,
                region=plan.region,
                reason="its AMI is gone from EC2",
            )
        )
    return bake_run.bake(site, plan)


def _from_equal(site: Site, plan: BakePlan, request: BakeRequest) -> Outcome:
    """Finish what an earlier run of equal digest left undone, or say it is done."""
    equal = plan.equal
    assert equal is not None  # noqa: S101 -- the caller looked
    proof = {
        "build": equal.build_id,
        "ami": equal.there.ami,
        "digest": plan.digest.value,
        "parts": summary(plan.digest.parts),
    }
    done = equal.there.verified_at is not None
    ami = bake_run.Ami(equal.there.ami or "", equal.there.snapshot or "")
    if done and equal.marked and not request.dry_run:
        # An earlier run was stopped before it could.
        proof_record.unmark(site, plan.region, (ami.id, ami.snapshot))
    if done and (equal.current or request.keep_candidate):
        site.console.step(
            f"{plan.name}: nothing to do; {equal.there.ami} (build {equal.build_id}) "
            f"was made from the same input, digest {plan.digest.value[:16]}"
        )
        return Outcome(plan.region, "unchanged", proof)
    if rolled_back(equal.there):
        site.console.step(
            f"{plan.name}: nothing to do; build {equal.build_id}, made from the same "
            f"input, was {equal.there.reason}"
        )
        site.console.detail(
            f"invoke registry.promote --build {equal.build_id} makes it current again, "
            "invoke bake --force bakes anew"
        )
        return Outcome(plan.region, "rolled back", proof)
    if request.dry_run:
        what = "make current" if done else "prove"
        site.console.step(f"{plan.name}: would {what} build {equal.build_id}")
        return Outcome(plan.region, "planned", proof)
    if done:
        return _promote(site, plan, equal.build_id, proof)
    site.console.step(f"{plan.name}: build {equal.build_id} was not proved yet")
    return prove_candidate(site, plan, equal.build_id, ami, request)


def _rehearsed(site: Site, plan: BakePlan) -> Outcome:
    folder = bake_run.validate(site, plan)
    shown = (
        folder.relative_to(site.root) if folder.is_relative_to(site.root) else folder
    )
    site.console.step(f"{plan.name}: would bake {bake_plan.ami_name(site, plan)}")
    site.console.detail(f"base AMI {plan.base.id} ({plan.base.name})")
    site.console.detail(
        f"HTCondor {plan.version or 'not checked'}, digest {plan.digest.value[:16]}"
    )
    site.console.detail(f"the template lies in {shown}; nothing was changed")
    return Outcome(plan.region, "planned", bake_plan.as_data(plan))


def prove_candidate(
    site: Site,
    plan: BakePlan,
    build_id: str,
    ami: bake_run.Ami,
    request: BakeRequest,
) -> Outcome:
    """Boot fresh instances of a candidate and record how that ended.

    :raises ProofError: it failed; the build is recorded as failed.
    :raises AnnexkitError: it could not be tried; the candidate stays.
    """
    name, region = plan.image.name, plan.region
    build = build_of(site, name, build_id)
    subject = Subject(plan.image, build_id, build, plan.region, ami.id)
    parts = (ami.id, ami.snapshot)
    proof_record.renew(site, region, parts)
    try:
        with site.laps.lap("proof"):
            proof = prove.prove(site, subject)
    except AnnexkitError as error:
        if not isinstance(error, ProofError):
            # It says nothing about the AMI: a quota, the network, our own disk.
            site.console.step(
                f"{plan.name}: {ami.id} stays a candidate; the next bake proves it, "
                "--force bakes anew"
            )
            raise
        raise proof_record.put_failed(site, subject, error) from error
    proof_record.put_proved(site, subject, at=proof.at, boot_seconds=proof.boot_seconds)
    detail = {"build": build_id, "ami": ami.id, "boot_seconds": proof.boot_seconds}
    if request.keep_candidate:
        proof_record.unmark(site, region, parts)
        site.console.step(f"{plan.name}: {ami.id} is proved and stays a candidate")
        return Outcome(plan.region, "candidate", detail)
    outcome = _promote(site, plan, build_id, detail)
    proof_record.unmark(site, region, parts)
    return outcome


def _promote(
    site: Site, plan: BakePlan, build_id: str, detail: Mapping[str, Any]
) -> Outcome:
    site.registry.update(
        partial(promote, image=plan.image.name, build_id=build_id, region=plan.region)
    )
    site.console.step(f"{plan.name}: build {build_id} is current")
    return Outcome(plan.region, "current", detail)


def _report(site: Site, outcomes: list[Outcome]) -> Exit:
    failed = [o for o in outcomes if o.error]
    site.console.result(
        {
            "regions": {o.region: {"result": o.what, **o.detail} for o in outcomes},
            "seconds": site.laps.rounded(),
        }
    )
    if not site.console.as_json and len(outcomes) > 1:
        site.console.table(
            ("region", "result", "ami"),
            [(o.region, o.what, o.detail.get("ami", "-")) for o in outcomes],
        )
    if not failed:
        return Exit.DONE
    if len(failed) < len(outcomes):
        return Exit.PARTLY
    return failed[0].error.exit_code if failed[0].error else Exit.FAILED
