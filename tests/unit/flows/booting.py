"""Fresh boots on moto, where nothing boots: what a node would answer and do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.flows import bake_plan, fresh_boot
from annexkit.flows.fresh_boot import Subject
from annexkit.flows.site import Site
from annexkit.verify.checks import Check, NodeReport
from tests.unit.flows.bakery import Bakery, ec2, make_site
from tests.unit.helpers import BUILD, REGION, FakeClock, a_build

BASE = "ami-00000000000000001"


def quiet() -> None:
    """What happens while a node is checked, in most tests."""


@dataclass
class Nodes:
    """What the nodes say; ``during`` happens while the first one is checked."""

    patch: pytest.MonkeyPatch
    checked: list[str] = field(default_factory=list)
    failing: bool = False
    alike: bool = False
    jobless: bool = False
    during: Callable[[], object] = quiet

    def __post_init__(self) -> None:
        self.patch.setattr(fresh_boot, "login", lambda *_: nullcontext())
        self.patch.setattr(fresh_boot, "check", self.check)

    def check(self, site: Site, subject: Subject, node: Any, _: Any) -> NodeReport:
        self.checked.append(node.id)
        self.during()
        identity = "same" if self.alike else node.id
        checks = [
            Check(name="condor", ok=not self.failing, detail="stopped", seconds=0.1),
            Check(name="job", ok=True, detail="uid=1000(admin)", seconds=2.5),
        ]
        return NodeReport(
            name=node.id,
            checks=tuple(checks[:1] if self.jobless else checks),
            identity={"machine-id": (identity,)},
            boot_seconds=1.0,
        )


def a_site(
    folder: Path, clock: FakeClock, cloud: Cloud, patch: pytest.MonkeyPatch, **more: Any
) -> Site:
    """A site with a checkout and a base AMI."""
    site = make_site(folder, clock, cloud, **more)
    with patch.context() as stand_ins:  # the bakery's checkout, not its stand-ins
        Bakery(site, stand_ins)
    return site


def a_subject(site: Site) -> Subject:
    image = bake_plan.read_image(site, "debian13")
    return Subject(image, BUILD, a_build(), REGION, BASE)


def machines() -> list[Any]:
    """Return moto's own instances."""
    return [i for r in ec2().reservations.values() for i in r.instances]


def states() -> list[str]:
    return sorted(machine.state for machine in machines())


def left(site: Site) -> list[object]:
    """Return what costs money or stands in the way."""
    groups = site.cloud.pages(REGION, "describe_security_groups", "SecurityGroups")
    return [
        *(state for state in states() if state not in ("terminated", "shutting-down")),
        *(g["GroupName"] for g in groups if g["GroupName"] != "default"),
        *(entry.id for entry in site.journal.entries()),
    ]
