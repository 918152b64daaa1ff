"""A build with a copy in some regions, and a stand-in for the smoke of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from annexkit.bake import digest
from annexkit.errors import AnnexkitError, Finding, Level
from annexkit.flows import smoke_regions
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.site import Site
from annexkit.flows.smoke import Smoked, SmokePlan
from annexkit.launch.target import Target
from annexkit.registry import Registry
from tests.unit.flows.copying import a_site, an_ec2, copied
from tests.unit.flows.fake_images import FakeImages
from tests.unit.helpers import BUILD, NOON, FakeClock

ROOT = Path(__file__).resolve().parents[3]
SMOKED = Smoked(NOON, "t3.micro", 12.5, 2.5, 70.0, 0.0009)
PLANNED = SmokePlan((Target("on-demand", "t3.micro", "a", "subnet-a", 0.0104),), 0.0052)


def wrong() -> ProofError:
    return ProofError([Finding(Level.ERROR, "check 'job' failed: held", "i-1", "look")])


def nothing() -> None:
    """What happens while an AMI is smoked, in most tests."""


@dataclass
class Smoke:
    """``errors``: by region. ``during`` happens in the middle of each smoke."""

    site: Site
    images: FakeImages
    errors: dict[str, AnnexkitError] = field(default_factory=dict)
    smoked: list[Subject] = field(default_factory=list)
    during: Callable[[], object] = nothing

    def smoke(self, site: Site, subject: Subject) -> Smoked:
        self.smoked.append(subject)
        self.during()
        if error := self.errors.get(subject.region):
            raise error
        return SMOKED

    def plan(self, site: Site, region: str, arch: str) -> SmokePlan:
        if error := self.errors.get(region):
            raise error
        return PLANNED

    @property
    def places(self) -> list[str]:
        """The regions in which something was booted."""
        return sorted(subject.region for subject in self.smoked)


def a_smoke(
    folder: Path, clock: FakeClock, patch: pytest.MonkeyPatch, *regions: str
) -> Smoke:
    """A site with copies in these regions, and a checkout that made the build."""
    images = an_ec2()
    site = a_site(folder, clock, images)
    for name in ("packer/images", "provision", "cloud-init"):
        shutil.copytree(ROOT / name, site.root / name)
    made_from = digest.of_folder("provision", site.root / "provision")

    def change(registry: Registry) -> None:
        registry.images["debian13"].builds[BUILD].parts["provision"] = made_from

    site.registry.update(change)
    copied(site, *regions)
    stand_in = Smoke(site, images)
    patch.setattr(smoke_regions, "smoke", stand_in.smoke)
    patch.setattr(smoke_regions, "plan_smoke", stand_in.plan)
    return stand_in
