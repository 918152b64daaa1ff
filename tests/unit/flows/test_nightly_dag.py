"""``invoke nightly --via condor``: the same night, each step a node of a DAG."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.flows.nightly import NightlyRequest, nightly
from annexkit.flows.nightly_step import StepRequest, nightly_step
from annexkit.flows.registry_promote import ChannelRequest, roll_back
from annexkit.pool.dagman import Job
from annexkit.pool.target import PoolError
from annexkit.publish.night import Did
from annexkit.publish.night_dag import SECRETS
from annexkit.stopping import Stop
from tests.unit.flows import fake_dagman
from tests.unit.flows.fake_dagman import Dagman
from tests.unit.flows.shift import ALL, AWAY, EAST, HOME, IMAGE, ROME, TOKYO, Shift

Captured = pytest.CaptureFixture[str]
OTHER = "packer/images/debian13-c25.pkrvars.hcl"
STEPS = ("copied", "smoke", "promote")
NODE = f"{IMAGE}-x86_64"


@pytest.fixture
def queue(shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dagman:
    return fake_dagman.put_in(lambda: shift.site, tmp_path, monkeypatch)


def folder(shift: Shift, number: int = 1) -> Path:
    return shift.site.state / "nights" / shift.nights[-1].id / f"dag-{number}"


def by_dag(shift: Shift, **more: bool) -> int:
    return shift.run(via="condor", **more)


def test_a_night_by_its_dag_comes_to_what_one_without_comes_to(
    shift: Shift, queue: Dagman
) -> None:
    assert by_dag(shift) == Exit.DONE
    (build,) = shift.builds
    assert shift.currents() == [build] * 4
    assert sorted(shift.smoked) == sorted(AWAY)
    for step in STEPS:
        assert shift.did(step) == dict.fromkeys(ALL, Did.DONE)
    image, night = shift.last, shift.nights[-1]
    assert (image.bake.did, image.boot.did, image.build) == (Did.DONE, Did.DONE, build)
    assert image.regions[EAST].ami == shift.there(EAST).ami
    assert image.regions[EAST].boot_seconds == 31.0
    assert {one.seconds for one in image.boots} == {21.5, 31.0}
    assert night.ended and night.calls > 20
    assert queue.ran == [
        f"bake-{NODE}",
        f"promote-{NODE}-{HOME}",
        *(
            f"{step}-{NODE}-{region}"
            for region in AWAY
            for step in ("copy", "smoke", "promote")
        ),
        "end",
    ]
    assert queue.names == [f"annexkit {night.id} dag-1"]
    assert (folder(shift).parent / "night.html").exists()
    assert shift.site.journal.entries() == []


def test_where_nothing_is_to_do_there_is_no_dag(shift: Shift, queue: Dagman) -> None:
    shift.run()
    assert by_dag(shift) == Exit.DONE
    assert queue.ran == [] and not folder(shift).exists()
    assert shift.nights[-1].ended


def test_a_dry_run_hands_nothing_over(shift: Shift, queue: Dagman) -> None:
    assert by_dag(shift, dry_run=True) == Exit.DONE
    assert queue.ran == [] and shift.nights == []


def test_a_failed_node_stops_its_own_region_and_is_rescued(
    shift: Shift, queue: Dagman
) -> None:
    shift.silence(ROME, "copy_image")
    assert by_dag(shift) == Exit.PARTLY
    assert queue.ran.count(f"copy-{NODE}-{ROME}") == 3, "it was tried again twice"
    assert f"smoke-{NODE}-{ROME}" not in queue.ran
    night = shift.nights[-1]
    assert shift.last.regions[ROME].copied.error
    assert shift.did("promote")[ROME] is Did.WAITING
    assert night.ended
    (build,) = shift.builds
    assert shift.currents() == [build, build, None, build]

    shift.before.clear()
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    done = [f"{step}-{NODE}-{ROME}" for step in ("copy", "smoke", "promote")]
    assert queue.ran == [*done, "end"], "nothing that was done is done again"
    assert shift.nights[-1].id == night.id
    for step in STEPS:
        assert shift.did(step) == dict.fromkeys(ALL, Did.DONE)
    assert shift.currents() == [build] * 4
    assert shift.nights[-1].calls > night.calls

    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert queue.ran == [] and shift.nights[-1].id != night.id, "a new, quiet night"


def test_a_boot_that_failed_leaves_its_regions_alone(
    shift: Shift, queue: Dagman
) -> None:
    def wrong() -> None:
        raise AnnexkitError("no room for two instances", mend="ask for more")

    shift.bakery.proving = wrong
    assert by_dag(shift) == Exit.FAILED
    assert queue.ran == [f"bake-{NODE}", "end"]
    assert shift.last.boot.did is Did.FAILED
    assert shift.did("copied") == dict.fromkeys(ALL, Did.WAITING)
    shift.bakery.proving = lambda: None
    assert by_dag(shift, resume=True) == Exit.DONE
    assert shift.currents() == [shift.builds[-1]] * 4


def test_a_smoke_that_failed_is_not_tried_again_by_itself(
    shift: Shift, queue: Dagman
) -> None:
    shift.bad_smoke = {TOKYO}
    assert by_dag(shift) == Exit.PARTLY
    assert queue.ran.count(f"smoke-{NODE}-{TOKYO}") == 1
    assert shift.names(TOKYO).current is None


def test_a_node_that_left_no_word_is_told_as_lost(shift: Shift, queue: Dagman) -> None:
    lost = f"smoke-{NODE}-{EAST}"
    queue.lost = {lost}
    assert by_dag(shift) == Exit.PARTLY
    step = shift.last.regions[EAST].smoke
    assert step.did is Did.FAILED and f"{lost}.err" in step.error
    assert step.mend == "invoke nightly --via condor --resume"
    queue.lost = {f"bake-{NODE}"}
    shift.change()
    assert by_dag(shift) == Exit.FAILED
    assert "left no result" in shift.last.bake.error


def test_a_dag_that_left_no_rescue_is_planned_anew(shift: Shift, queue: Dagman) -> None:
    shift.silence(ROME, "copy_image")
    queue.no_end = True
    with pytest.raises(AnnexkitError, match="before its end"):
        by_dag(shift)
    night = shift.nights[-1]
    assert night.ended is None
    shift.before.clear()
    queue.no_end = False
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert shift.nights[-1].id == night.id
    assert f"bake-{NODE}" not in queue.ran and folder(shift, 2).exists()
    assert shift.last.bake.did is Did.DONE, "of the first part of the night"
    assert shift.did("smoke") == dict.fromkeys(ALL, Did.DONE)
    assert len(shift.builds) == 1


def test_the_wait_goes_on_where_the_access_point_is_away_for_a_while(
    shift: Shift, queue: Dagman, capsys: Captured
) -> None:
    away = PoolError("the access point does not answer", mend="condor_q")
    queue.jobs = [Job("7"), away, away, Job("7")]
    assert by_dag(shift) == Exit.DONE
    assert capsys.readouterr().err.count("does not answer") == 1


def test_a_node_that_is_held_is_told_once(
    shift: Shift, queue: Dagman, capsys: Captured
) -> None:
    held = (f"copy-{NODE}-{ROME}", "its program cannot be run")
    queue.jobs = [Job("7", nodes=(held,))] * 3
    assert by_dag(shift) == Exit.DONE
    said = capsys.readouterr().err
    assert said.count("its program cannot be run") == 1 and "condor_release" in said


def test_a_dag_that_is_held_is_said_and_gone_on_with(
    shift: Shift, queue: Dagman
) -> None:
    queue.jobs = [Job("7", held="no room on the disk")]
    queue.no_end = True
    with pytest.raises(PoolError, match="no room on the disk"):
        by_dag(shift)
    queue.jobs = [Job("7")]
    with pytest.raises(AnnexkitError, match="another night is under way") as refused:
        shift.run()
    assert "condor_rm 7" in refused.value.mend
    queue.jobs = [Job("7"), Job("7")]
    with pytest.raises(AnnexkitError, match="another night is under way"):
        by_dag(shift)
    queue.jobs = [Job("7"), Job("7")]
    queue.ran.clear()
    with pytest.raises(AnnexkitError, match="before its end"):
        by_dag(shift, resume=True)
    assert queue.ran == [], "it was waited for, not submitted again"


def test_who_waits_may_go(
    shift: Shift, queue: Dagman, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.jobs = [Job("7")] * 3
    pages = len(list(shift.site.state.glob("nights/*/night.html")))

    def stop(seconds: float) -> None:
        raise Stop("SIGTERM")

    monkeypatch.setattr(shift.site.clock, "sleep", stop)
    queue.no_end = True
    with pytest.raises(Stop):
        nightly(shift.site, NightlyRequest(via="condor"))
    assert "condor_rm 7" in capsys.readouterr().err
    assert len(list(shift.site.state.glob("nights/*/night.html"))) == pages, (
        "the night is not told of as one that ended"
    )


def test_several_images_share_one_dag(shift: Shift, queue: Dagman) -> None:
    shift.bakery.edit(OTHER, "size       = 10", "size       = 15")
    shift.bakery.edit(OTHER, '"25.14"', '"23.9"')
    assert shift.run(images=(IMAGE, "debian13-c25"), via="condor") == Exit.DONE
    bakes = [node for node in queue.ran if node.startswith("bake-")]
    assert len(bakes) == 2 and queue.ran.count("end") == 1
    assert [image.bake.did for image in shift.nights[-1].images] == [Did.DONE] * 2


def test_the_nodes_get_the_settings_and_no_secret(
    shift: Shift, queue: Dagman, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift.site.given = {"poll": 3, "publish": {"regions": "us-east-1"}}
    monkeypatch.setenv("PACKER_CACHE_DIR", "a name's")
    monkeypatch.setenv("GITHUB_TOKEN", "of the hook")
    by_dag(shift)
    kept = folder(shift)
    said = json.loads((kept / "settings.json").read_text())
    assert said == {"annexkit": dict(shift.site.given)}
    script = (kept / "step").read_text()
    assert (
        """export PACKER_CACHE_DIR='a name'"'"'s'""" in script and "hook" not in script
    )
    assert f"cd {shift.site.root} || exit 1" in script
    modes = {path.name: path.stat().st_mode & 0o777 for path in kept.iterdir()}
    assert (modes["step"], modes["settings.json"]) == (0o700, 0o600)
    (environment,) = queue.environments
    assert environment["PACKER_CACHE_DIR"] == "a name's"
    assert "GITHUB_TOKEN" not in environment, "the queue is for all to read"


@pytest.mark.parametrize("name", [*SECRETS, "https_proxy"])
def test_what_no_file_shall_hold_is_refused_before_any_call(
    shift: Shift, queue: Dagman, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://name:password@proxy.invalid")
    with pytest.raises(UsageError, match="in this shell alone") as refused:
        by_dag(shift)
    assert name in refused.value.where and "AWS_PROFILE" in refused.value.mend
    assert shift.calls() == {}


def test_another_word_than_condor_is_refused(shift: Shift, queue: Dagman) -> None:
    with pytest.raises(UsageError, match="handed over to 'slurm'"):
        shift.run(via="slurm")


def test_a_step_of_no_night_or_none_of_its_is_refused(
    shift: Shift, queue: Dagman
) -> None:
    with pytest.raises(UsageError, match="no night 'x'"):
        nightly_step(shift.site, StepRequest("x", "end"))
    by_dag(shift)
    night = shift.nights[-1].id
    with pytest.raises(UsageError, match="no such step: smoke nothing/x86_64") as wrong:
        nightly_step(shift.site, StepRequest(night, "smoke", "nothing/x86_64"))
    asked = f"--night {night} --step bake --image {IMAGE}/x86_64"
    assert wrong.value.mend == f"invoke nightly-step {asked}"


def test_an_input_that_was_taken_back_meanwhile_is_left_alone(
    shift: Shift, queue: Dagman
) -> None:
    shift.run()
    shift.change()
    shift.run()
    first, second = shift.builds
    changed = shift.site.root / "provision" / "files.tsv"
    text = changed.read_text()
    shift.change()

    def elsewhere() -> None:
        changed.write_text(text)
        roll_back(shift.site, ChannelRequest(IMAGE, "x86_64", ALL))

    queue.before[f"bake-{NODE}"] = elsewhere
    assert by_dag(shift) == Exit.FAILED
    assert queue.ran == [f"bake-{NODE}", "end"]
    assert "took debian13 (x86_64) back" in shift.last.bake.error
    assert shift.currents() == [first] * 4 and shift.builds == [first, second]
