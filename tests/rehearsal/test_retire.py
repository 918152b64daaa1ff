"""`invoke retire` over the wire: an old AMI goes stage by stage, with its snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.errors import Exit
from annexkit.flows.retire import survey
from annexkit.flows.retire_report import RetireRequest, retire_and_report
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.publish.retention import Step
from annexkit.registry import BaseImage, Build, RegionBuild, State
from annexkit.registry.edits import put_build
from annexkit.rehearsal import control
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from annexkit.settings import Settings
from annexkit.waiting import SystemClock
from tests.policy import not_allowed
from tests.rehearsal.guests import Region, code_of

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

DAY = 86_400
OLD = "20250101T000000-00000a"
IMAGE = "debian13"


@dataclass
class Later:
    """The site as it is so many days from now; the cloud's clock is the real one."""

    root: Path
    days: float = 0.0
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        settings = Settings.model_validate({"registry": "r.json", "poll": "0.1s"})
        settings = settings.model_copy(update={"state_dir": str(self.root / "state")})
        self.site = Site(settings, self.root, clock=SystemClock(self.days * DAY))

    def at(self, days: float) -> Later:
        return replace(self, days=days)

    def run(self) -> Exit:
        return retire_and_report(self.site, RetireRequest(yes=True, no_pool=True))

    @property
    def steps(self) -> list[Step]:
        return [v.step for v in survey(self.site, no_pool=True).verdicts]

    @property
    def there(self) -> RegionBuild:
        return self.site.registry.read().images[IMAGE].builds[OLD].regions["us-west-2"]


def put(site: Site, ami: str, snapshot: str) -> None:
    """Record an AMI as proved 100 days ago."""
    created = datetime.fromtimestamp(site.clock.time() - 100 * DAY, UTC)
    there = RegionBuild(
        ami=ami, snapshot=snapshot, state=State.READY, verified_at=created
    )
    build = Build(
        created=created,
        arch="x86_64",
        digest="ab" * 32,
        base_ami=BaseImage(id=ami, name="debian-13", owner="136693071363"),
        regions={"us-west-2": there},
    )
    site.registry.update(site.registry.claim(site.cloud.account, site.cloud.endpoint))
    site.registry.update(lambda registry: put_build(registry, IMAGE, OLD, build))


def images(ec2: Any, **asked: bool) -> list[str]:
    found = ec2.describe_images(Owners=["self"], **asked)["Images"]
    return [one["ImageId"] for one in found]


def test_an_old_ami_goes_stage_by_stage_with_its_snapshot(
    powerless: Region, rehearsal: Rehearsal, tmp_path: Path
) -> None:
    ec2, now = powerless.ec2, Later(tmp_path)
    instance = powerless.running()
    ami = powerless.create_image(instance)
    mapping = powerless.image(ami)["BlockDeviceMappings"][0]["Ebs"]
    snapshot = mapping["SnapshotId"]
    ec2.create_tags(Resources=[ami, snapshot], Tags=as_tags({tags.BUILD: OLD}))
    put(now.site, ami, snapshot)
    user = powerless.running(ImageId=ami)
    assert now.steps == [Step.KEEP]  # an instance of it runs
    ec2.terminate_instances(InstanceIds=[user])
    powerless.until(user, "terminated")

    assert now.run() is Exit.DONE
    assert powerless.image(ami)["DeprecationTime"]
    control.ask(rehearsal, "calls", "DELETE")
    assert now.run() is Exit.DONE  # at once again: nothing to do
    called = [call["action"] for call in control.ask(rehearsal, "calls")]
    assert sorted(set(called) - {"GetCallerIdentity"}) == [
        "DescribeImages",
        "DescribeSnapshots",
    ]

    assert ami in images(ec2)
    later = now.at(15)
    assert later.run() is Exit.DONE
    assert code_of(powerless.run, ImageId=ami) == "InvalidAMIID.Unavailable"
    assert ami not in images(ec2), "a disabled AMI is not shown unless asked for"
    assert later.steps == [Step.WAIT]

    end = now.at(23)
    assert end.run() is Exit.DONE
    ours = [c for c in control.ask(rehearsal, "calls") if c["action"] != "RunInstances"]
    assert not_allowed(ours, "publish") == []
    assert ami not in images(ec2, IncludeDisabled=True)
    left = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert snapshot not in [one["SnapshotId"] for one in left]
    assert end.there.state is State.RETIRED
    assert end.steps == []
    ref = f"localhost/annexkit-{rehearsal.id}/us-west-2:{ami}"
    assert not Podman(rehearsal.id).has_image(ref)
