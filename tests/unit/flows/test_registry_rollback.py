"""``invoke registry.rollback`` against moto's EC2."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit.errors import AnnexkitError, Exit
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from annexkit.flows.site import Site
from annexkit.registry.edits import promote as make_current
from annexkit.registry.pointers import rolled_back
from annexkit.registry.store import dump
from tests.unit.flows.bakery import ec2
from tests.unit.flows.channels import (
    EAST,
    IMAGE,
    NEW,
    OLD,
    REGIONS,
    ROME,
    WEST,
    Ground,
    with_candidate,
)
from tests.unit.helpers import build_id

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def ground(site: Site) -> Ground:
    """OLD is current in all three regions, NEW is the proved candidate."""
    return with_candidate(site)


@pytest.fixture
def ahead(ground: Ground) -> Ground:
    """NEW is current, OLD is kept for the return."""
    ground.current(NEW)
    ground.site.cloud.calls.clear()
    return ground


def test_it_swaps_current_and_previous(ahead: Ground) -> None:
    assert roll_back(ahead.site, ChannelRequest()) is Exit.DONE
    for region in REGIONS:
        names = ahead.names(region)
        assert (names.current, names.previous) == (OLD, NEW)
        assert rolled_back(ahead.there(NEW, region))


def test_twice_it_is_as_before(ahead: Ground) -> None:
    before = ahead.site.registry.read().images[IMAGE].channels
    roll_back(ahead.site, ChannelRequest())
    roll_back(ahead.site, ChannelRequest())
    assert ahead.site.registry.read().images[IMAGE].channels == before


def test_a_dry_run_shows_it_and_stops(ahead: Ground, capsys: Captured) -> None:
    before = dump(ahead.site.registry.read())
    assert roll_back(ahead.site, ChannelRequest(dry_run=True)) is Exit.DONE
    assert dump(ahead.site.registry.read()) == before
    assert capsys.readouterr().out.count(f"{NEW} → {OLD}") == 3


def test_to_an_ami_that_is_gone_there_is_no_way_back(
    ahead: Ground, capsys: Captured
) -> None:
    del ec2(EAST).amis[ahead.there(OLD, EAST).ami]
    assert roll_back(ahead.site, ChannelRequest()) is Exit.PARTLY
    assert ahead.currents() == {WEST: OLD, EAST: NEW, ROME: OLD}
    assert f"build {OLD}: " in capsys.readouterr().err


def test_from_an_ami_that_is_gone_there_is(ahead: Ground, capsys: Captured) -> None:
    del ec2(EAST).amis[ahead.there(NEW, EAST).ami]
    assert roll_back(ahead.site, ChannelRequest()) is Exit.DONE
    assert set(ahead.currents().values()) == {OLD}
    assert f"no way back to build {NEW}" in capsys.readouterr().err


def test_a_region_without_a_previous_build_is_refused_when_named(
    ground: Ground, capsys: Captured
) -> None:
    ground.current(NEW, (WEST,))
    request = ChannelRequest(regions=(WEST, EAST))
    assert roll_back(ground.site, request) is Exit.PARTLY
    assert ground.currents() == {WEST: OLD, EAST: OLD, ROME: OLD}
    assert "no previous build in us-east-1" in capsys.readouterr().err


def test_unnamed_it_takes_the_regions_that_have_one(ground: Ground) -> None:
    ground.current(NEW, (WEST,))
    assert roll_back(ground.site, ChannelRequest()) is Exit.DONE
    assert set(ground.currents().values()) == {OLD}


def test_with_no_previous_build_anywhere_it_says_so(ground: Ground) -> None:
    with pytest.raises(AnnexkitError, match="no previous build in any region"):
        roll_back(ground.site, ChannelRequest())


def test_what_somebody_moved_meanwhile_is_left_alone(
    ahead: Ground, meanwhile: Any
) -> None:
    third = build_id(3)
    ahead.build(third, htcondor="23.9.6")
    meanwhile(
        lambda: ahead.edit(lambda r: make_current(r, IMAGE, third, EAST)),
    )
    assert roll_back(ahead.site, ChannelRequest()) is Exit.PARTLY
    assert ahead.currents() == {WEST: OLD, EAST: third, ROME: OLD}
    assert not rolled_back(ahead.there(NEW, EAST))


def test_a_promotion_brings_the_build_back_and_takes_its_mark_off(
    ahead: Ground,
) -> None:
    roll_back(ahead.site, ChannelRequest())
    assert promote(ahead.site, ChannelRequest(build=NEW)) is Exit.DONE
    assert set(ahead.currents().values()) == {NEW}
    assert ahead.there(NEW).reason == ""
