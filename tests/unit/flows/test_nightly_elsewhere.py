"""What somebody else does to the pointers while a night works outlives the night."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from annexkit.errors import Exit
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from annexkit.publish.night import Did
from annexkit.registry.pointers import rolled_back
from tests.unit.flows.bakery import nothing
from tests.unit.flows.shift import HOME, ROME, Shift

AGAIN = "run the same command again: it looks anew"


@pytest.fixture
def two(shift: Shift) -> tuple[str, str]:
    """Two nights' builds, the older first; a third is due."""
    for _ in range(2):
        assert shift.run() == Exit.DONE
        shift.later(1)
        shift.change()
    older, old = shift.builds
    return older, old


def once(shift: Shift, event: Callable[[], object]) -> None:
    """Let something happen while the first of the regions smokes."""

    def happen() -> None:
        shift.smoking = nothing
        event()

    shift.smoking = happen


@pytest.mark.parametrize("how", ["rollback", "promotion"])
def test_a_pointer_that_moved_while_it_smoked_stays_and_the_next_run_looks_anew(
    shift: Shift, two: tuple[str, str], how: str
) -> None:
    older, old = two
    there = ChannelRequest(regions=(HOME, ROME), build=older)

    def other() -> None:
        if how == "rollback":
            assert roll_back(shift.site, ChannelRequest(regions=(HOME, ROME))) == 0
        else:
            assert promote(shift.site, there) == 0

    once(shift, other)
    assert shift.run() == Exit.PARTLY
    new = shift.builds[-1]
    assert shift.currents() == [older, new, older, new]
    for region in (HOME, ROME):
        step = shift.last.regions[region].promote
        assert (step.did, step.mend) == (Did.FAILED, AGAIN)
        assert f"current is {older}, was {old}" in step.error
    assert shift.run(resume=True) == Exit.DONE
    assert shift.currents() == [new] * 4
    assert shift.names(ROME).previous == older
    assert len(shift.builds) == 3, "nothing was baked again"


def test_what_was_rolled_back_while_others_smoked_is_not_promoted_by_this_night(
    shift: Shift, two: tuple[str, str]
) -> None:
    _, old = two

    def other() -> None:
        new = shift.builds[-1]
        for move in (promote, roll_back):
            assert move(shift.site, ChannelRequest(regions=(HOME,), build=new)) == 0

    once(shift, other)
    assert shift.run() == Exit.DONE
    new = shift.builds[-1]
    assert shift.currents() == [old, new, new, new]
    step = shift.last.regions[HOME].promote
    assert step.did is Did.UNCHANGED and "left alone" in step.detail
    assert rolled_back(shift.there(HOME))
    assert shift.run(resume=True) == Exit.DONE
    assert shift.currents() == [old, new, new, new]


def test_whoever_made_the_same_build_current_meanwhile_is_in_nobodys_way(
    shift: Shift, two: tuple[str, str]
) -> None:
    def other() -> None:
        new = shift.builds[-1]
        here = ChannelRequest(regions=(HOME,), build=new)
        assert promote(shift.site, here) == Exit.DONE

    once(shift, other)
    assert shift.run() == Exit.DONE
    assert set(shift.currents()) == {shift.builds[-1]}
    assert shift.names(HOME).previous == two[1]
    assert shift.last.regions[HOME].promote.did is Did.UNCHANGED
