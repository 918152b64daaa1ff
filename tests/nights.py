"""What machine tests of a night share: its regions, and builds of earlier nights."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from annexkit import tags
from annexkit.errors import Exit
from annexkit.flows.reap_report import reap_and_report
from annexkit.instances import as_tags
from annexkit.process import Completed
from annexkit.publish.standing import root_snapshot
from annexkit.registry import Packages, RegionBuild, Registry, State
from annexkit.registry.edits import promote, put_build
from annexkit.registry.store import RegistryFile
from annexkit.waiting import wait_for
from tests.stage import REGION, Place, Stage
from tests.unit.helpers import a_build

IMAGE = "again"  # tests.stage.write_again
AWAY = ("us-east-1", "eu-west-1", "ap-northeast-1")
HERE = (REGION, *AWAY)
SETTINGS = {"INVOKE_ANNEXKIT_PUBLISH_REGIONS": ",".join(AWAY)}
LONGEST = 900.0
PAST_ALL = 6 * 3600.0  # past the expiry of a bake, of a copy, and past reap.min_age
PARTS = {"template": "of another day"}


def night(place: Place, *flags: str, code: int = 0) -> dict[str, Any]:
    """Run ``invoke nightly`` to its end; return what it told as JSON."""
    return told(place.invoke("nightly", "--json", *flags, timeout=LONGEST), code)


def told(done: Completed, code: int = 0) -> dict[str, Any]:
    assert done.exit_code == code, done.stderr
    assert "Traceback" not in done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def steps(said: Mapping[str, Any], step: str, at: int = 0) -> dict[str, str]:
    """How a step of one image ended, by region."""
    regions = said["images"][at]["regions"]
    return {region: there[step]["did"] for region, there in regions.items()}


def currents(
    place: Place, image: str = IMAGE, regions: Sequence[str] = HERE
) -> list[str | None]:
    """What is current in each region, home first."""
    return [place.registry.channel(image, "x86_64", r).current for r in regions]


def check_whole(place: Place, old: str | None, regions: Sequence[str] = HERE) -> str:
    """One new build, ready and current in every region, one AMI in each; return it."""
    new = currents(place, regions=regions)[0]
    assert new and new != old
    assert currents(place, regions=regions) == [new] * len(regions)
    build = place.registry.images[IMAGE].builds[new]
    for region in regions:
        there = build.regions[region]
        assert there.state is State.READY
        (said,) = amis_of(place.stage, region, new)
        assert said["ImageId"] == there.ami
        assert tags.EXPIRES not in {tag["Key"] for tag in said["Tags"]}
        assert place.registry.channel(IMAGE, "x86_64", region).previous == old
    return new


def amis_of(stage: Stage, region: str, build: str) -> list[dict[str, Any]]:
    """What EC2 has of a build, whatever the registry says."""
    mark = [{"Name": f"tag:{tags.BUILD}", "Values": [build]}]
    found = stage.ec2(region).describe_images(Owners=["self"], Filters=mark)
    return list(found["Images"])


def reap(place: Place, ahead: float, regions: Sequence[str] = HERE) -> None:
    """Reap with a clock that is so many seconds ahead."""
    code = reap_and_report(place.site(ahead), regions, yes=True, dry_run=False)
    assert code == Exit.DONE


def put_old(
    place: Place,
    regions: Sequence[str],
    *,
    days: int,
    image: str = IMAGE,
    digest: str = "0" * 64,
    packages: str = "condor\t23.9.5\tamd64\n",
    current: bool = True,
) -> str:
    """Put in a build of so many days ago, as a night left it; return its id.

    Its AMIs are copies of the base image, which the cloud has in every region.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    made = now - timedelta(days=days)
    name = f"{made:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    began = {r: _begin(place.stage, r, image, name) for r in regions}
    there = {r: _ended(place.stage, r, ami, made) for r, ami in began.items()}
    build = a_build(there, digest=digest, created=made)
    build.parts, build.htcondor = dict(PARTS), "23.9.5"
    build.packages = _listed(place, image, name, packages)

    def change(registry: Registry) -> None:
        put_build(registry, image, name, build)
        for region in regions if current else ():
            promote(registry, image, name, region)

    RegistryFile(place.registry_path).update(change)
    return name


def take_away(place: Place, *images: str) -> None:
    """Remove every AMI that the registry names of these images."""
    for image in images:
        record = place.registry.images.get(image)
        for build in record.builds if record else ():
            take_away_build(place, image, build)


def take_away_build(place: Place, image: str, build: str) -> None:
    """Remove the AMIs of one build."""
    for region, there in place.registry.images[image].builds[build].regions.items():
        if there.ami:
            place.stage.remove_images(region, there.ami)


def _begin(stage: Stage, region: str, image: str, build: str) -> str:
    own = as_tags({tags.BUILD: build, tags.IMAGE: image})
    asked = stage.ec2(region).copy_image(
        SourceImageId=stage.rehearsal.base.ami_id,
        SourceRegion=region,
        Name=f"night-{build}-{secrets.token_hex(3)}",
        TagSpecifications=[
            {"ResourceType": kind, "Tags": own} for kind in ("image", "snapshot")
        ],
    )
    return str(asked["ImageId"])


def _ended(stage: Stage, region: str, ami: str, made: datetime) -> RegionBuild:
    ec2 = stage.ec2(region)

    def described() -> dict[str, Any] | None:
        (said,) = ec2.describe_images(ImageIds=[ami])["Images"]
        return dict(said) if said["State"] == "available" else None

    said = wait_for(described, what=f"{ami} to be available", timeout=60, poll=0.2)
    ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    return RegionBuild(
        ami=ami,
        snapshot=root_snapshot(said),
        state=State.READY,
        verified_at=made,
        boot_seconds=12.5,
    )


def _listed(place: Place, image: str, build: str, text: str) -> Packages:
    name = f"{place.registry_path.stem}.packages/{image}/{build}.tsv"
    path = place.registry_path.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Packages(path=name, sha256=hashlib.sha256(text.encode()).hexdigest())
