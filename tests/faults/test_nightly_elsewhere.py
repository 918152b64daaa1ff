"""Somebody else moves pointers while a night works, or its disk fills: nothing is lost.

One region besides home, so that a night takes a minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annexkit.process import Completed
from annexkit.registry import State
from annexkit.registry.pointers import rolled_back
from tests.conftest import Baked
from tests.faults.moments import orphans
from tests.faults.night_moments import FAR, NightMoment, a_call, smoking
from tests.faults.small_disk import SmallDisk, small_disk
from tests.nights import (
    IMAGE,
    LONGEST,
    PAST_ALL,
    amis_of,
    check_whole,
    currents,
    night,
    put_old,
    reap,
    steps,
    take_away,
    take_away_build,
    told,
)
from tests.stage import REGION, Command, Place, Stage

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

BOTH = (REGION, FAR)
OTHER = "debian13"  # the image of the session's first bake
SMOKING = NightMoment("smoking", smoking)
COPYING = NightMoment("asking for a copy", held=a_call("CopyImage", FAR))
NO_SPACE = r"^error: .*could not be written \(No space left on device\)"


@pytest.fixture
def disks() -> Iterator[ExitStack]:
    """What the test mounts; unmounted after all that looks into it."""
    with ExitStack() as mounted:
        yield mounted


@pytest.fixture
def copied(baked: Baked, tmp_path: Path, disks: ExitStack) -> Place:
    """A place of this test's own, which is looked into until the disks are gone."""
    return baked.place.copy(tmp_path / "place")


