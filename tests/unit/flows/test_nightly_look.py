"""One look a region: what stands, what fits, and who did not answer."""

from __future__ import annotations

import pytest

from annexkit.aws import AwsError
from annexkit.flows.nightly_look import look_everywhere
from annexkit.flows.site import Site
from annexkit.registry import State
from tests.unit.flows.channels import NEW, OLD, REGIONS, ROME, WEST, Ground


@pytest.fixture
def ground(site: Site) -> Ground:
    """OLD is proved in all regions, NEW is a candidate in one."""
    ground = Ground(site)
    ground.build(OLD)
    ground.build(NEW, (WEST,), state=State.PENDING)
    site.cloud.calls.clear()
    return ground


def test_it_is_one_call_a_region(ground: Ground) -> None:
    looked = look_everywhere(ground.site, REGIONS)
    assert ground.calls() == {(region, "DescribeImages"): 1 for region in REGIONS}
    assert {*looked.seen} == {*REGIONS}
    assert all(looked.fits(r, ground.there(OLD, r)) for r in REGIONS)


def test_what_is_not_proved_stands_and_does_not_fit(ground: Ground) -> None:
    looked, there = look_everywhere(ground.site, REGIONS), ground.there(NEW)
    assert (looked.stands(WEST, there), looked.fits(WEST, there)) == (True, False)


@pytest.mark.parametrize(
    ("change", "stands"),
    [({"state": "disabled"}, False), ({"imds_support": None}, True)],
)
def test_an_ami_that_lost_something_does_not_fit(
    ground: Ground, change: dict[str, str | None], stands: bool
) -> None:
    for name, value in change.items():
        setattr(ground.image(OLD), name, value)
    looked, there = look_everywhere(ground.site, (WEST,)), ground.there(OLD)
    assert (looked.stands(WEST, there), looked.fits(WEST, there)) == (stands, False)
    build = ground.site.registry.read().images["debian13"].builds[OLD]
    assert looked.anywhere(build) is stands


def test_a_region_that_does_not_answer_stands_for_nothing(ground: Ground) -> None:
    ground.silence(ROME)
    looked = look_everywhere(ground.site, REGIONS)
    assert {*looked.silent} == {ROME}
    assert isinstance(looked.silent[ROME], AwsError)
    assert not looked.stands(ROME, ground.there(OLD, ROME))
    assert looked.stands(WEST, ground.there(OLD))


def test_an_ami_of_another_region_or_none_is_not_there(ground: Ground) -> None:
    looked = look_everywhere(ground.site, (WEST,))
    assert looked.ami(WEST, ground.there(OLD, ROME)) is None
    assert looked.ami(WEST, None) is None
    assert looked.ami(ROME, ground.there(OLD, ROME)) is None


def test_the_regions_of_the_registry_are_those_with_an_ami(ground: Ground) -> None:
    assert ground.site.registry.read().regions() == {*REGIONS}
