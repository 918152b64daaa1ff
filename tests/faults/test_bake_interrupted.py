"""A bake is stopped or killed at any moment: nothing that costs money is left."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from annexkit.errors import Exit
from annexkit.flows.reap_report import reap_and_report
from annexkit.process import Completed
from annexkit.registry import State
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.faults.moments import IMAGE, MOMENTS, Moment, orphans
from tests.faults.tally import Tally
from tests.stage import REGION, Place

pytestmark = pytest.mark.machines

PAST_ALL = 3 * 3600.0  # past the expiry of a bake (2 h) and past reap.min_age (2 h)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# One of each family is part of `make test`.
ALWAYS = {
    ("base lookup", signal.SIGINT),
    ("provisioning", signal.SIGTERM),
    ("registering", signal.SIGKILL),
}


@dataclass(frozen=True)
class Case:
    """One interruption; *forget*: the state folder is deleted afterwards."""

    moment: Moment
    sent: signal.Signals
    forget: bool


def matrix() -> Iterator[Any]:
    """Every signal at every moment; every other one loses its state folder, too."""
    every = [(moment, sent) for moment in MOMENTS.values() for sent in SIGNALS]
    for number, (moment, sent) in enumerate(every):
        case = Case(moment, sent, forget=number % 2 == 1)
        always = (moment.name, sent) in ALWAYS
        words = f"{sent.name} at {moment.name}" + " state lost" * case.forget
        yield pytest.param(
            case,
            marks=[] if always else [pytest.mark.matrix],
            id=words.replace(" ", "-"),
        )


def all_processes_end(place: Place) -> None:
    wait_for(
        lambda: not place.processes(),
        what=f"the end of {place.processes()}",
        timeout=60,
        poll=0.1,
    )


def reap(place: Place, ahead: float = 0) -> None:
    """Reap as ``invoke reap --yes`` does, with the clock set ahead."""
    code = reap_and_report(place.site(ahead), (), yes=True, dry_run=False)
    assert code == Exit.DONE


def check_stopped(place: Place, case: Case, done: Completed, left: Any) -> None:
    """What a stop by SIGINT or SIGTERM looks like."""
    assert done.exit_code == 1, done.stderr
    assert f"stopped by {case.sent.name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.processes(), "it took all it started with it"
    assert not left or case.moment.leaves == "candidate", "it cleaned up after itself"


def is_complete(place: Place, baked: Baked) -> bool:
    """Say whether the registry points to a proved new build; if not, to none."""
    registry = place.registry
    assert registry.images["debian13"] == baked.place.registry.images["debian13"]
    names = registry.channel(IMAGE, "x86_64", REGION)
    assert (names.previous, names.candidate) == (None, None)
    builds = registry.images[IMAGE].builds if IMAGE in registry.images else {}
    if names.current is None:
        states = {there.state for b in builds.values() for there in b.regions.values()}
        assert states <= {State.RETIRED, State.FAILED}
        return False
    there = builds[names.current].regions[REGION]
    assert there.state is State.READY
    (image,) = place.stage.ec2().describe_images(ImageIds=[there.ami])["Images"]
    assert "annexkit:expires" not in {tag["Key"] for tag in image["Tags"]}
    return True


@pytest.mark.parametrize("case", list(matrix()))
def test_an_interrupted_bake_leaves_nothing(
    place: Place, baked: Baked, tally: Tally, case: Case
) -> None:
    before = place.stage.inventory()
    done = case.moment.interrupt(place, case.sent)
    if case.sent is signal.SIGKILL:
        assert done.exit_code == -signal.SIGKILL
    else:
        check_stopped(place, case, done, orphans(place, before))
    if case.forget:
        all_processes_end(place)  # Packer cleans up by itself: no journal knows it
        if place.state.exists():  # before the first thing is made there is none
            shutil.rmtree(place.state)
    reap(place)
    assert not place.processes()
    if case.sent is signal.SIGKILL and not case.forget:
        assert not orphans(place, before), "the journal says whose all of it was"
    reap(place, ahead=PAST_ALL)
    left = orphans(place, before)
    tally.add(case.moment.name, case.sent.name, case.forget, len(left))
    assert not left
    assert is_complete(place, baked) is (case.moment.leaves == "current")
