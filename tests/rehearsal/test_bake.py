"""``invoke bake`` by its command line: real Packer, real machines, a real proof."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.registry import State
from tests.conftest import Baked
from tests.stage import REGION, Place, Stage

pytestmark = pytest.mark.machines

OTHER = "eu-west-1"
ARCH = "x86_64"
IMAGE = "debian13"


@pytest.fixture
def place(stage: Stage, baked: Baked, tmp_path: Path) -> Iterator[Place]:
    """The registry after the first bake, for one test to go on with."""
    assert baked.done.exit_code == 0, baked.done.stderr
    stage.calm()
    yield baked.place.copy(tmp_path)
    stage.calm()


def result(place: Place, *arguments: str, code: int = 0) -> dict[str, object]:
    """Bake and return what the result says of the one region, or of several."""
    done = place.invoke("bake", "--json", *arguments)
    assert done.exit_code == code, done.stderr
    regions: dict[str, dict[str, object]] = json.loads(done.stdout)["regions"]
    return regions[REGION] if len(regions) == 1 else dict(regions)


def test_a_bake_with_no_flags_ends_with_a_proved_and_current_ami(baked: Baked) -> None:
    assert baked.done.exit_code == 0, baked.done.stderr
    names = baked.place.registry.channel(IMAGE, ARCH, REGION)
    assert names.model_dump() == {
        "current": baked.build_id,
        "previous": None,
        "candidate": None,
    }
    assert baked.there.state is State.READY
    assert baked.there.verified_at
    assert baked.there.boot_seconds
    assert baked.build.htcondor.startswith("23.9")
    assert "checks passed" in baked.done.stderr


def test_its_package_list_lies_beside_the_registry_as_the_registry_says(
    baked: Baked,
) -> None:
    listed = baked.build.packages
    assert listed
    data = (baked.place.registry_path.parent / listed.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == listed.sha256
    rows = dict(line.split("\t")[:2] for line in data.decode().splitlines())
    assert rows["condor"] == baked.build.htcondor
    assert "cloud-init" in rows


def test_the_ami_asks_for_imdsv2_and_has_no_expiry_any_more(
    stage: Stage, baked: Baked
) -> None:
    ec2 = stage.ec2()
    (image,) = ec2.describe_images(ImageIds=[baked.there.ami])["Images"]
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[baked.there.snapshot])[
        "Snapshots"
    ]
    assert image["ImdsSupport"] == "v2.0"
    for part in (image, snapshot):
        tags = {tag["Key"]: tag["Value"] for tag in part["Tags"]}
        assert tags["annexkit:build"] == baked.build_id
        assert "annexkit:expires" not in tags
    assert snapshot["Encrypted"]


def test_nothing_but_the_ami_and_its_snapshot_is_left(baked: Baked) -> None:
    kinds = sorted(thing.split()[1] for thing in baked.left)
    assert kinds == ["image", "snapshot"]
    assert baked.place.journal == []
    assert baked.place.processes() == []


def test_a_second_bake_finds_nothing_to_do_and_says_why(
    stage: Stage, baked: Baked, place: Place
) -> None:
    before = place.registry_path.read_bytes()
    found = result(place)
    assert found["result"] == "unchanged"
    assert found["digest"] == baked.build.digest
    assert found["ami"] == baked.there.ami
    assert stage.called(REGION).count("DescribeImages") <= 2
    assert set(stage.called(REGION)) <= {"DescribeImages", "GetCallerIdentity"}
    assert place.registry_path.read_bytes() == before


def test_a_dry_run_changes_nothing_even_when_forced(stage: Stage, place: Place) -> None:
    before, there = place.registry_path.read_bytes(), stage.inventory()
    found = result(place, "--dry-run", "--force")
    assert found["result"] == "planned"
    assert stage.changing() == []
    assert place.registry_path.read_bytes() == before
    assert stage.inventory() == there
    assert place.journal == []


def test_a_kept_candidate_becomes_current_by_the_next_bake_alone(
    stage: Stage, baked: Baked, place: Place
) -> None:
    found = result(place, "--keep-candidate", "--force")
    names = place.registry.channel(IMAGE, ARCH, REGION)
    assert found["result"] == "candidate"
    assert found["build"] != baked.build_id
    assert (names.current, names.candidate) == (baked.build_id, found["build"])
    stage.calm()
    # Of equal digest and proved: there is nothing to bake, only a pointer to move.
    assert result(place)["result"] == "current"
    assert stage.changing() == []
    names = place.registry.channel(IMAGE, ARCH, REGION)
    assert (names.current, names.previous) == (found["build"], baked.build_id)
    assert names.candidate is None
    assert result(place)["result"] == "unchanged"


def test_a_region_that_fails_keeps_its_pointer_and_stops_no_other(
    stage: Stage, baked: Baked, place: Place
) -> None:
    refusal = {"code": "InsufficientInstanceCapacity", "status": 500}
    rule = {"action": "RunInstances", "region": OTHER, "error": refusal}
    stage.ask("faults", "POST", [rule])
    before = stage.inventory()
    found = result(place, f"--region={OTHER}", f"--region={REGION}", code=3)
    ends = {name: said["result"] for name, said in found.items()}  # type: ignore[index]
    assert ends == {OTHER: "failed", REGION: "unchanged"}
    registry = place.registry
    assert registry.channel(IMAGE, ARCH, OTHER).current is None
    assert registry.channel(IMAGE, ARCH, REGION).current == baked.build_id
    assert stage.inventory() == before
    assert place.journal == []


@pytest.mark.matrix
def test_two_regions_in_one_command_each_get_an_ami_of_their_own(
    baked: Baked, place: Place
) -> None:
    found = result(place, f"--region={REGION},{OTHER}")
    ends = {name: said["result"] for name, said in found.items()}  # type: ignore[index]
    assert ends == {REGION: "unchanged", OTHER: "current"}
    registry = place.registry
    here = registry.channel(IMAGE, ARCH, REGION).current
    there = registry.channel(IMAGE, ARCH, OTHER).current
    assert here == baked.build_id
    assert there
    assert there != here
    regions = registry.images[IMAGE].builds[there].regions
    assert set(regions) == {OTHER}
    assert regions[OTHER].state is State.READY


@pytest.mark.matrix
def test_the_recipe_of_a_newer_htcondor_bakes_and_is_proved(place: Place) -> None:
    found = result(place, "--image=debian13-c25")
    assert found["result"] == "current"
    record = place.registry.images["debian13-c25"]
    build = record.builds[str(found["build"])]
    assert build.htcondor.startswith("25.14")
    assert build.regions[REGION].verified_at
    assert record.channels[ARCH][REGION].current == found["build"]


def test_the_checkout_is_as_clean_as_it_was(stage: Stage, baked: Baked) -> None:
    assert baked.done.exit_code == 0, baked.done.stderr
    assert (stage.checkout / "packer" / "build").is_dir()
    assert stage.git_status() == ""
