"""What a night would do for each image, found out without changing anything.

The bake's own plan says whether the input changed. A build of equal digest that stands
somewhere is gone on with, whichever run made it; so nothing here needs a memory of its
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from annexkit.bake.base import BaseAmi, resolve_bases
from annexkit.bake.image import Image, list_images
from annexkit.bake.updates import Updates
from annexkit.errors import (
    AnnexkitError,
    Finding,
    Level,
    nearest,
    raise_on_errors,
)
from annexkit.flows import bake_plan
from annexkit.flows.bake_plan import BakePlan
from annexkit.flows.nightly_look import Looked
from annexkit.flows.registry_diff import Side
from annexkit.flows.registry_promote import ARCHS
from annexkit.flows.registry_updates import reason_of, updates_of
from annexkit.flows.site import Site
from annexkit.registry import Build, RegionBuild, Registry, RegistryError, State
from annexkit.registry.model import newest_first
from annexkit.registry.pointers import rolled_back

AT_ONCE = 4  # images; what takes time is to ask repositories for their indexes
NOT_ASKED = Updates((), ())


@dataclass(frozen=True)
class Wanted:
    """An image and architecture that the night looks after."""

    image: str
    arch: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.image} ({self.arch})"


@dataclass(frozen=True)
class ImagePlan:
    """What tonight does for one image.

    ``going_on``: the build to go on with, and its id; None when one is to be baked.
    ``before``: what is current in the home region, or nothing. ``changed``: the night
    has news: a bake, or a build that is not current yet. ``why``: what proves that
    nothing changed, or what did, a sentence each. ``candidate``: what its fresh boot
    is still to prove at home. ``left_alone``: somebody rolled back from this input.
    """

    bake: BakePlan
    going_on: tuple[str, Build] | None
    before: str
    changed: bool
    why: tuple[str, ...]
    updates: Updates = NOT_ASKED
    candidate: RegionBuild | None = None
    left_alone: bool = False


@dataclass(frozen=True)
class Planned:
    """An image with its plan, or with the reason why there is none."""

    wanted: Wanted
    plan: ImagePlan | None = None
    error: AnnexkitError | None = None


def wanted_images(site: Site, asked: Sequence[str]) -> list[Wanted]:
    """Read NAME or NAME/ARCH; the settings' own when nothing is asked for.

    :raises FindingsError: naming every word that means no recipe or architecture.
    """
    settings = site.settings
    words = asked or settings.nightly.images or (settings.bake.image,)
    known = list_images(site.root / settings.images_dir)
    found: list[Finding] = []
    for word in words:
        name, slash, arch = word.partition("/")
        if name not in known:
            mend = nearest(name, known) or f"images here: {', '.join(known) or 'none'}"
            found.append(_wrong(f"there is no image '{name[:40]}'", mend))
        elif slash and arch not in ARCHS:
            mend = " or ".join(f"{name}/{one}" for one in ARCHS)
            found.append(_wrong(f"there is no architecture '{arch[:40]}'", mend))
    raise_on_errors(found)
    parts = (word.partition("/") for word in words)
    wanted = (Wanted(name, arch or settings.bake.arch) for name, _, arch in parts)
    return list(dict.fromkeys(wanted))


def make_plans(
    site: Site, wanted: Sequence[Wanted], home: str, looked: Looked
) -> list[Planned]:
    """Plan every image; one that cannot be planned stops no other.

    One AWS call for all of them, for their base AMIs; the look knows the rest.
    """
    if home in looked.silent:
        return [Planned(one, error=looked.silent[home]) for one in wanted]
    loaded = {one: _load(site, one) for one in wanted}
    images = {o: image for o, image in loaded.items() if isinstance(image, Image)}
    bases = dict(zip(images, _bases(site, images, home), strict=True))

    def planned(one: Wanted) -> Planned:
        image, base = loaded[one], bases.get(one)
        if isinstance(image, AnnexkitError):
            return Planned(one, error=image)
        if isinstance(base, AnnexkitError):
            return Planned(one, error=base)
        try:
            ours = looked.seen[home].images
            plan = bake_plan.make_plan(
                site, image, one.arch, home, base=base, ours=ours
            )
            return Planned(one, _decide(site, plan, looked))
        except AnnexkitError as error:
            return Planned(one, error=error)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(planned, wanted))


def _load(site: Site, one: Wanted) -> Image | AnnexkitError:
    try:
        image = bake_plan.read_image(site, one.image)
        image.architecture(one.arch)
    except AnnexkitError as error:
        return error
    return image


def _bases(
    site: Site, images: dict[Wanted, Image], home: str
) -> list[BaseAmi | AnnexkitError]:
    pairs = [(image, one.arch) for one, image in images.items()]
    if not pairs:
        return []
    try:
        found = resolve_bases(site.cloud, pairs, home, site.cloud.account)
    except AnnexkitError as error:
        return [error for _ in pairs]
    return list(found)


def _decide(site: Site, plan: BakePlan, looked: Looked) -> ImagePlan:
    """Say whether a build of the same input is gone on with, or one is baked."""
    raise_on_errors(plan.findings)
    registry = site.registry.read()
    before = registry.channel(plan.image.name, plan.arch, plan.region).current or ""
    found = _equal_build(registry, plan, looked)
    if found is None:
        return ImagePlan(plan, None, before, True, _why_anew(registry, plan))
    build_id, build = found
    said = f"build {build_id} of {build.created:%Y-%m-%d}"
    digest = f"digest {plan.digest.value[:16]}"
    there = build.regions.get(plan.region)
    if there and rolled_back(there):
        why = (f"{said}, made from the same input ({digest}), was {there.reason}",)
        return ImagePlan(plan, found, before, False, why, left_alone=True)
    updates = _updates(site, plan, build_id, build)
    reason = reason_of(site, build, updates)
    if reason:
        anew = replace(plan, equal=None)  # it stands: nothing of it is to be struck
        return ImagePlan(anew, None, before, True, (reason,), updates)
    waits = there is not None and there.state is State.PENDING
    candidate = there if waits and looked.stands(plan.region, there) else None
    if before != build_id:
        why = (f"{said} is of the same input ({digest}), and is not current yet",)
        return ImagePlan(plan, found, before, True, why, updates, candidate)
    proof = [f"unchanged since {said}: {digest}"]
    if not updates.unchecked:
        proof.append("its repositories have no newer package")
    return ImagePlan(plan, found, before, False, tuple(proof), updates, candidate)


def _equal_build(
    registry: Registry, plan: BakePlan, looked: Looked
) -> tuple[str, Build] | None:
    """Return the newest build of equal digest that is of use.

    The newest, proved or not: of two builds of one input the later has the newer
    packages. What failed its proof at home is not tried again.
    """
    record = registry.images.get(plan.image.name)
    for build_id, build in newest_first(record.builds) if record else []:
        if (build.arch, build.digest) != (plan.arch, plan.digest.value):
            continue
        there = build.regions.get(plan.region)
        good = there is not None and there.state in (State.PENDING, State.READY)
        if good and looked.stands(plan.region, there):
            return build_id, build
        if there and there.state is State.FAILED:
            continue
        if looked.anywhere(build):
            return build_id, build
    return None


def _why_anew(registry: Registry, plan: BakePlan) -> tuple[str, ...]:
    """Say what differs from the newest build, or what became of it."""
    if plan.changed:
        return plan.changed
    record = registry.images.get(plan.image.name)
    for build_id, build in newest_first(record.builds) if record else []:
        there = build.regions.get(plan.region)
        if build.arch != plan.arch or there is None:
            continue
        if there.state is State.FAILED:
            return (f"build {build_id} of the same input failed: {there.reason}",)
        return (f"build {build_id} of the same input has no AMI any more",)
    return ("there was no build of it yet",)


def _updates(site: Site, plan: BakePlan, build_id: str, build: Build) -> Updates:
    """Compare a build's packages with the indexes; boots nothing."""
    side = Side(plan.image.name, build_id, build)
    try:
        with site.laps.lap("updates"):
            return updates_of(site, plan.image, side)
    except RegistryError as error:
        return Updates((), (error.what,))


def _wrong(what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, "--images (nightly.images)", mend)
