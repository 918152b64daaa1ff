"""What keeps a pointer where it is: what EC2 says, and what somebody else did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from annexkit import tags
from annexkit.console import Console
from annexkit.errors import Exit
from annexkit.flows.registry_promote import ChannelRequest, promote
from annexkit.flows.site import Site
from annexkit.registry import Registry, State
from annexkit.registry.edits import promote as make_current
from annexkit.registry.edits import set_failed, set_retired
from tests.unit.flows.bakery import ec2
from tests.unit.flows.channels import (
    EAST,
    IMAGE,
    NEW,
    OLD,
    ROME,
    WEST,
    Ground,
    with_candidate,
)
from tests.unit.helpers import ami_id, build_id

Captured = pytest.CaptureFixture[str]
ASKED = ("DescribeImages", "DescribeSnapshots")


@pytest.fixture
def ground(site: Site) -> Ground:
    """OLD is current in all three regions, NEW is the proved candidate."""
    return with_candidate(site)


def as_json(ground: Ground, capsys: Captured, run: Callable[[], Exit]) -> Any:
    capsys.readouterr()
    ground.site.console = Console(as_json=True)
    code = run()
    return code, json.loads(capsys.readouterr().out)


def gone(ground: Ground) -> None:
    del ec2(EAST).amis[ground.there(NEW, EAST).ami]


def pending(ground: Ground) -> None:
    ground.image(NEW, EAST).state = "pending"


def others(ground: Ground) -> None:
    ground.image(NEW, EAST).owner_id = "2" * 12


def arm(ground: Ground) -> None:
    ground.image(NEW, EAST).architecture = "arm64"


def lax(ground: Ground) -> None:
    ground.image(NEW, EAST).imds_support = None


def bare(ground: Ground) -> None:
    del ec2(EAST).snapshots[ground.there(NEW, EAST).snapshot]


def mislabelled(ground: Ground) -> None:
    ground.image(NEW, EAST).add_tags({tags.BUILD: OLD})


def silent(ground: Ground) -> None:
    ground.silence(EAST)


def unproved(ground: Ground) -> None:
    def change(registry: Registry) -> None:
        there = registry.images[IMAGE].builds[NEW].regions[EAST]
        there.state, there.verified_at = State.PENDING, None

    ground.edit(change)


BAD: dict[Callable[[Ground], None], str] = {
    gone: "does not exist",
    pending: "its state is pending, not available",
    others: f"its owner is {'2' * 12}",
    arm: "its architecture is arm64, not x86_64",
    lax: "its ImdsSupport is unset, not v2.0",
    bare: "is gone",
    mislabelled: f"its tag annexkit:build is {OLD}, not {NEW}",
    silent: "Could not connect",
    unproved: f"build {NEW} is not proved yet",
}


@pytest.mark.parametrize(
    ("spoil", "said"), BAD.items(), ids=lambda v: getattr(v, "__name__", str(v))[:24]
)
def test_a_region_that_fails_keeps_its_pointer_and_the_others_go_on(
    ground: Ground, capsys: Captured, spoil: Callable[[Ground], None], said: str
) -> None:
    spoil(ground)
    before = ground.names(EAST)
    assert promote(ground.site, ChannelRequest()) is Exit.PARTLY
    assert ground.currents() == {WEST: NEW, EAST: OLD, ROME: NEW}
    assert ground.names(EAST) == before
    told = capsys.readouterr()
    assert said in told.err
    assert "error: us-east-1: " in told.err or "in us-east-1: " in told.err
    assert "mend: " in told.err


def test_a_dry_run_ends_as_the_run_would(ground: Ground) -> None:
    gone(ground)
    request = ChannelRequest(dry_run=True)
    assert promote(ground.site, request) is Exit.PARTLY
    assert set(ground.currents().values()) == {OLD}


def test_when_every_region_is_refused_it_failed(ground: Ground) -> None:
    gone(ground)
    assert promote(ground.site, ChannelRequest(regions=(EAST,))) is Exit.FAILED


def test_a_refused_region_says_as_json_what_stays(
    ground: Ground, capsys: Captured
) -> None:
    gone(ground)
    code, said = as_json(ground, capsys, lambda: promote(ground.site, ChannelRequest()))
    assert code is Exit.PARTLY
    east = said["regions"][EAST]
    assert (east["result"], east["build"]) == ("refused", NEW)
    assert east["channels"] == east["before"]
    assert east["channels"]["current"] == OLD
    assert [f["level"] for f in east["findings"]] == ["error"]
    assert "does not exist" in east["why"]


@pytest.mark.parametrize("state", [State.FAILED, State.RETIRED])
def test_a_build_that_is_no_more_is_refused_with_its_reason(
    ground: Ground, capsys: Captured, state: State
) -> None:
    edit = set_failed if state is State.FAILED else set_retired
    ground.edit(lambda r: edit(r, IMAGE, NEW, EAST, "smoke failed"))
    assert promote(ground.site, ChannelRequest(build=NEW)) is Exit.PARTLY
    assert f"build {NEW} is {state}: smoke failed" in capsys.readouterr().err
    assert ground.currents()[EAST] == OLD


def test_a_region_for_which_it_was_not_made_is_refused(
    ground: Ground, capsys: Captured
) -> None:
    ground.build(build_id(5), (WEST,), htcondor="23.9.6")
    request = ChannelRequest(build=build_id(5), regions=(WEST, EAST))
    assert promote(ground.site, request) is Exit.PARTLY
    assert "was not made for this region" in capsys.readouterr().err


def test_what_somebody_else_moved_meanwhile_is_refused_and_nothing_is_lost(
    ground: Ground, meanwhile: Any, capsys: Captured
) -> None:
    third = build_id(3)
    ground.build(third, htcondor="23.9.6")
    meanwhile(
        lambda: ground.edit(lambda r: make_current(r, IMAGE, third, EAST)),
    )
    assert promote(ground.site, ChannelRequest()) is Exit.PARTLY
    assert ground.currents() == {WEST: NEW, EAST: third, ROME: NEW}
    assert ground.names(EAST).previous == OLD
    said = capsys.readouterr().err
    assert f"somebody else changed it meanwhile (current is {third}, was {OLD})" in said
    assert "us-east-1: its pointers stay" in said
    assert "run the same command again" in said


def test_what_somebody_retired_meanwhile_is_not_made_current(
    ground: Ground, meanwhile: Any
) -> None:
    meanwhile(
        lambda: ground.edit(lambda r: set_retired(r, IMAGE, NEW, EAST, "reaped")),
    )
    assert promote(ground.site, ChannelRequest()) is Exit.PARTLY
    assert ground.currents() == {WEST: NEW, EAST: OLD, ROME: NEW}


def test_the_same_promotion_by_somebody_else_is_no_conflict(
    ground: Ground, meanwhile: Any, capsys: Captured
) -> None:
    meanwhile(lambda: ground.edit(lambda r: make_current(r, IMAGE, NEW, EAST)))
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    assert set(ground.currents().values()) == {NEW}
    assert "somebody else did the same meanwhile" in capsys.readouterr().err


def test_another_change_of_the_registry_meanwhile_is_kept(
    ground: Ground, meanwhile: Any
) -> None:
    meanwhile(lambda: ground.build(build_id(9), (WEST,), htcondor="23.9.6"))
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    assert ground.there(build_id(9)).ami == ami_id(16 * 9)
