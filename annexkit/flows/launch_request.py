"""What ``invoke launch`` was asked for: flags over settings, and the AMI they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from annexkit.bake.recipe import Image
from annexkit.errors import Finding, FindingsError, Level, UsageError, nearest
from annexkit.flows import annex_owner, bake_plan
from annexkit.flows.site import Site
from annexkit.registry import Build, RegionBuild, Registry, State
from annexkit.sections import LaunchSettings


@dataclass(frozen=True)
class LaunchRequest:
    """What was asked for on the command line.

    ``flags`` holds only the flags that were given, by the name of their setting.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    region: str = ""
    canary: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Chosen:
    """The AMI that a launch starts, and where it comes from. ``age`` in seconds."""

    image: Image
    region: str
    arch: str
    build_id: str
    build: Build
    there: RegionBuild
    ami: str

    def age(self, now: float) -> float:
        """Return how long ago the build was made, in seconds."""
        return max(0.0, now - self.build.created.timestamp())


class Place(NamedTuple):
    """A pointer of the registry."""

    arch: str
    channel: str
    region: str


def effective(site: Site, request: LaunchRequest) -> LaunchSettings:
    """Return the launch's settings with the flags in their place.

    :raises FindingsError: every flag whose value cannot be read.
    """
    given = site.settings.launch.model_dump() | dict(request.flags)
    given["owner"] = given["owner"] or annex_owner.this_user(site)
    try:
        return LaunchSettings.model_validate(given)
    except ValidationError as error:
        raise FindingsError([_finding(e) for e in error.errors()]) from None


def region_of(site: Site, given: str) -> str:
    """Return the region of a command: its flag, else the first of ``bake.regions``.

    :raises UsageError: there is none, or botocore does not know it.
    """
    regions = (given,) if given else site.settings.bake.regions[:1]
    if not regions:
        raise UsageError(
            "no region is named",
            where="annexkit.bake.regions",
            mend="add --region us-west-2, or name one in invoke.yaml",
        )
    site.cloud.check_regions(regions)
    return regions[0]


def choose(site: Site, request: LaunchRequest, channel: str, region: str) -> Chosen:
    """Find the AMI that a channel of the registry names in a region.

    :raises UsageError: there is no such image, or it has no such AMI there.
    """
    image = bake_plan.read_image(site, request.image or site.settings.bake.image)
    arch = image.architecture(site.settings.bake.arch)
    registry = site.registry.read()
    build_id = getattr(registry.channel(image.name, arch, region), channel)
    if build_id is None:
        raise _no_ami(registry, image.name, Place(arch, channel, region))
    build = registry.images[image.name].builds[build_id]
    there = build.regions[region]
    _check_state(there, build_id, image.name, region)
    return Chosen(image, region, arch, build_id, build, there, str(there.ami))


def check_ami(site: Site, chosen: Chosen) -> list[Finding]:
    """Ask EC2 whether the AMI still is what the registry says (DescribeImages)."""
    bake = f"invoke bake --image {chosen.image.name} --region {chosen.region}"
    found = site.cloud.describe_images(
        chosen.region,
        Filters=[{"Name": "image-id", "Values": [chosen.ami]}],
    )
    if not found:
        what = f"{chosen.ami} of the registry does not exist"
        return [Finding(Level.ERROR, what, chosen.region, bake)]
    (said, *_) = found
    wrong = []
    if said.get("State") != "available":
        what = f"{chosen.ami} is {said.get('State', 'in no state')}, not available"
        wrong.append(Finding(Level.ERROR, what, chosen.region, bake))
    if said.get("ImdsSupport") != "v2.0":
        what = f"{chosen.ami} does not ask for IMDSv2 (ImdsSupport)"
        # Without --force there is nothing to do: its input did not change.
        wrong.append(Finding(Level.WARNING, what, chosen.region, f"{bake} --force"))
    return wrong


def created(chosen: Chosen) -> str:
    """Return when the build was made, for people."""
    return f"{chosen.build.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def moment(epoch: float) -> str:
    """Return a moment for people: ``2026-11-23 04:00:00 UTC``."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _check_state(there: RegionBuild, build: str, image: str, region: str) -> None:
    if there.state is State.RETIRED or not there.ami:
        raise UsageError(
            f"build {build} of {image} is retired: {there.reason or 'its AMI is gone'}",
            where=region,
            mend=f"invoke bake --image {image} --region {region}",
        )


def _no_ami(registry: Registry, image: str, place: Place) -> UsageError:
    record = registry.images.get(image)
    bake = f"invoke bake --image {image} --region {place.region}"
    if record is None:
        known = ", ".join(sorted(registry.images)) or "none"
        what = f"the registry has no AMI of image '{image}'; it knows: {known}"
        return UsageError(what, where=place.region, mend=bake)
    regions = record.channels.get(place.arch, {})
    elsewhere = sorted(r for r, c in regions.items() if getattr(c, place.channel))
    hint = nearest(place.region, elsewhere)
    there = f"; it has one in {', '.join(elsewhere)}" if elsewhere else ""
    what = f"image '{image}' ({place.arch}) has no {place.channel} AMI{there}"
    return UsageError(what, where=place.region, mend=f"{hint} {bake}".strip())


def _finding(error: Any) -> Finding:
    """Say which flag cannot be read; every setting's flag has the setting's name."""
    name = str(error["loc"][0]) if error["loc"] else ""
    flag = "--" + name.removesuffix("s").replace("_", "-") if name else "launch"
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    said = f"is {said}" if said.startswith("not ") else said
    return Finding(
        Level.ERROR,
        f"{str(error['input'])[:80]!r} {said}",
        flag,
        f"correct {flag}, or annexkit.launch.{name} in invoke.yaml",
    )
