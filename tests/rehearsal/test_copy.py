"""``invoke copy`` by its command line: a proved AMI in other regions, and no orphan."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.flows.reap_report import reap_and_report
from annexkit.instance_values import from_tags
from annexkit.registry import State
from tests.conftest import Baked
from tests.stage import REGION, Place, Stage

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

IMAGE = "debian13"
# Regions of its own for each test: EC2 remembers what a copy was asked with.
REGIONS = iter(
    (
        *("us-east-1", "us-east-2", "us-west-1", "ca-central-1", "sa-east-1"),
        *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"),
        *("eu-south-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-east-1"),
    )
)


@pytest.fixture
def place(stage: Stage, baked: Baked, tmp_path: Path) -> Iterator[Place]:
    """The registry after the first bake, for one test to go on with."""
    assert baked.done.exit_code == 0, baked.done.stderr
    stage.calm()
    yield baked.place.copy(tmp_path)
    stage.calm()


@pytest.fixture
def elsewhere(stage: Stage) -> Iterator[tuple[str, ...]]:
    three = next(REGIONS), next(REGIONS), next(REGIONS)
    yield three
    for region in three:
        stage.remove_images(region)


def ours(stage: Stage, region: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.ec2(region).describe_images(Owners=["self"])[
        "Images"
    ]
    return found


def copy(place: Place, *regions: str, code: int = 0) -> list[dict[str, str]]:
    done = place.invoke("copy", "--region", ",".join(regions), "--json")
    assert done.exit_code == code, done.stderr
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return rows


def copies(stage: Stage) -> int:
    return sum(call["action"] == "CopyImage" for call in stage.ask("calls"))


def test_each_region_has_a_complete_candidate(
    stage: Stage, baked: Baked, place: Place, elsewhere: tuple[str, ...]
) -> None:
    rows = copy(place, *elsewhere)
    assert [row["region"] for row in rows] == list(elsewhere)
    for region in elsewhere:
        (said,) = ours(stage, region)
        own = from_tags(said["Tags"])
        assert own[tags.BUILD] == baked.build_id and tags.EXPIRES in own
        assert (said["State"], said["ImdsSupport"]) == ("available", "v2.0")
        there = place.registry.images[IMAGE].builds[baked.build_id].regions[region]
        assert (there.ami, there.state) == (said["ImageId"], State.PENDING)
        names = place.registry.channel(IMAGE, "x86_64", region)
        assert (names.candidate, names.current) == (baked.build_id, None)
    assert place.journal == []


def test_a_second_run_copies_nothing(
    stage: Stage, place: Place, elsewhere: tuple[str, ...]
) -> None:
    first = copy(place, *elsewhere)
    made = copies(stage)
    assert copy(place, REGION, *elsewhere)[1:] == first
    assert copies(stage) == made == len(elsewhere)


@pytest.mark.parametrize("lost", [False, True], ids=["", "state-and-registry-lost"])
def test_a_killed_copy_is_gone_on_with(
    stage: Stage, baked: Baked, place: Place, lost: bool, elsewhere: tuple[str, ...]
) -> None:
    before = place.registry_path.read_bytes()
    stage.ask("knobs", "POST", {"image_pending_seconds": 8})
    running = place.start("copy", "--region", ",".join(elsewhere))
    running.reach(lambda: copies(stage) == len(elsewhere), "all copies begun")
    running.send(signal.SIGKILL)
    running.ended()
    if lost:
        shutil.rmtree(place.state)
        place.registry_path.write_bytes(before)
    copy(place, *elsewhere)
    assert copies(stage) == len(elsewhere)
    assert [len(ours(stage, region)) for region in elsewhere] == [1, 1, 1]
    assert place.journal == []


def test_one_region_that_is_down_stops_no_other(
    stage: Stage, place: Place, elsewhere: tuple[str, ...]
) -> None:
    down = elsewhere[0]
    broken = {"code": "InternalError", "status": 500}
    fault = {"action": "CopyImage", "region": down, "error": broken}
    stage.ask("faults", "POST", [fault])
    rows = copy(place, *elsewhere, code=3)
    assert [row["region"] for row in rows if row["state"] == "failed"] == [down]
    stage.ask("faults", "DELETE")
    assert [row["state"] for row in copy(place, *elsewhere)] == ["available"] * 3
    assert all(len(ours(stage, region)) == 1 for region in elsewhere)


def test_what_is_copied_and_never_proved_is_reaped(
    stage: Stage,
    baked: Baked,
    place: Place,
    elsewhere: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    region = elsewhere[0]
    copy(place, region)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    reap_and_report(place.site(ahead=3600), (region,), yes=True, dry_run=False)
    assert len(ours(stage, region)) == 1, "its time is not over"
    reap_and_report(place.site(ahead=6 * 3600), (region,), yes=True, dry_run=False)
    assert ours(stage, region) == []
    there = place.registry.images[IMAGE].builds[baked.build_id].regions[region]
    assert there.state is State.RETIRED
    assert copy(place, region)[0]["state"] == "available"
