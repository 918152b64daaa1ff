"""Which AMIs of the registry are exported, and why the others are not."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime

from annexkit.errors import Level
from annexkit.registry import Build, ImageRecord, Registry, State
from annexkit.registry.model import newest_first

# What annexkit itself names images (bake/recipe.py) and EC2 its regions. The registry
# takes any text; a name that is neither has no place in other programs' files.
IMAGE = re.compile(r"[a-z][a-z0-9-]{0,30}")
REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}")
UPSTREAM = "annex-ec2"  # the contract by which upstream's client hands over its pool
DAY = 86_400  # seconds
SAID = {
    State.PENDING: "is not proved yet",
    State.READY: "is proved, and was not made current",
    State.FAILED: "failed",
    State.SKIPPED: "was skipped",
    State.RETIRED: "was retired",
}


@dataclass(frozen=True)
class Ami:
    """One current AMI with what is known of its build; ``age`` in whole days."""

    image: str
    arch: str
    region: str
    ami: str
    build: str
    htcondor: str
    contracts: tuple[str, ...]
    created: datetime
    verified_at: datetime | None
    age: int

    @property
    def about(self) -> str:
        """Its build, HTCondor and age in words."""
        days = f"{self.age} day{'' if self.age == 1 else 's'} old"
        return f"build {self.build}, HTCondor {self.htcondor or 'unknown'}, {days}"


@dataclass(frozen=True)
class LeftOut:
    """An image that is not exported for one architecture in one region, and why.

    ``level`` is INFO where nothing is wrong with it, and it was only not asked for.
    """

    image: str
    arch: str
    region: str
    why: str
    mend: str = ""
    level: Level = Level.WARNING

    @property
    def where(self) -> str:
        """Image, architecture and region in one line."""
        return f"{self.image} {self.arch} {self.region}"


@dataclass(frozen=True)
class Export:
    """What is exported, of which account, and on which day (UTC)."""

    account: str
    endpoint: str
    day: date
    amis: tuple[Ami, ...]
    left_out: tuple[LeftOut, ...] = ()


def choose(registry: Registry, now: datetime) -> Export:
    """Return every current, usable AMI by image, architecture and region.

    :param now: aware; what age is counted to.
    """
    amis: list[Ami] = []
    left_out: list[LeftOut] = []
    for image, record in sorted(registry.images.items()):
        for arch, region in _places(record):
            one = _look(registry, image, arch, region, now)
            if isinstance(one, Ami):
                amis.append(one)
            else:
                left_out.append(one)
    return Export(
        registry.account, registry.endpoint, now.date(), tuple(amis), tuple(left_out)
    )


def of_images(export: Export, images: tuple[str, ...], arch: str) -> Export:
    """Return what was asked for; empty means all. The rest is not called left out."""

    def asked(one: Ami | LeftOut) -> bool:
        return (not images or one.image in images) and arch in ("", one.arch)

    return replace(
        export,
        amis=tuple(filter(asked, export.amis)),
        left_out=tuple(filter(asked, export.left_out)),
    )


def for_upstream(export: Export, image: str, arch: str) -> Export:
    """Return what upstream's client can use: one image and architecture a region.

    Its configuration has one default AMI for a region, so the others are left out, and
    so is an AMI that does not know upstream's way to hand over the pool: an instance of
    it would run, cost and never join.
    """
    amis: list[Ami] = []
    left_out: list[LeftOut] = []
    for one in export.amis:
        if (one.image, one.arch) != (image, arch):
            why = f"a region has one default AMI there, which is for {image} {arch}"
            mend = f"--image {one.image} --arch {one.arch} exports it instead"
            left_out.append(_left(one, why, mend, Level.INFO))
        elif not speaks_upstream(one.contracts):
            why = (
                f"its contracts are {', '.join(one.contracts) or 'unknown'}, not "
                f"{UPSTREAM}: a node that condor_annex starts would never join"
            )
            mend = f"bake an image whose recipe has the contract {UPSTREAM}"
            left_out.append(_left(one, why, mend))
        else:
            amis.append(one)
    return replace(export, amis=tuple(amis), left_out=(*export.left_out, *left_out))


def speaks_upstream(contracts: tuple[str, ...]) -> bool:
    """Whether one of the contracts is upstream's, whichever layout it is for."""
    return any(c == UPSTREAM or c.startswith(f"{UPSTREAM}-") for c in contracts)


def _places(record: ImageRecord) -> list[tuple[str, str]]:
    """Return where an image has a channel or a build: (architecture, region)."""
    found: set[tuple[str, str]]
    found = {(build.arch, r) for build in record.builds.values() for r in build.regions}
    found |= {(arch, r) for arch, regions in record.channels.items() for r in regions}
    return sorted(found)


def _look(
    registry: Registry, image: str, arch: str, region: str, now: datetime
) -> Ami | LeftOut:
    record = registry.images[image]
    current = registry.channel(image, arch, region).current
    if not IMAGE.fullmatch(image):
        why = "its name is none that annexkit gives, and other programs may not take it"
        return LeftOut(image, arch, region, why, "rename the recipe, and bake it")
    if not REGION.fullmatch(region):
        return LeftOut(image, arch, region, "this is not the name of a region")
    if current is None:
        bake = f"invoke bake --image {image} --arch {arch} --region {region}"
        why = _why_none(record, arch, region)
        return LeftOut(image, arch, region, f"nothing is current: {why}", bake)
    return _ami(image, region, current, record.builds[current], now)


def _ami(
    image: str, region: str, build_id: str, build: Build, now: datetime
) -> Ami | LeftOut:
    there = build.regions[region]
    if there.state is not State.READY or not there.ami:
        why = f"build {build_id} is {there.state}"
        return LeftOut(image, build.arch, region, why, "invoke registry.check")
    age = max(0, int((now - build.created).total_seconds() // DAY))
    return Ami(
        image,
        build.arch,
        region,
        there.ami,
        build_id,
        build.htcondor,
        tuple(build.contracts),
        build.created,
        there.verified_at,
        age,
    )


def _why_none(record: ImageRecord, arch: str, region: str) -> str:
    """Say what the newest build there lacks to be current."""
    for build_id, build in newest_first(record.builds):
        there = build.regions.get(region)
        if there and build.arch == arch:
            said = f"the newest build, {build_id}, {SAID[there.state]}"
            return f"{said}: {there.reason}" if there.reason else said
    return "there is no build"


def _left(one: Ami, why: str, mend: str, level: Level = Level.WARNING) -> LeftOut:
    return LeftOut(one.image, one.arch, one.region, why, mend, level)
