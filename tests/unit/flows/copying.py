"""A registry with one proved build, and an EC2 in which it can be copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from annexkit import tags
from annexkit.amis import Ami
from annexkit.console import Console
from annexkit.flows.copy_build import copy_build
from annexkit.flows.regionwise import Ended
from annexkit.flows.site import Site
from annexkit.instance_values import as_tags
from annexkit.registry import Build, RegionBuild, Registry, State
from annexkit.registry.edits import promote, put_build, set_proved
from annexkit.settings import Settings
from tests.unit.flows.fake_images import FakeImages
from tests.unit.helpers import (
    ACCOUNT,
    AMI,
    BUILD,
    NOON,
    REGION,
    FakeClock,
    a_build,
    in_region,
)

EAST, WEST, NORTH = "us-east-1", "eu-west-1", "eu-north-1"
OWN = {tags.BUILD: BUILD, tags.IMAGE: "debian13", "aws:internal": "x"}


def an_ec2() -> FakeImages:
    found = FakeImages()
    found.put(REGION, AMI, Tags=as_tags(OWN), Description="about it")
    return found


def a_site(folder: Path, clock: FakeClock, images: FakeImages) -> Site:
    given = {"registry": "r.json", "state_dir": "state", "poll": 5}
    site = Site(Settings.model_validate(given), folder, Console(), clock)
    site.cloud = cast(Any, images)
    site.registry.update(site.registry.claim(ACCOUNT, "aws"))
    build = a_build({REGION: in_region(State.READY)})
    site.registry.update(lambda r: put_build(r, "debian13", BUILD, build))
    site.registry.update(lambda r: promote(r, "debian13", BUILD, REGION))
    return site


def copied(site: Site, *regions: str) -> list[Ended[Ami]]:
    return copy_build(site, "debian13", BUILD, regions)


def recorded(site: Site) -> Build:
    return site.registry.read().images["debian13"].builds[BUILD]


def there(site: Site, region: str) -> RegionBuild:
    return recorded(site).regions[region]


def forget(site: Site, region: str) -> None:
    """Make the registry one that never heard of the build's copy there."""

    def change(registry: Registry) -> None:
        del registry.images["debian13"].builds[BUILD].regions[region]
        del registry.images["debian13"].channels["x86_64"][region]

    site.registry.update(change)


def prove(site: Site, region: str) -> None:
    """Make a copy current, as its proof would."""

    def change(registry: Registry) -> None:
        set_proved(registry, "debian13", BUILD, region, at=NOON, boot_seconds=9.0)
        promote(registry, "debian13", BUILD, region)

    site.registry.update(change)
