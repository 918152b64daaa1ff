"""A night that dies at any moment: the next one does only what is missing."""

from __future__ import annotations

import shutil
from itertools import count

import pytest

from annexkit import tags
from annexkit.errors import Exit
from annexkit.publish.night import Did
from annexkit.registry import State
from tests.unit.flows.bakery import nothing
from tests.unit.flows.shift import ALL, EAST, HOME, ROME, Shift

HOUR = 1 / 24


class Killed(BaseException):
    """What a process hears of kill -9: nothing, and nothing after it."""


class Life:
    """Ends after so many calls; whatever is tried after that ends, too."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def copies(shift: Shift, build: str) -> dict[str, int]:
    """How many AMIs of a build there are, by region."""
    found = {}
    for region in ALL:
        said = shift.site.cloud.describe_images(region, Owners=["self"])
        marks = [{tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in said]
        found[region] = sum(own.get(tags.BUILD) == build for own in marks)
    return found


def dies(shift: Shift, calls: int) -> bool:
    """Run a night that dies after so many calls; say whether it came so far."""
    life = Life(calls)
    shift.before.update({(region, ""): life for region in ALL})
    shift.smoking = life
    try:
        shift.run()
    except Killed:
        return True
    finally:
        shift.before.clear()
        shift.smoking = nothing
    return False


@pytest.mark.parametrize("resume", [False, True], ids=["again", "resume"])
def test_after_a_death_at_any_call_the_next_night_makes_it_whole(
    shift: Shift, resume: bool
) -> None:
    shift.run()
    for calls in count(start=3 * int(resume), step=6):
        shift.later(HOUR)
        shift.change()
        before = shift.builds[-1]
        if not dies(shift, calls):
            break
        if calls % 12 > 5:
            shutil.rmtree(shift.site.state)
        assert set(shift.currents()) <= {before, shift.builds[-1]}
        assert shift.run(resume=resume) == Exit.DONE, calls
        new = shift.builds[-1]
        assert new != before
        assert shift.currents() == [new] * 4, calls
        assert {shift.names(region).previous for region in ALL} == {before}, calls
        assert {shift.there(region).state for region in ALL} == {State.READY}
        assert copies(shift, new) == dict.fromkeys(ALL, 1), calls
        assert not any(shift.marked(region) for region in ALL), calls
        assert shift.run() == Exit.DONE
        assert not shift.last.changed and shift.builds[-1] == new
    assert calls > 30


def cut_short(shift: Shift) -> str:
    """Let a night with news die before it promotes; return the build before it."""
    shift.run()
    shift.later(HOUR)
    shift.change()
    shift.before["", "describe_snapshots"] = Life(0)
    with pytest.raises(Killed):
        shift.run()
    shift.before.clear()
    return shift.builds[0]


def test_what_was_resumed_is_told_as_one_night(shift: Shift) -> None:
    old = cut_short(shift)
    first = shift.nights[-1]
    assert first.ended is None
    assert shift.run(resume=True) == Exit.DONE
    night = shift.nights[-1]
    assert (night.id, len(shift.nights)) == (first.id, 2)
    assert night.ended is not None
    image = shift.last
    assert (image.changed, image.why) == (True, ["provision changed"])
    assert (image.before, image.build) == (old, shift.builds[-1])
    assert (image.bake.did, image.boot.did) == (Did.DONE, Did.DONE)
    for step in ("copied", "smoke", "promote"):
        assert shift.did(step) == dict.fromkeys(ALL, Did.DONE)


def test_without_resume_it_is_done_all_the_same_and_told_as_another(
    shift: Shift,
) -> None:
    old = cut_short(shift)
    assert shift.run() == Exit.DONE
    assert [night.ended is None for night in shift.nights] == [False, True, False]
    assert shift.last.bake.did is Did.UNCHANGED
    assert shift.did("promote") == dict.fromkeys(ALL, Did.DONE)
    assert shift.last.before == old
    assert shift.currents() == [shift.builds[-1]] * 4


def test_a_step_that_failed_before_the_death_is_told_as_it_ended(
    shift: Shift,
) -> None:
    shift.run()
    shift.later(HOUR)
    shift.change()
    shift.no_smoke.add(EAST)
    shift.before["", "describe_snapshots"] = Life(0)
    with pytest.raises(Killed):
        shift.run()
    assert shift.did("smoke")[EAST] is Did.FAILED
    shift.before.clear()
    shift.no_smoke.clear()
    shift.run(resume=True)
    assert shift.did("smoke") == dict.fromkeys(ALL, Did.DONE)
    assert shift.last.regions[EAST].smoke.error == ""


def test_a_night_that_ended_is_not_resumed(shift: Shift) -> None:
    shift.run()
    assert shift.run(resume=True) == Exit.DONE
    assert len(shift.nights) == 2


def test_a_night_of_two_days_ago_is_no_part_of_this_one(shift: Shift) -> None:
    cut_short(shift)
    shift.later(2)
    assert shift.run(resume=True) == Exit.DONE
    assert len(shift.nights) == 3


def test_a_record_that_cannot_be_read_is_left_out(
    shift: Shift, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_short(shift)
    path = shift.site.state / "nights" / "20990101T000000-000000" / "night.json"
    path.parent.mkdir()
    path.write_text("{")
    capsys.readouterr()
    assert shift.run(resume=True) == Exit.DONE
    assert f"{path} cannot be read" in capsys.readouterr().err.replace("\n", "")
    path.unlink()
    assert len(shift.nights) == 2


def test_another_accounts_night_is_not_resumed(shift: Shift) -> None:
    cut_short(shift)
    path = shift.site.state / "nights" / shift.nights[-1].id / "night.json"
    path.write_text(path.read_text().replace("123456789012", "9" * 12))
    assert shift.run(resume=True) == Exit.DONE
    assert len(shift.nights) == 3


def test_a_dry_run_does_not_end_the_unfinished_night(shift: Shift) -> None:
    cut_short(shift)
    before = shift.nights[-1]
    assert shift.run(dry_run=True, resume=True) == Exit.DONE
    assert shift.nights[-1] == before
    assert shift.names(HOME).current != shift.builds[-1]
    assert shift.names(ROME).candidate == shift.builds[-1]
