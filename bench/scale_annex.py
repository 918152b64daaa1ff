"""The annex of bench/scale.py: its site, its plan, and what a pool says of it.

Run as a program, ``scale_annex.py COUNT`` prints what pool/ask.py would.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import ROOT
from ssh_clients import cpu

from annexkit import annexes
from annexkit.console import Console
from annexkit.flows import bake_plan
from annexkit.flows.launch_key import LaunchKey
from annexkit.flows.launch_plan import Ready
from annexkit.flows.launch_request import Chosen
from annexkit.flows.site import Site
from annexkit.launch.capacity import CapacityTable
from annexkit.launch.longlived import Wants
from annexkit.launch.plan import PlanFacts, make_plan
from annexkit.launch.target import Target
from annexkit.pool import ask
from annexkit.pool.collector import OF_NODE, OF_SLOT
from annexkit.pool.target import Pool
from annexkit.process import Completed
from annexkit.registry import BaseImage, Build, RegionBuild, State
from annexkit.settings import Settings

REGION = "us-west-2"
ANNEX = "grid"
AMI = "ami-0123456789abcdef0"
BUILD = "20240517T120000-0a1b2c"
SLOTS = 2  # of a node: the partitionable one and a claimed one
NO_LEASE = 1_234_567_890


class Pretended:
    """A collector's answer about nodes that do not exist.

    Made by a process of its own, as ask.py is one: its CPU counts, its memory is not
    ours. ``cpu`` is what one question costs there, without the query itself.
    """

    def __init__(self, count: int) -> None:
        command = [sys.executable, __file__, str(count)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        first, self.answer = said.stdout.split("\n", 1)
        self.cpu = float(first)
        self.expires = NO_LEASE
        self.asked = 0

    def run(self, _: str) -> Completed:
        """Stand in for ``Collector._run``."""
        self.asked += 1
        text = self.answer.replace(str(NO_LEASE), str(self.expires))
        return Completed((), 0, text, "")


def answer(count: int) -> None:
    """Print what ask.py prints for the slots of *count* nodes, after its CPU."""
    import classad2  # noqa: PLC0415 - Linux only

    ads = [
        classad2.ClassAd(_ad(f"i-{number:017x}", slot))
        for number in range(count)
        for slot in range(SLOTS)
    ]
    names = list((OF_NODE | OF_SLOT).values())
    used = cpu()
    text = json.dumps({"ads": [ask.values(ad, names) for ad in ads]})
    print(cpu() - used)
    print(text)


def _ad(instance: str, slot: int) -> dict[str, Any]:
    numbers = ("Cpus", "Memory", "JobStarts", "LastHeardFrom", "MyCurrentTime")
    said: dict[str, Any] = dict.fromkeys((*OF_NODE.values(), *OF_SLOT.values()), "x")
    said |= dict.fromkeys(numbers, 1_700_000_000) | {"Cpus": 2, "Memory": 8192}
    said |= {"TotalTimeClaimedBusy": 600, "TotalTimeClaimedIdle": 5, "Start": True}
    said |= {
        "EC2InstanceID": instance,
        "AnnexName": ANNEX,
        "AnnexLeaseExpires": NO_LEASE,
    }
    said |= {"State": "Claimed" if slot else "Unclaimed", "Draining": False}
    return said


def quiet() -> Console:
    """Return a console whose progress nobody sees."""
    console = Console(as_json=True)
    console._err.file = io.StringIO()
    return console


def make_site(folder: Path) -> Site:
    """Return a site whose files are all in a folder of its own."""
    password = folder / "password"
    password.write_text("a password for nobody\n".replace(" ", "-"))
    password.chmod(0o600)
    settings = Settings.model_validate(
        {
            "registry": str(folder / "registry.json"),
            "state_dir": str(folder / "state"),
            "cache_dir": str(folder / "cache"),
            "images_dir": str(ROOT / "packer" / "images"),
            "poll": 0.05,
            "bake": {"regions": [REGION]},
            "launch": {"owner": "alice"},
            "pool": {
                "collector": "cm.example.org",
                "method": "password",
                "password_file": str(password),
            },
        }
    )
    return Site(settings, ROOT, console=quiet())


def make_ready(site: Site, count: int) -> Ready:
    """Return a launch that is planned, without asking for what does not grow."""
    settings = site.settings.launch.model_copy(
        update={"annex_name": ANNEX, "count": count, "owner": "alice"}
    )
    (subnet, *_) = site.cloud.call(REGION, "describe_subnets")["Subnets"]
    targets = (Target("on-demand", "m7i.large", "us-west-2a", subnet["SubnetId"], 0.1),)
    facts = _facts(settings, targets)
    there = RegionBuild(ami=AMI, state=State.READY, verified_at=datetime.now(UTC))
    build = Build(
        created=datetime.now(UTC),
        arch="x86_64",
        digest="ab" * 32,
        base_ami=BaseImage(id=AMI, name="debian-13", owner="136693071363"),
        regions={REGION: there},
    )
    image = bake_plan.read_image(site, "debian13")
    chosen = Chosen(image, REGION, "x86_64", BUILD, build, there, AMI)
    return Ready(
        chosen=chosen,
        launch=settings,
        pool=Pool.of(site.settings.pool),
        key=LaunchKey(annexes.folder(site.state, ANNEX).key),
        wants=Wants(REGION, subnet["VpcId"], ("192.0.2.0/24",)),
        capacity=CapacityTable(site.state / "capacity.json", 600, time.time),
        plan=make_plan(facts),
    )


def _facts(settings: Any, targets: tuple[Target, ...]) -> PlanFacts:
    return PlanFacts(
        now=time.time(),
        annex=ANNEX,
        owner="alice",
        region=REGION,
        count=settings.count,
        market="on-demand",
        image="debian13",
        channel="current",
        build=BUILD,
        ami=AMI,
        ami_created=time.time(),
        targets=targets,
        lease=7200,
        idle=900,
        boot_timeout=600,
        join_timeout=600,
        margin=180,
        outdated_after=86400,
        layers=("timer", "schedule", "reap"),
        method="password",
    )


if __name__ == "__main__":
    answer(int(sys.argv[1]))
