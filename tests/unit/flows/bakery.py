"""A checkout, moto's EC2 and a stand-in for Packer: all that a bake's flow joins.

The stand-in does what a Packer run leaves behind: an AMI in EC2, a package list, an
answer. The real one has tests of its own, on real machines.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto.ec2.models.amis import Ami

from annexkit.bake import packer, written
from annexkit.bake.index import Checked, Unchecked
from annexkit.bake.manifest import BuildResult
from annexkit.bake.packer import Packer
from annexkit.console import Console
from annexkit.flows import bake_image, bake_plan, bake_run, prove
from annexkit.flows.bake_image import BakeRequest
from annexkit.flows.bake_plan import BakePlan
from annexkit.flows.fresh_boot import Subject
from annexkit.flows.site import Site
from annexkit.process import CommandError, Completed
from annexkit.registry import Channels
from annexkit.settings import Settings
from tests.unit.helpers import ACCOUNT, NOON, REGION, FakeClock

ROOT = Path(__file__).resolve().parents[3]
OTHER = "us-east-1"
REGIONS = (REGION, OTHER)
RECIPE = "packer/images/debian13.pkrvars.hcl"
CHANGES = (
    *("Create", "Run", "Delete", "Modify", "Terminate", "Authorize", "Register"),
    *("Deregister", "Import", "Stop"),
)
Event = Callable[[], object]


def nothing() -> None:
    """What happens in the middle of a quiet Packer run."""


@dataclass
class Bakery:
    """*packing* happens in the middle of a Packer run, *proving* in that of a proof."""

    site: Site
    patch: pytest.MonkeyPatch
    packing: dict[str, Event] = field(default_factory=dict)
    proving: Event = nothing
    tokens: str | None = "v2.0"
    packages: str = "condor\t23.9.6\tamd64\n"
    runs: int = 0
    validated: list[Path] = field(default_factory=list)
    proved: list[Subject] = field(default_factory=list)
    offers: Checked | Unchecked = field(
        default_factory=lambda: Checked("23.9.6", "trixie", "file:/", "0" * 64)
    )

    def __post_init__(self) -> None:
        for name in ("packer/images", "provision", "cloud-init"):
            shutil.copytree(ROOT / name, self.site.root / name)
        # moto says that every AMI has a root of 15 GiB.
        self.edit(RECIPE, "size       = 10", "size       = 15")
        for region in REGIONS:
            self.base_ami(region)
        put = self.patch.setattr
        put(bake_plan, "find_packer", lambda _: Packer("/packer", (1, 6, 6)))
        put(bake_plan, "offered", lambda *_, **__: self.offers)
        put(written, "run", lambda *args, **_: Completed(args, 0, "", ""))
        put(packer, "validate", lambda _, folder: self.validated.append(folder))
        put(packer, "build", self._packer)
        put(bake_run, "run", _no_git)
        put(prove, "prove", self._proof)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.site.root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def base_ami(self, region: str) -> None:
        backend = ec2(region)
        backend.amis["ami-00000000000000001"] = Ami(
            backend,
            "ami-00000000000000001",
            name="debian-13-amd64-20260101-0001",
            owner_id="136693071363",
            virtualization_type="hvm",
            architecture="x86_64",
            creation_date=datetime(2026, 1, 1, tzinfo=UTC),
            root_device_type="ebs",
            root_device_name="/dev/xvda",
        )

    def plan(self, region: str = REGION) -> BakePlan:
        image = bake_plan.read_image(self.site, "debian13")
        return bake_plan.make_plan(self.site, image, "x86_64", region)

    def bake(self, **asked: Any) -> int:
        self.site.cloud.calls.clear()
        return int(bake_image.bake_regions(self.site, BakeRequest(**asked)))

    def changing(self) -> list[str]:
        """The calls of the last bake that change something."""
        return sorted(a for _, a in self.site.cloud.calls if a.startswith(CHANGES))

    def names(self, region: str = REGION) -> Channels:
        return self.site.registry.read().channel("debian13", "x86_64", region)

    def ours(self, region: str = REGION) -> list[str]:
        """The AMIs of our own account, oldest first."""
        return [a.id for a in ec2(region).amis.values() if a.owner_id == ACCOUNT]

    def _packer(
        self, _: Packer, folder: Path, *, log: Path, manifest: Path, **call: Any
    ) -> BuildResult:
        region = next(r for r in REGIONS if folder.name.endswith(f"-{r}"))
        call["started"](1, 1)
        call["on_event"](packer.Problem("one step of many"))
        variables = (folder / "run.pkrvars.hcl").read_text()
        name = next(
            line.split('"')[1]
            for line in variables.splitlines()
            if line.startswith("ami_name")
        )
        backend = ec2(region)
        self.runs += 1
        ami: Any = Ami(backend, f"ami-{self.runs + 0x100:017x}", name=name)
        ami.imds_support = self.tokens  # moto keeps what is set, but shows only this
        backend.amis[ami.id] = ami
        self.packing.get(region, nothing)()
        (manifest.parent / "packages.tsv").write_text(self.packages)
        return BuildResult("debian13", "run", {region: ami.id}, seconds=1.5)

    def _proof(self, site: Site, subject: Subject) -> prove.Proof:
        self.proved.append(subject)
        self.proving()
        return prove.Proof(NOON, 21.5, ())


def make_site(root: Path, clock: FakeClock, cloud: Any, **settings: Any) -> Site:
    """A site in moto's account, with a registry that is claimed."""
    given = {
        "registry": "r.json",
        "state_dir": "state",
        "cache_dir": "cache",
        "bake": {"ssh_cidrs": "192.0.2.7/32"},
        "reap": {"regions": list(REGIONS)},
    }
    site = Site(Settings.model_validate(given | settings), root, Console(), clock)
    site.cloud = cloud
    site.registry.update(site.registry.claim(ACCOUNT, "aws"))
    return site


def ec2(region: str = REGION) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][region]


def raising(error: BaseException) -> Event:
    def event() -> None:
        raise error

    return event


def _no_git(*args: object, **_: object) -> Completed:
    raise CommandError(Completed(("git",), 128, "", "no repository"))
