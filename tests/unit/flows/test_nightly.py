"""``invoke nightly``: what changed goes everywhere, what did not costs a look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.files import FileError, write_beside
from annexkit.flows import nightly_record
from annexkit.flows.nightly import NightlyRequest, nightly
from annexkit.publish import page
from annexkit.publish.night import Did
from annexkit.registry import RegistryError, State
from annexkit.registry.edits import promote
from annexkit.stopping import Stop
from tests.unit.flows.bakery import CHANGES, Event
from tests.unit.flows.shift import ALL, AWAY, EAST, HOME, IMAGE, ROME, Shift

Captured = pytest.CaptureFixture[str]
OTHER = "packer/images/debian13-c25.pkrvars.hcl"
STEPS = ("copied", "smoke", "promote")


def test_a_first_night_bakes_copies_smokes_and_promotes_everywhere(
    shift: Shift,
) -> None:
    assert shift.run() == Exit.DONE
    (build,) = shift.builds
    assert shift.currents() == [build] * 4
    assert {shift.there(region).state for region in ALL} == {State.READY}
    assert not any(shift.marked(region) for region in ALL)
    assert sorted(shift.smoked) == sorted(AWAY), "home was proved by its fresh boot"
    (night,) = shift.nights
    image = shift.last
    assert night.ended is not None
    assert image.changed and image.why == ["there was no build of it yet"]
    assert (image.build, image.before, image.home) == (build, "", HOME)
    assert (image.bake.did, image.boot.did) == (Did.DONE, Did.DONE)
    for step in STEPS:
        assert shift.did(step) == dict.fromkeys(ALL, Did.DONE)
    assert {one.seconds for one in image.boots} == {21.5, 31.0}
    assert shift.site.journal.entries() == []


def test_what_the_instances_cost_is_estimated(shift: Shift) -> None:
    shift.bakery.packing[HOME] = both(shift, 300)
    shift.bakery.proving = lambda: shift.site.clock.sleep(50)
    shift.run()
    assert shift.last.bake.seconds == 300
    assert shift.last.bake.cost == pytest.approx(0.03)
    # Two instances; of one that lives shorter than a minute, the minute is billed.
    assert shift.last.boot.cost == pytest.approx(0.012)
    assert shift.last.regions[EAST].smoke.cost == 0.002
    assert shift.last.regions[EAST].smoke.detail == "t3.micro, a job in 4 s"


def both(shift: Shift, seconds: float) -> Event:
    before = shift.bakery.packing[HOME]

    def happen() -> None:
        before()
        shift.site.clock.sleep(seconds)

    return happen


def test_the_second_night_has_nothing_to_do_for_one_look_a_region(
    shift: Shift, capsys: Captured
) -> None:
    shift.run()
    before = shift.site.registry.path.read_bytes()
    assert shift.run() == Exit.DONE
    assert shift.site.registry.path.read_bytes() == before
    looks = {region: {"DescribeImages": 1} for region in AWAY}
    assert shift.calls() == {HOME: {"DescribeImages": 2}, **looks}
    image = shift.last
    assert not image.changed
    assert image.why[0].startswith(f"unchanged since build {shift.builds[0]} of ")
    assert image.digest[:16] in image.why[0]
    assert image.why[1] == "its repositories have no newer package"
    assert (image.bake.did, image.boot.did) == (Did.UNCHANGED, Did.UNCHANGED)
    for step in STEPS:
        assert shift.did(step) == dict.fromkeys(ALL, Did.UNCHANGED)
    assert shift.nights[-1].retire.did is Did.UNCHANGED
    assert "nothing to do" in capsys.readouterr().err
    told = [page.verdict(night) for night in shift.nights]
    assert told == [page.Verdict.CHANGED, page.Verdict.QUIET]


def test_a_changed_input_makes_a_new_build_and_keeps_the_way_back(
    shift: Shift,
) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    shift.bakery.packages = "condor\t23.9.7\tamd64\n"
    assert shift.run() == Exit.DONE
    old, new = shift.builds
    assert shift.currents() == [new] * 4
    assert {shift.names(region).previous for region in ALL} == {old}
    image = shift.last
    assert (image.changed, image.why) == (True, ["provision changed"])
    assert (image.build, image.before) == (new, old)
    (package,) = image.packages
    assert (package.name, package.old, package.new) == ("condor", "23.9.6", "23.9.7")
    assert {boot.build for boot in image.boots} == {old, new}


def test_a_newer_package_in_a_repository_is_baked_in(shift: Shift) -> None:
    shift.run()
    shift.later(1)
    shift.offer("condor", "curl")
    assert shift.run() == Exit.DONE
    assert shift.lists == [{"condor": "23.9.6"}], "the saved list was compared"
    old, new = shift.builds
    assert shift.record.builds[old].digest == shift.record.builds[new].digest
    assert shift.currents() == [new] * 4
    image = shift.last
    assert "condor" in image.why[0]
    assert [(p.name, p.old, p.new) for p in image.pending] == [
        ("condor", "1.0", "1.1"),
        ("curl", "1.0", "1.1"),
    ]
    assert shift.there(HOME, old).state is State.READY, "and the way back stands"
    shift.offer()
    shift.run()
    assert shift.builds == [old, new], "the newer of two equal ones is gone on with"
    assert not shift.last.changed


def test_updates_that_cannot_be_checked_are_told_and_the_age_decides(
    shift: Shift, capsys: Captured
) -> None:
    shift.run()
    shift.offer(unchecked=("no index of sid", "no index of x"))
    shift.later(6)
    assert shift.run() == Exit.DONE
    assert not shift.last.changed
    assert len(shift.last.why) == 1, "nothing is said of packages"
    assert shift.last.unchecked == "no index of sid; no index of x"
    assert "updates not checked: no index of sid" in capsys.readouterr().err
    shift.later(2)
    assert shift.run() == Exit.DONE
    assert shift.last.changed
    assert len(shift.builds) == 2


def test_a_package_list_that_is_gone_counts_as_unchecked(shift: Shift) -> None:
    shift.run()
    (listed,) = (shift.site.root / "r.packages").rglob("*.tsv")
    listed.unlink()
    assert shift.run() == Exit.DONE
    assert "package list" in shift.last.unchecked
    assert not shift.last.changed


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    shift: Shift, capsys: Captured
) -> None:
    shift.run()
    shift.change()
    before = shift.site.registry.path.read_bytes()
    code, said = shift.as_json(capsys, dry_run=True)
    assert code == Exit.DONE
    (image,) = said["images"]
    assert (image["changed"], image["why"]) == (True, ["provision changed"])
    assert {one["promote"]["did"] for one in image["regions"].values()} == {"waiting"}
    assert (said["dry_run"], said["folder"], said["result"]) == (True, None, "done")
    assert shift.site.registry.path.read_bytes() == before
    assert not [a for _, a in shift.site.cloud.calls if a.startswith(CHANGES)]
    assert len(shift.nights) == 1


def test_as_json_there_is_one_document(shift: Shift, capsys: Captured) -> None:
    code, said = shift.as_json(capsys)
    assert (code, said["result"]) == (Exit.DONE, "done")
    (folder,) = (shift.site.state / "nights").glob("*/")
    assert said["folder"] == str(folder)
    assert said["calls"] == sum(shift.site.cloud.calls.values()) > 0
    assert sorted(path.name for path in folder.iterdir()) == [
        *("night.html", "night.json", "night.md"),
    ]


def test_of_two_images_the_base_amis_are_asked_for_at_once(shift: Shift) -> None:
    shift.bakery.edit(OTHER, "size       = 10", "size       = 15")
    shift.bakery.edit(OTHER, '"25.14"', '"23.9"')
    both = (IMAGE, "debian13-c25")
    assert shift.run(images=both) == Exit.DONE
    assert shift.run(images=("debian13,debian13-c25",)) == Exit.DONE
    looks = {region: {"DescribeImages": 1} for region in AWAY}
    assert shift.calls() == {HOME: {"DescribeImages": 2}, **looks}
    images = shift.nights[-1].images
    assert [(i.image, i.changed) for i in images] == [(name, False) for name in both]


def test_one_image_that_is_wrong_stops_no_other(shift: Shift, capsys: Captured) -> None:
    shift.bakery.edit(OTHER, 'source = "distro-unstable"', 'source = "nowhere"')
    assert shift.run(images=("debian13-c25", IMAGE)) == Exit.PARTLY
    assert "error: " in capsys.readouterr().err
    bad, good = shift.nights[-1].images
    assert (bad.bake.did, good.bake.did) == (Did.FAILED, Did.DONE)
    assert "nowhere" in bad.bake.error or "source" in bad.bake.error
    assert len(set(shift.currents())) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"images": ("debain13",)}, "did you mean 'debian13'"),
        ({"images": ("debian13/sparc",)}, "debian13/x86_64 or debian13/arm64"),
        ({"images": ("",)}, "without a word"),
        ({"regions": ("us-wset-2",)}, "unknown region 'us-wset-2'"),
    ],
)
def test_what_is_typed_wrong_is_said_before_any_call(
    shift: Shift, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        nightly(shift.site, NightlyRequest(**asked))
    assert said in str(caught.value)
    assert not shift.site.cloud.calls
    assert shift.nights == []


def test_the_registry_of_another_account_is_refused(shift: Shift) -> None:
    path = shift.site.registry.path
    path.write_text(path.read_text().replace("123456789012", "9" * 12))
    with pytest.raises(RegistryError, match="belongs to account"):
        shift.run()
    assert shift.calls() == {}


def test_a_second_night_beside_the_first_is_refused(shift: Shift) -> None:
    refused = []

    def again() -> None:
        with pytest.raises(AnnexkitError, match="another night") as caught:
            nightly(shift.site, NightlyRequest())
        refused.append(caught.value.mend)

    shift.smoking = again
    assert shift.run() == Exit.DONE
    assert set(refused) == {"wait for it to end; then: invoke nightly --resume"}


def test_only_the_regions_that_were_named_get_it_and_home(shift: Shift) -> None:
    assert shift.run(regions=(f"{EAST},{HOME}",)) == Exit.DONE
    (build,) = shift.builds
    assert shift.currents() == [build, build, None, None]
    assert list(shift.last.regions) == [HOME, EAST]


def test_a_stop_leaves_a_page_that_tells_of_an_unfinished_night(
    shift: Shift,
) -> None:
    def stop() -> None:
        raise Stop("SIGTERM")

    shift.smoking = stop
    with pytest.raises(Stop):
        shift.run()
    (night,) = shift.nights
    assert night.ended is None
    assert (shift.site.state / "nights" / night.id / "night.html").exists()
    assert shift.did("copied") == dict.fromkeys(ALL, Did.DONE)


def test_somebody_else_who_moved_a_pointer_meanwhile_is_not_overwritten(
    shift: Shift, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    shift.run()
    shift.later(1)
    shift.change()
    old = shift.builds[0]

    def other() -> None:
        new = shift.builds[-1]
        shift.site.registry.update(lambda r: promote(r, IMAGE, new, ROME))
        shift.site.registry.update(lambda r: promote(r, IMAGE, old, ROME))

    meanwhile(other)
    assert shift.run() == Exit.PARTLY
    new = shift.builds[-1]
    assert shift.currents() == [new, new, old, new]
    step = shift.last.regions[ROME].promote
    assert (step.did, step.mend) == (
        Did.FAILED,
        "run the same command again: it looks anew",
    )
    assert "somebody else changed it meanwhile" in step.error


def test_no_room_for_the_record_is_said_before_anything_is_made(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly_record, "ROOM", 1 << 60)
    with pytest.raises(FileError, match="are needed"):
        shift.run()
    assert shift.calls() == {}


def test_a_disk_that_fills_meanwhile_is_told_once_and_stops_nothing(
    shift: Shift, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    full: list[bool] = []

    def write(path: Path, content: str | bytes) -> None:
        if full and path.name == "night.json":
            raise FileError("no space left on device", where=str(path))
        write_beside(path, content)

    monkeypatch.setattr(nightly_record, "write_beside", write)
    shift.bakery.proving = lambda: full.append(True)
    with pytest.raises(FileError):  # the page is what the night is for
        shift.run()
    assert len(set(shift.currents())) == 1 and None not in shift.currents()
    assert capsys.readouterr().err.count("no space left on device") == 1


def test_of_sixteen_regions_none_is_asked_more_than_twice(shift: Shift) -> None:
    many = ("us-east-2", "us-west-1", "ca-central-1", "sa-east-1", "eu-west-1")
    more = ("eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1")
    last = ("ap-southeast-1", "ap-southeast-2", *AWAY)
    every = (*many, *more, *last)
    assert shift.run(regions=every) == Exit.DONE
    assert shift.run(regions=every) == Exit.DONE
    looks = {region: {"DescribeImages": 1} for region in every}
    assert shift.calls() == {HOME: {"DescribeImages": 2}, **looks}
    assert len(looks) == 15
