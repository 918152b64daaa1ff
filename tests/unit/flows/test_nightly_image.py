"""One image in a night: a region that fails is left out, told, and mended later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from annexkit import tags
from annexkit.bake.packer import PackerError
from annexkit.errors import AnnexkitError, Exit, Finding, Level
from annexkit.flows.fresh_boot import ProofError
from annexkit.flows.registry_promote import ChannelRequest, roll_back
from annexkit.publish import page
from annexkit.publish.night import Did
from annexkit.registry import State
from annexkit.registry.edits import set_failed
from tests.unit.flows.bakery import ec2, nothing, raising
from tests.unit.flows.shift import ALL, AWAY, EAST, HOME, IMAGE, ROME, TOKYO, Shift

STEPS = ("copied", "smoke", "promote")
NOT_RUNNING = ProofError([Finding(Level.ERROR, "check 'condor' failed", mend="look")])


def steps(shift: Shift, region: str) -> list[Did]:
    """How the steps of a region ended in the last night."""
    return [shift.did(step)[region] for step in STEPS]


def in_ec2(shift: Shift, region: str, build: str) -> int:
    """How many AMIs of a build a region has."""
    found = shift.site.cloud.describe_images(region, Owners=["self"])
    marks = [{tag["Key"]: tag["Value"] for tag in said["Tags"]} for said in found]
    return sum(own.get(tags.BUILD) == build for own in marks)


def test_a_region_that_is_down_from_the_start_stops_no_other(
    shift: Shift, capsys: pytest.CaptureFixture[str]
) -> None:
    shift.silence(ROME)
    assert shift.run() == Exit.PARTLY
    (build,) = shift.builds
    assert shift.currents() == [build, build, None, build]
    assert steps(shift, ROME) == [Did.FAILED, Did.WAITING, Did.WAITING]
    assert "no answer" in shift.last.regions[ROME].copied.error
    assert f"{ROME} is left out tonight" in capsys.readouterr().err
    asked = [region for region, _ in shift.site.cloud.calls]
    assert ROME not in asked, "once it did not answer, it is not asked again"
    shift.before.clear()
    assert shift.run() == Exit.DONE
    assert shift.currents() == [build] * 4
    assert shift.bakery.runs == 1
    assert shift.smoked.count(ROME) == shift.smoked.count(EAST) == 1
    assert steps(shift, EAST) == [Did.UNCHANGED] * 3
    assert shift.last.build == build


def test_a_region_that_dies_while_it_is_copied_to_keeps_its_pointer(
    shift: Shift,
) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.silence(TOKYO, "copy_image")
    assert shift.run() == Exit.PARTLY
    old, new = shift.builds
    assert shift.currents() == [new, new, new, old]
    assert steps(shift, TOKYO) == [Did.FAILED, Did.WAITING, Did.WAITING]
    shift.before.clear()
    assert shift.run() == Exit.DONE
    assert shift.currents() == [new] * 4
    assert shift.builds == [old, new]
    assert [in_ec2(shift, region, new) for region in ALL] == [1] * 4


def test_an_ami_that_fails_its_smoke_is_never_pointed_at(shift: Shift) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.bad_smoke.add(EAST)
    assert shift.run() == Exit.PARTLY
    old, new = shift.builds
    assert shift.currents() == [new, old, new, new]
    assert steps(shift, EAST) == [Did.DONE, Did.FAILED, Did.WAITING]
    there = shift.last.regions[EAST].smoke
    assert (there.error, there.mend) == ("check 'condor' failed", "look")
    bad = shift.there(EAST, new)
    assert bad.state is State.FAILED and shift.marked(EAST), "it stays for a look"
    shift.bad_smoke.clear()
    assert shift.run() == Exit.DONE
    assert shift.currents() == [new] * 4
    assert shift.there(EAST, new).ami == bad.ami, "the same copy, tried once more"
    assert in_ec2(shift, EAST, new) == 1 and not shift.marked(EAST)
    assert shift.bakery.runs == 2


def test_a_smoke_that_could_not_be_tried_is_tried_again_on_the_same_copy(
    shift: Shift,
) -> None:
    shift.no_smoke.add(EAST)
    assert shift.run() == Exit.PARTLY
    (build,) = shift.builds
    assert shift.there(EAST).state is State.PENDING and shift.marked(EAST)
    ami = shift.there(EAST).ami
    assert shift.names(EAST).current is None
    shift.no_smoke.clear()
    shift.smoked.clear()
    assert shift.run() == Exit.DONE
    assert (shift.there(EAST).ami, shift.smoked) == (ami, [EAST])
    assert steps(shift, EAST) == [Did.UNCHANGED, Did.DONE, Did.DONE]
    assert "CopyImage" not in {action for _, action in shift.site.cloud.calls}
    assert shift.currents() == [build] * 4


def test_a_failed_fresh_boot_ends_the_night_of_this_image(shift: Shift) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.bakery.proving = raising(NOT_RUNNING)
    assert shift.run() == Exit.FAILED
    old, bad = shift.builds
    assert shift.currents() == [old] * 4
    assert shift.there(HOME, bad).state is State.FAILED
    assert (shift.last.bake.did, shift.last.boot.did) == (Did.DONE, Did.FAILED)
    assert shift.last.boot.mend == "look"
    assert steps(shift, EAST) == [Did.WAITING] * 3
    shift.bakery.proving = nothing
    assert shift.run() == Exit.DONE
    assert "of the same input failed: " in shift.last.why[0]
    assert shift.currents() == [shift.builds[-1]] * 4
    assert len(shift.builds) == 3


def test_a_candidate_whose_boot_could_not_be_tried_is_proved_not_baked_again(
    shift: Shift,
) -> None:
    shift.bakery.proving = raising(AnnexkitError("no quota", mend="ask for one"))
    assert shift.run() == Exit.FAILED
    (build,) = shift.builds
    shift.bakery.proving = nothing
    assert shift.run() == Exit.DONE
    assert shift.builds == [build]
    assert shift.currents() == [build] * 4
    assert (shift.last.bake.did, shift.last.boot.did) == (Did.UNCHANGED, Did.DONE)
    assert "is not current yet" in shift.last.why[0]
    assert shift.last.changed


def test_a_packer_that_fails_is_told_and_leaves_every_pointer(shift: Shift) -> None:
    shift.run()
    shift.change()
    shift.bakery.packing[HOME] = raising(PackerError("no space in the builder"))
    assert shift.run() == Exit.FAILED
    assert shift.last.bake.did is Did.FAILED
    assert "no space in the builder" in shift.last.bake.error
    assert shift.last.build == ""
    assert len(shift.builds) == 1 and len(set(shift.currents())) == 1


def test_where_home_is_down_nothing_is_done_and_it_is_told_once_an_image(
    shift: Shift,
) -> None:
    shift.run()
    shift.silence(HOME)
    assert shift.run() == Exit.FAILED
    assert shift.last.bake.did is Did.FAILED
    assert shift.calls() == {region: {"DescribeImages": 1} for region in AWAY}


def test_what_somebody_rolled_back_from_is_left_alone(shift: Shift) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.run()
    old, new = shift.builds
    roll_back(shift.site, ChannelRequest())
    assert shift.currents() == [old] * 4
    assert shift.run() == Exit.DONE
    assert shift.currents() == [old] * 4
    assert shift.builds == [old, new]
    assert "was rolled back on" in shift.last.why[0]
    assert not shift.last.changed
    assert steps(shift, EAST) == [Did.UNCHANGED] * 3
    assert page.verdict(shift.nights[-1]) is page.Verdict.QUIET


def test_where_one_region_was_rolled_back_the_others_go_on(shift: Shift) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.run()
    old, new = shift.builds
    roll_back(shift.site, ChannelRequest(regions=(EAST,)))
    assert shift.run() == Exit.DONE
    assert shift.currents() == [new, old, new, new]
    assert "left alone" in shift.last.regions[EAST].promote.detail


def test_an_ami_that_vanished_is_copied_again_from_another_region(
    shift: Shift,
) -> None:
    shift.run()
    (build,) = shift.builds
    for region in (HOME, ROME):
        del ec2(region).amis[shift.there(region).ami]
    assert shift.run() == Exit.DONE
    assert (shift.builds, shift.bakery.runs) == ([build], 1)
    assert shift.currents() == [build] * 4
    assert steps(shift, HOME) == steps(shift, ROME) == [Did.DONE] * 3
    assert steps(shift, EAST) == [Did.UNCHANGED] * 3


def test_where_no_region_has_it_any_more_it_is_baked_anew(shift: Shift) -> None:
    shift.run()
    (old,) = shift.builds
    for region in ALL:
        del ec2(region).amis[shift.there(region).ami]
    assert shift.run() == Exit.DONE
    assert shift.last.why == [f"build {old} of the same input has no AMI any more"]
    assert shift.currents() == [shift.builds[-1]] * 4
    assert shift.there(HOME, old).state is State.RETIRED


def test_an_ami_that_lost_imdsv2_gets_it_again(shift: Shift) -> None:
    shift.run()
    for region in (HOME, EAST):
        ec2(region).amis[shift.there(region).ami].imds_support = None
    assert shift.run() == Exit.DONE
    assert len(shift.builds) == 1
    for region in (HOME, EAST):
        assert ec2(region).amis[shift.there(region).ami].imds_support == "v2.0"
    assert shift.run() == Exit.DONE
    assert shift.calls()[EAST] == {"DescribeImages": 1}


def test_an_input_that_comes_back_finds_its_old_build(shift: Shift) -> None:
    shift.run()
    path = shift.site.root / "provision" / "files.tsv"
    before = path.read_text()
    shift.later(1)
    shift.change()
    shift.run()
    old, new = shift.builds
    path.write_text(before)
    assert shift.run() == Exit.DONE
    assert shift.builds == [old, new]
    assert shift.currents() == [old] * 4
    assert shift.last.changed


def test_a_pointer_that_a_guard_forbids_is_told_with_its_mend(shift: Shift) -> None:
    def vanish() -> None:
        ec2(ROME).amis[shift.there(ROME).ami].add_tags({tags.BUILD: "another"})

    shift.before["", "delete_tags"] = vanish_once(shift, vanish)
    assert shift.run() == Exit.PARTLY
    step = shift.last.regions[ROME].promote
    assert step.did is Did.FAILED
    assert f"its tag {tags.BUILD} is another" in step.error
    assert step.mend.startswith("invoke bake --image debian13")
    assert shift.names(ROME).current is None


def vanish_once(shift: Shift, event: Callable[[], None]) -> Callable[[], None]:
    def happen() -> None:
        if TOKYO in shift.smoked:  # the last one: nothing is smoked any more
            event()

    return happen


def test_a_registry_that_says_otherwise_meanwhile_is_believed(shift: Shift) -> None:
    def fail() -> None:
        build = shift.builds[-1]
        if ROME in shift.record.builds[build].regions and TOKYO in shift.smoked:
            shift.site.registry.update(
                lambda r: set_failed(r, IMAGE, build, ROME, "somebody looked at it")
            )

    shift.before[TOKYO, "delete_tags"] = fail
    assert shift.run() == Exit.PARTLY
    step = shift.last.regions[ROME].promote
    assert step.did is Did.FAILED
    assert "is failed: somebody looked at it" in step.error
    assert shift.names(ROME).current is None


def test_a_build_that_somebody_took_out_of_the_registry_is_an_error_for_people(
    shift: Shift,
) -> None:
    before = shift.site.registry.path.read_text()
    shift.before[TOKYO, "modify_image_attribute"] = lambda: (
        shift.site.registry.path.write_text(before)
    )
    assert shift.run() == Exit.FAILED
    assert {one.promote.did for one in shift.last.regions.values()} == {
        *(Did.WAITING, Did.FAILED)
    }
    told = [getattr(shift.last.regions[r], s).error for r in ALL for s in STEPS]
    assert any("the registry has no build" in error for error in told)
    assert shift.nights[-1].ended is not None, "and the night went on to its end"


def test_findings_are_told_before_a_bake(
    shift: Shift, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = shift.site.root / "provision" / "notes.bak"
    stray.write_text("mine")
    shift.run()
    said = capsys.readouterr().err
    assert "this file is no part of the recipe" in said
    shift.run()
    assert "no part of the recipe" not in capsys.readouterr().err
