"""A night is killed at any moment, or loses a region: the next one makes it whole."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.faults.moments import orphans
from tests.faults.night_moments import MOMENTS, NightMoment
from tests.faults.tally import Tally
from tests.nights import (
    AWAY,
    HERE,
    IMAGE,
    PAST_ALL,
    SETTINGS,
    check_whole,
    currents,
    night,
    put_old,
    reap,
    steps,
    take_away,
)
from tests.stage import Place, Stage

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

DEAF = {"code": "OptInRequired", "status": 401}  # an error that nobody tries again
DOWN, ODD = AWAY[0], AWAY[1]


@pytest.fixture
def place(
    stage: Stage,
    baked: Baked,
    again: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """A registry with an old build that is current everywhere, and a fast recipe."""
    copied = baked.place.copy(tmp_path / "place")
    place = Place(stage, copied.folder, again | SETTINGS)
    for name, value in place.environment.items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy")):
            monkeypatch.setenv(name, value)
    put_old(place, HERE, days=100, current=False)
    put_old(place, HERE, days=3)
    stage.calm()
    yield place
    stage.calm()
    take_away(place, IMAGE)


def cases() -> Iterator[Any]:
    """Every moment; every other night loses its state folder, too."""
    for number, moment in enumerate(MOMENTS):
        forget = number % 2 == 1
        words = f"at {moment.name}" + " state lost" * forget
        yield pytest.param(moment, forget, id=words.replace(" ", "-"))


@pytest.mark.parametrize(("moment", "forget"), list(cases()))
def test_a_killed_night_is_made_whole_and_leaves_nothing(
    place: Place, night_tally: Tally, moment: NightMoment, forget: bool
) -> None:
    before = place.stage.inventory(*HERE)
    old = currents(place)[0]
    running = moment.reach(place)
    running.send(signal.SIGKILL)
    running.ended(timeout=60)
    place.stage.ask("knobs", "POST", {})
    place.stage.ask("faults", "DELETE")
    wait_for(
        lambda: not place.processes(),
        what="what it started to end",
        timeout=60,
        poll=0.1,
    )
    if forget:
        shutil.rmtree(place.state)
    night(place, "--resume")
    new = check_whole(place, old)
    reap(place, ahead=0)
    reap(place, ahead=PAST_ALL)
    assert not place.processes()
    left = orphans(place, before)
    night_tally.add(moment.name, "SIGKILL", forget, len(left))
    assert not left
    assert check_whole(place, old) == new, "no reap took any of it"
    last = night(place)
    assert not last["images"][0]["changed"]
    assert last["images"][0]["build"] == new


def test_a_region_that_is_down_from_the_start_comes_later(place: Place) -> None:
    old = currents(place)[0]
    place.stage.ask("faults", "POST", [{"action": "*", "region": DOWN, "error": DEAF}])
    said = night(place, code=3)
    assert steps(said, "promote")[DOWN] == "waiting"
    assert steps(said, "copied")[DOWN] == "failed"
    promoted = {r for r, did in steps(said, "promote").items() if did == "done"}
    assert promoted == {*HERE} - {DOWN}
    assert place.registry.channel(IMAGE, "x86_64", DOWN).current == old
    place.stage.ask("faults", "DELETE")
    said = night(place, "--resume")
    assert steps(said, "smoke")[DOWN] == "done"
    assert check_whole(place, old) == said["images"][0]["build"]
    assert len(place.registry.images[IMAGE].builds) == 3, "nothing was baked again"


def test_a_region_that_dies_while_it_is_copied_to_comes_later(place: Place) -> None:
    old = currents(place)[0]
    fault = {"action": "CopyImage", "region": DOWN, "error": DEAF, "after": True}
    place.stage.ask("faults", "POST", [fault])
    said = night(place, code=3)
    assert steps(said, "copied")[DOWN] == "failed"
    assert place.registry.channel(IMAGE, "x86_64", DOWN).current == old
    place.stage.ask("faults", "DELETE")
    night(place, "--resume")
    check_whole(place, old)


def test_an_ami_that_fails_its_smoke_is_never_current(place: Place) -> None:
    old = currents(place)[0]
    hasty = {**place.more, "INVOKE_ANNEXKIT_PROVE_BOOT_TIMEOUT": "60s"}
    dead = {"action": "RunInstances", "region": ODD, "machines": {"never_boots": True}}
    place.stage.ask("faults", "POST", [dead])
    said = night(replace(place, more=hasty), code=3)
    assert steps(said, "smoke")[ODD] == "failed"
    assert place.registry.channel(IMAGE, "x86_64", ODD).current == old
    place.stage.ask("faults", "DELETE")
    night(place, "--resume")
    check_whole(place, old)
