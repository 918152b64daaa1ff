"""The smoke of one build in many regions: each by itself, and recorded as it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from annexkit import amis, tags
from annexkit.amis import Ami, AmiError
from annexkit.bake import digest
from annexkit.bake.image import Image
from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows import bake_plan, proof_record
from annexkit.flows.copy_build import build_of
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.regionwise import Ended, in_regions
from annexkit.flows.site import Site
from annexkit.flows.smoke import Smoked, SmokePlan, plan_smoke, smoke
from annexkit.registry import Build, RegionBuild, State
from annexkit.registry.edits import set_retired

PROVISION = "provision"  # what the checks of a node are made from
PROVABLE = (State.PENDING, State.READY)


class GoneError(AmiError):
    """The registry counts on an AMI that EC2 does not have any more."""


@dataclass(frozen=True)
class Look:
    """What a region has of a build: its AMI, and whether it is proved already."""

    ami: Ami
    ready: bool

    @property
    def parts(self) -> tuple[str, str]:
        """The AMI and its snapshot."""
        return self.ami.id, self.ami.snapshot


def smoke_regions(
    site: Site, image_name: str, build_id: str, regions: Sequence[str]
) -> list[Ended[Smoked]]:
    """Smoke one build in each region where it is not proved; record each as it ends.

    An AMI that fails is ``failed`` and stays for a look until its expiry. What says
    nothing about it, such as a quota, leaves it a candidate. No channel is moved.

    :returns: how each region ended, in the order of *regions*; without value and error
        where nothing was to do.
    :raises UsageError: there is no such build, or no recipe of that image.
    """
    image = _image(site, image_name)
    build_of(site, image.name, build_id)
    ended = in_regions(
        site,
        regions,
        partial(_smoke_one, image=image, build_id=build_id),
        parallel=site.settings.publish.parallel,
        ended=partial(_say, site),
    )
    return cast(list[Ended[Smoked]], ended)  # None is a value that Ended has anyway


def plan_regions(
    site: Site, image_name: str, build_id: str, regions: Sequence[str]
) -> list[Ended[SmokePlan]]:
    """Say what :func:`smoke_regions` would do; nothing is changed.

    :returns: each region's plan; without value and error where nothing is to do.
    :raises UsageError: as there.
    """
    build = build_of(site, _image(site, image_name).name, build_id)

    def plan(site: Site, region: str) -> SmokePlan | None:
        if look(site, image_name, build_id, region).ready:
            return None
        _require_same_checkout(site, build_id, build)
        return plan_smoke(site, region, build.arch)

    parallel = site.settings.publish.parallel
    ended = in_regions(site, regions, plan, parallel=parallel)
    return cast(list[Ended[SmokePlan]], ended)


def _image(site: Site, name: str) -> Image:
    """Return the recipe; what is read only after money was spent has to be there."""
    image = bake_plan.read_image(site, name)
    bake_plan.check_checkout(site.root)
    return image


def look(site: Site, image: str, build_id: str, region: str) -> Look:
    """Ask EC2 for the AMI that the registry names in a region.

    :raises GoneError: it is not there any more.
    :raises AmiError: the build has none there that could be proved.
    """
    there = build_of(site, image, build_id).regions.get(region)
    again = f"invoke copy --image {image} --build {build_id} --region {region}"
    if there is None or not there.ami or there.state not in PROVABLE:
        raise AmiError(
            f"build {build_id} has no AMI there to smoke{_why(there)}",
            where=region,
            mend=again,
        )
    ami = amis.get(site.cloud, region, there.ami)
    if ami is None:
        raise GoneError(f"{there.ami} is gone from EC2", where=region, mend=again)
    if ami.state != amis.AVAILABLE:
        raise AmiError(
            f"{ami.id} is {ami.state}{f': {ami.why}' if ami.why else ''}",
            where=region,
            mend=again,
        )
    return Look(ami, there.state is State.READY)


def _why(there: RegionBuild | None) -> str:
    if there is None:
        return ""
    return f": it is {there.state}" + (f", {there.reason}" if there.reason else "")


def _smoke_one(
    site: Site, region: str, *, image: Image, build_id: str
) -> Smoked | None:
    """Smoke the AMI of one region, if it is not proved, and write down how it went."""
    try:
        found = look(site, image.name, build_id, region)
    except GoneError:
        _retire(site, image.name, build_id, region)
        raise
    if found.ready:
        if tags.EXPIRES in found.ami.tags:  # an earlier run was stopped before it could
            proof_record.unmark(site, region, found.parts)
        return None
    build = build_of(site, image.name, build_id)
    _require_same_checkout(site, build_id, build)
    subject = Subject(image, build_id, build, region, found.ami.id)
    proof_record.renew(site, region, found.parts)
    try:
        smoked = smoke(site, subject)
    except ProofError as error:
        raise proof_record.put_failed(site, subject, error) from error
    except AnnexkitError:
        site.console.detail(
            f"{region}: {found.ami.id} stays a candidate; the same command smokes it "
            "again"
        )
        raise
    proof_record.put_proved(
        site, subject, at=smoked.at, boot_seconds=smoked.boot_seconds
    )
    proof_record.unmark(site, region, found.parts)
    return smoked


def _require_same_checkout(site: Site, build_id: str, build: Build) -> None:
    """Refuse to judge a build by the checks of another one.

    :raises UsageError: ``provision/`` is not what the build was made from.
    """
    made_from = build.parts.get(PROVISION)
    if made_from in (None, digest.of_folder(PROVISION, site.root / PROVISION)):
        return
    commit = (
        f"git checkout {build.git.sha} -- {PROVISION}; or " if build.git.sha else ""
    )
    raise UsageError(
        f"{PROVISION}/ is not what build {build_id} was made from, so its checks are "
        "not this checkout's",
        where=str(site.root / PROVISION),
        mend=f"{commit}bake what is here: invoke bake",
    )


def _retire(site: Site, image: str, build_id: str, region: str) -> None:
    site.registry.update(
        partial(
            set_retired,
            image=image,
            build_id=build_id,
            region=region,
            reason="its AMI is gone from EC2",
        )
    )


def _say(site: Site, ended: Ended[Smoked | None]) -> None:
    if ended.error:
        site.console.error(ended.error)
    elif ended.value is None:
        site.console.step(f"{ended.region}: nothing to do, it is proved there")