@pytest.fixture
def place(
    stage: Stage,
    copied: Place,
    again: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """A registry with two old builds: one is current everywhere, one is previous."""
    away = {"INVOKE_ANNEXKIT_PUBLISH_REGIONS": FAR}
    place = Place(stage, copied.folder, again | away)
    for name, value in place.environment.items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy")):
            monkeypatch.setenv(name, value)
    put_old(place, BOTH, days=4)
    put_old(place, BOTH, days=3)
    stage.calm()
    yield place
    stage.calm()
    take_away(place, IMAGE)


def old_builds(place: Place) -> tuple[str, str]:
    """The two that were there before the night, the older first."""
    older, old = sorted(place.registry.images[IMAGE].builds)[:2]
    return older, old


def there_now(place: Place) -> list[str | None]:
    return currents(place, regions=BOTH)


def by_somebody(place: Place, *typed: str) -> None:
    """Another person's command, with a state folder of their own; it ends well."""
    registry = {"INVOKE_ANNEXKIT_REGISTRY": str(place.registry_path)}
    more = {**place.more, **registry}
    other = replace(place, folder=place.folder / "somebody", more=more)
    done = other.invoke(*typed, "--regions", REGION, "--no-pool")
    assert done.exit_code == 0, done.stderr


def check_smokes(place: Place, running: Command) -> None:
    """The night has not come further meanwhile: the copy is not proved."""
    assert running.process.poll() is None
    new = place.registry.channel(IMAGE, "x86_64", FAR).candidate or ""
    there = place.registry.images[IMAGE].builds[new].regions[FAR]
    assert there.state is State.PENDING


def ended(running: Command) -> Completed:
    done = running.ended(LONGEST)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def check_file(place: Place) -> None:
    """The file is whole, by annexkit's own check, and nothing lies beside it."""
    done = place.invoke("registry.check")
    assert done.exit_code == 0, done.stderr
    strays = {
        path.name
        for path in place.registry_path.parent.iterdir()
        if path.name.startswith(".")
    }
    assert not strays


def check_end(place: Place, before: frozenset[str]) -> None:
    """Nothing runs, and no reap finds anything that the registry does not hold."""
    reap(place, ahead=0, regions=BOTH)
    reap(place, ahead=PAST_ALL, regions=BOTH)
    assert not place.processes()
    assert not orphans(place, before)
    assert len(place.registry.images[IMAGE].builds) == 3, "one bake in all"
    assert not place.journal


def promoted(said: dict[str, Any], region: str) -> dict[str, Any]:
    return dict(said["images"][0]["regions"][region]["promote"])


def test_what_somebody_writes_while_a_night_smokes_outlives_the_night(
    place: Place,
) -> None:
    before = place.stage.inventory(*BOTH)
    older, old = old_builds(place)
    running = SMOKING.reach(place, "--json")
    by_somebody(place, "registry.rollback")
    others = put_old(place, (REGION,), days=1, image=OTHER)
    try:
        check_smokes(place, running)
        said = told(ended(running), code=3)
        assert steps(said, "promote") == {REGION: "failed", FAR: "done"}
        wrong = promoted(said, REGION)["error"]
        assert "somebody else changed it meanwhile" in wrong
        assert f"current is {older}, was {old}" in wrong
        new = said["images"][0]["build"]
        assert there_now(place) == [older, new]
        assert currents(place, OTHER, (REGION,)) == [others], "their record stands"
        check_file(place)
        said = night(place, "--resume")
        assert said["images"][0]["build"] == new
        assert check_whole(place, older, (REGION,)) == new, "theirs is the way back"
        assert check_whole(place, old, (FAR,)) == new
        assert currents(place, OTHER, (REGION,)) == [others]
        check_file(place)
        check_end(place, before)
    finally:
        take_away_build(place, OTHER, others)


def test_what_somebody_rolls_back_while_a_night_smokes_is_not_promoted_by_it(
    place: Place,
) -> None:
    before = place.stage.inventory(*BOTH)
    _, old = old_builds(place)
    running = SMOKING.reach(place, "--json")
    new = str(place.registry.channel(IMAGE, "x86_64", REGION).candidate)
    by_somebody(place, "registry.promote", "--build", new)
    by_somebody(place, "registry.rollback")
    check_smokes(place, running)
    said = told(ended(running))
    assert steps(said, "promote") == {REGION: "unchanged", FAR: "done"}
    assert "left alone" in promoted(said, REGION)["detail"]
    assert there_now(place) == [old, new]
    there = place.registry.images[IMAGE].builds[new].regions
    assert rolled_back(there[REGION])
    assert {one.state for one in there.values()} == {State.READY}
    check_file(place)
    night(place, "--resume")
    assert there_now(place) == [old, new]
    check_end(place, before)


@pytest.mark.parametrize(
    ("folder", "moment", "known"),
    [
        ("state", COPYING, True),
        ("registry", COPYING, False),
        ("registry", SMOKING, True),
    ],
    ids=["state-when-it-copies", "registry-when-it-copies", "registry-when-it-smokes"],
)
def test_a_disk_that_fills_stops_the_night_and_with_room_the_next_ends_well(
    place: Place, disks: ExitStack, folder: str, moment: NightMoment, known: bool
) -> None:
    before = place.stage.inventory(*BOTH)
    _, old = old_builds(place)
    disk = disks.enter_context(small_disk(place.folder / folder, "64m"))
    new = fill_at(place, disk, moment)
    assert there_now(place) == [new if folder == "state" else old, old]
    there = place.registry.images[IMAGE].builds[new].regions.get(FAR)
    assert (there and there.state) == (State.PENDING if known else None)
    (copy,) = amis_of(place.stage, FAR, new)
    check_file(place)
    disk.make_room()
    said = night(place, "--resume")
    assert said["images"][0]["build"] == new
    assert check_whole(place, old, BOTH) == new
    assert amis_of(place.stage, FAR, new)[0]["ImageId"] == copy["ImageId"]
    check_file(place)
    check_end(place, before)


def fill_at(place: Place, disk: SmallDisk, moment: NightMoment) -> str:
    """Let the disk fill in the middle of a night; return the build of that night."""
    running = moment.reach(place)
    new = str(place.registry.channel(IMAGE, "x86_64", REGION).candidate)
    disk.fill()
    was = place.registry_path.read_bytes()
    done = ended(running)
    assert done.exit_code == 1, done.stderr
    found = re.findall(NO_SPACE, done.stderr, re.MULTILINE)
    assert found, done.stderr
    assert "make room on the disk" in done.stderr
    if disk.folder == place.registry_path.parent:
        assert place.registry_path.read_bytes() == was
    return new
