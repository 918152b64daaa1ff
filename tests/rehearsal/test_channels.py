"""The channels by the command line, over AMIs that the rehearsal copied; no boots."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.instances import as_tags
from annexkit.process import Completed
from annexkit.publish.standing import root_snapshot
from annexkit.registry import RegionBuild, Registry, State
from annexkit.registry.edits import promote, put_build, set_candidate, set_retired
from annexkit.registry.store import RegistryFile
from annexkit.rehearsal.state import ACCOUNT
from annexkit.waiting import wait_for
from tests.stage import Place, Stage
from tests.unit.helpers import NOON, a_build, build_id

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

IMAGE = "debian13"
REGIONS = ("us-west-2", "us-east-1", "eu-south-1")
WEST, EAST, ROME = REGIONS
OLD, NEW = build_id(1), build_id(2)
ASKED = {"DescribeImages": 1, "DescribeSnapshots": 1}


def an_ami(stage: Stage, region: str, one: str) -> RegionBuild:
    """Copy the base image as a build's AMI, as a bake leaves it after its proof."""
    ec2 = stage.ec2(region)
    base = stage.rehearsal.base.ami_id
    own = as_tags({tags.BUILD: one, tags.IMAGE: IMAGE})
    ami = ec2.copy_image(
        SourceImageId=base,
        SourceRegion=region,
        Name=f"channels-{one}-{secrets.token_hex(3)}",
        TagSpecifications=[{"ResourceType": "image", "Tags": own}],
    )["ImageId"]

    def described() -> dict[str, Any] | None:
        (said,) = ec2.describe_images(ImageIds=[ami])["Images"]
        return dict(said) if said["State"] == "available" else None

    said = wait_for(described, what=f"{ami} to be available", timeout=60, poll=0.2)
    ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    snapshot = root_snapshot(said)
    return RegionBuild(ami=ami, snapshot=snapshot, state=State.READY, verified_at=NOON)


@pytest.fixture
def place(stage: Stage, tmp_path: Path) -> Iterator[Place]:
    """OLD is current and NEW the candidate, in three regions."""
    stage.calm()
    place = Place(stage, tmp_path)
    registry = RegistryFile(place.registry_path)
    registry.update(registry.claim(ACCOUNT, stage.rehearsal.endpoint))
    made = {}
    for one in (OLD, NEW):
        made[one] = a_build({r: an_ami(stage, r, one) for r in REGIONS})
        made[one].htcondor = "23.9.6"

    def fill(registry: Registry) -> None:
        for one, build in made.items():
            put_build(registry, IMAGE, one, build)
        for region in REGIONS:
            promote(registry, IMAGE, OLD, region)
            set_candidate(registry, IMAGE, NEW, region)

    registry.update(fill)
    stage.calm()
    yield place
    stage.calm()
    for region in REGIONS:
        stage.remove_images(region, *(b.regions[region].ami for b in made.values()))


def there(place: Place, one: str, region: str) -> RegionBuild:
    return place.registry.images[IMAGE].builds[one].regions[region]


def currents(place: Place) -> list[str | None]:
    return [place.registry.channel(IMAGE, "x86_64", r).current for r in REGIONS]


def ended(done: Completed, code: int) -> Any:
    """Return what a command printed as JSON, once it ended as expected."""
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout) if "--json" in done.args else done.stdout


def verdicts(place: Place, code: int) -> dict[tuple[str, str], str]:
    """Verify; return the verdict of each build in each region."""
    said = ended(place.invoke("registry.verify", "--json"), code)
    return {(line["build"], line["region"]): line["verdict"] for line in said["amis"]}


def test_channels_move_stay_and_come_back(place: Place, stage: Stage) -> None:
    shown = ended(place.invoke("registry.promote", "--dry-run"), 0)
    assert shown.count(f"{OLD} → {NEW}") == 3
    assert currents(place) == [OLD] * 3

    ended(place.invoke("registry.promote"), 0)
    assert currents(place) == [NEW] * 3
    assert stage.changing() == [], "nothing in EC2 was changed"

    stage.calm()
    again = place.invoke("registry.promote")
    assert "nothing to do" in again.stderr
    assert (ended(again, 0).count("unchanged"), currents(place)) == (3, [NEW] * 3)
    assert stage.called() == ["GetCallerIdentity"]

    ended(place.invoke("registry.rollback", "--regions", f"{WEST},{ROME}"), 0)
    assert currents(place) == [OLD, NEW, OLD]


def test_a_region_that_fails_keeps_its_pointer(place: Place, stage: Stage) -> None:
    stage.ec2(EAST).deregister_image(ImageId=there(place, NEW, EAST).ami)
    down = {"code": "OptInRequired", "status": 401}
    deaf = {"action": "Describe*", "region": ROME, "error": down}
    stage.ask("faults", "POST", [deaf])
    said = ended(place.invoke("registry.promote", "--json"), 3)["regions"]
    assert [said[r]["result"] for r in REGIONS] == ["moved", "refused", "refused"]
    assert currents(place) == [NEW, OLD, OLD]
    assert "does not exist" in said[EAST]["why"]

    found = verdicts(place, 1)
    assert found[NEW, EAST] == "Missing"
    assert found[OLD, ROME] == found[NEW, ROME] == "Unreachable"
    assert found[OLD, WEST] == found[NEW, WEST] == found[OLD, EAST] == "Correct"


def test_verify_sees_what_is_there_and_asks_little(place: Place, stage: Stage) -> None:
    assert set(verdicts(place, 0).values()) == {"Correct"}
    for region in REGIONS:
        called = [a for a in stage.called(region) if a != "GetCallerIdentity"]
        assert {action: called.count(action) for action in called} == ASKED

    registry = RegistryFile(place.registry_path)
    registry.update(lambda r: set_retired(r, IMAGE, OLD, WEST, "old"))
    assert verdicts(place, 1)[OLD, WEST] == "Incorrect", "its AMI is still there"
    gone = there(place, OLD, WEST)
    ec2 = stage.ec2(WEST)
    ec2.deregister_image(ImageId=gone.ami)
    assert verdicts(place, 1)[OLD, WEST] == "Incorrect", "its snapshot still costs"
    ec2.delete_snapshot(SnapshotId=gone.snapshot)
    assert verdicts(place, 0)[OLD, WEST] == "Correct"
