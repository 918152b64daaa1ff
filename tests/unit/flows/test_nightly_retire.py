"""The end of old builds in a night: by the rule, once it is due, for no call before."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.aws import AwsError, Cloud
from annexkit.errors import Exit
from annexkit.publish.night import Did
from annexkit.registry import State
from tests.unit.flows.bakery import CHANGES, ec2
from tests.unit.flows.shift import ALL, AWAY, EAST, HOME, ROME, Shift, a_shift
from tests.unit.helpers import FakeClock
from tests.unit.publish.aging import teach

LOOKS = {HOME: {"DescribeImages": 2}} | {r: {"DescribeImages": 1} for r in AWAY}


@pytest.fixture
def aged(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Shift:
    """Two builds, 100 days between them, the newer current; no pool to ask."""
    teach(monkeypatch, clock.time)
    retire = {"no_pool": True, "snapshot_price": "1"}
    shift = a_shift(tmp_path, clock, cloud, monkeypatch, retire=retire)
    for _ in range(2):
        shift.change()
        assert shift.run() == Exit.DONE
        shift.later(100)
    return shift


def test_what_lost_its_last_pointer_begins_to_go_the_same_night(aged: Shift) -> None:
    assert aged.nights[-1].retire.did is Did.UNCHANGED, "previous always stays"
    aged.change()
    assert aged.run() == Exit.DONE
    night = aged.nights[-1]
    assert night.retire.did is Did.DONE
    oldest = aged.builds[0]
    assert {(one.step, one.build, one.region) for one in night.retired} == {
        ("deprecate", oldest, region) for region in ALL
    }
    assert not any(one.error for one in night.retired)
    assert all(one.reason for one in night.retired)
    assert night.month_before == night.month_after == 12 * 15, "deprecated costs, too"


def test_while_its_grace_lasts_a_night_asks_for_nothing_more(aged: Shift) -> None:
    aged.change()
    aged.run()
    aged.later(1)
    aged.run()
    assert aged.calls() == LOOKS
    night = aged.nights[-1]
    assert (night.retire.did, night.retired) == (Did.UNCHANGED, [])
    assert night.month_before is None


def test_it_goes_stage_by_stage_to_its_end(aged: Shift) -> None:
    aged.change()
    aged.run()
    oldest = aged.builds[0]
    aged.later(15)
    aged.run()
    assert {one.step for one in aged.nights[-1].retired} == {"disable"}
    aged.later(8)
    aged.run()
    night = aged.nights[-1]
    assert {one.step for one in night.retired} == {"deregister"}
    assert night.month_before is not None and night.month_after is not None
    assert night.month_before - night.month_after == 4 * 15
    assert {aged.there(r, oldest).state for r in ALL} == {State.RETIRED}
    aged.run()
    assert aged.calls() == LOOKS


def test_a_dry_run_says_what_would_go(
    aged: Shift, capsys: pytest.CaptureFixture[str]
) -> None:
    aged.change()
    aged.run()
    aged.later(15)
    code, said = aged.as_json(capsys, dry_run=True)
    assert code == Exit.DONE
    assert {one["step"] for one in said["retired"]} == {"disable"}
    assert said["retire"]["did"] == "waiting"
    assert not [a for _, a in aged.site.cloud.calls if a.startswith(CHANGES)]
    assert not any(a == "DisableImage" for _, a in aged.site.cloud.calls)


def test_a_step_that_is_refused_makes_the_night_partly_done_and_is_told(
    aged: Shift,
) -> None:
    def refuse() -> None:
        raise AwsError("no", code="Odd", action="EnableImageDeprecation", region=EAST)

    aged.change()
    aged.before[EAST, "enable_image_deprecation"] = refuse
    assert aged.run() == Exit.PARTLY
    night = aged.nights[-1]
    assert (night.retire.did, night.retire.mend) == (Did.FAILED, "invoke retire")
    assert [one.region for one in night.retired if one.error] == [EAST]
    assert len(set(aged.currents())) == 1, "all else came to its end"
    aged.before.clear()
    assert aged.run() == Exit.DONE
    assert [one.region for one in aged.nights[-1].retired] == [EAST]


def test_a_region_that_was_down_is_not_asked_again_for_it(aged: Shift) -> None:
    aged.change()
    aged.run()
    aged.later(15)
    aged.silence(ROME)
    assert aged.run() == Exit.PARTLY
    night = aged.nights[-1]
    assert {one.region for one in night.retired} == {*ALL} - {ROME}
    assert ROME not in aged.calls()


def test_an_ami_in_use_stays_whatever_the_rule_says(aged: Shift) -> None:
    aged.change()
    aged.run()
    oldest = aged.builds[0]
    aged.later(15)
    ami = aged.there(EAST, oldest).ami
    ec2(EAST).amis[ami].launch_permissions.append({"UserId": "9" * 12})
    aged.run()
    assert {one.region for one in aged.nights[-1].retired} == {*ALL} - {EAST}


def test_without_a_pool_to_ask_nothing_is_disabled(
    shift: Shift,
) -> None:
    for _ in range(3):
        shift.change()
        shift.run()
        shift.later(100)
    assert shift.nights[-1].retire.did is Did.DONE, "deprecating needs no pool"
    shift.run()
    night = shift.nights[-1]
    assert (night.retire.did, night.retired) == (Did.UNCHANGED, [])
    assert "no pool is named" in night.retire.detail
