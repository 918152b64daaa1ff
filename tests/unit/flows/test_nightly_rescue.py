"""A night's DAG gone on with: only what is left, and nothing that is out of date."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError, Exit
from annexkit.files import FileError
from annexkit.flows import nightly_record, nightly_step
from annexkit.flows.nightly_look import Looked
from annexkit.flows.nightly_record import Keeper
from annexkit.flows.nightly_retire import retire_old
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from annexkit.flows.site import Site
from annexkit.pool.dagman import Job
from annexkit.pool.target import PoolError
from annexkit.publish.night import Did, Night
from tests.unit.flows import fake_dagman
from tests.unit.flows.fake_dagman import Dagman
from tests.unit.flows.shift import (
    AWAY,
    EAST,
    HOME,
    IMAGE,
    ROME,
    TOKYO,
    Shift,
    after,
)

NODE = f"{IMAGE}-x86_64"


@pytest.fixture
def queue(shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dagman:
    return fake_dagman.put_in(lambda: shift.site, tmp_path, monkeypatch)


def folder(shift: Shift) -> Path:
    return shift.site.state / "nights" / shift.nights[-1].id / "dag-1"


def by_dag(shift: Shift, **more: bool) -> int:
    return shift.run(via="condor", **more)


def cut_short(shift: Shift) -> None:
    """Let a night fail in Rome alone, and Rome answer again after it."""
    shift.silence(ROME, "copy_image")
    assert by_dag(shift) == Exit.PARTLY
    shift.before.clear()


def held(shift: Shift, queue: Dagman) -> None:
    """Let a night's DAG stay in the queue."""
    queue.jobs, queue.no_end = [Job("7", held="no room on the disk")], True
    with pytest.raises(PoolError, match="no room"):
        by_dag(shift)


def test_a_dry_run_that_resumes_submits_nothing(shift: Shift, queue: Dagman) -> None:
    cut_short(shift)
    assert by_dag(shift, resume=True, dry_run=True) == Exit.DONE
    assert len(queue.names) == 1


def test_a_silent_region_stops_no_other(shift: Shift, queue: Dagman) -> None:
    shift.silence(ROME)
    assert by_dag(shift) == Exit.PARTLY
    (build,) = shift.builds
    assert shift.currents() == [build, build, None, build]


@pytest.mark.parametrize("heals", ["at once", "later"])
def test_what_failed_in_the_plan_is_mended_by_a_new_one(
    shift: Shift, queue: Dagman, heals: str
) -> None:
    shift.run()
    shift.change()
    shift.silence(ROME)
    if heals == "at once":
        queue.before[f"bake-{NODE}"] = shift.before.clear
    assert by_dag(shift) == Exit.PARTLY
    shift.before.clear()
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert shift.currents() == [shift.builds[-1]] * 4
    assert queue.ran[:-1] == [
        f"{s}-{NODE}-{ROME}" for s in ("copy", "smoke", "promote")
    ]


def test_what_was_rolled_back_meanwhile_is_not_promoted(
    shift: Shift, queue: Dagman
) -> None:
    shift.run()
    shift.change()
    cut_short(shift)
    first, second = shift.builds
    roll_back(shift.site, ChannelRequest(IMAGE, "x86_64", (HOME, EAST, TOKYO)))
    assert by_dag(shift, resume=True) == Exit.DONE
    assert shift.currents() == [first] * 4
    assert shift.last.regions[ROME].promote.detail == "left alone"
    assert second not in shift.currents()


def test_what_is_rolled_back_while_the_dag_runs_is_left_alone(
    shift: Shift, queue: Dagman
) -> None:
    shift.run()
    shift.change()
    home = ChannelRequest(IMAGE, "x86_64", (HOME,))
    queue.before[f"copy-{NODE}-{ROME}"] = after(1, lambda: roll_back(shift.site, home))
    assert by_dag(shift) == Exit.PARTLY
    first, second = shift.builds
    assert shift.currents() == [first, second, first, first]
    assert "left alone" in shift.last.regions[ROME].copied.error


def test_a_pointer_that_somebody_moves_meanwhile_stays(
    shift: Shift, queue: Dagman
) -> None:
    """The plan is hours old when its last node runs."""
    for _ in range(2):
        shift.run()
        shift.change()
    first, second = shift.builds
    rome = ChannelRequest(IMAGE, "x86_64", (ROME,), first)
    queue.before[f"smoke-{NODE}-{ROME}"] = after(1, lambda: promote(shift.site, rome))
    assert by_dag(shift) == Exit.PARTLY
    new = shift.builds[-1]
    assert shift.currents() == [new, new, first, new]
    error = shift.last.regions[ROME].promote.error
    assert f"current is {first}, was {second}" in error
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE, "by a plan that knows of it"
    assert queue.ran == [f"promote-{NODE}-{ROME}", "end"]
    assert shift.currents() == [new] * 4 and shift.names(ROME).previous == first


def test_a_rescue_of_an_older_plan_is_passed_over(shift: Shift, queue: Dagman) -> None:
    """The same night went on without its DAG, with another input."""
    shift.run()
    shift.change()
    cut_short(shift)
    shift.change()
    shift.bad_smoke = {TOKYO}
    assert shift.run(resume=True) == Exit.PARTLY
    _, old, new = shift.builds
    shift.bad_smoke = set()
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert shift.currents() == [new] * 4 and shift.last.build == new
    assert old not in shift.currents()
    assert queue.ran[0] == f"copy-{NODE}-{TOKYO}"


def test_a_dag_of_yesterday_that_still_waits_lets_no_other_in(
    shift: Shift, queue: Dagman
) -> None:
    held(shift, queue)
    shift.later(1.1)
    queue.jobs = [Job("7")] * 3
    with pytest.raises(AnnexkitError, match="under way") as refused:
        by_dag(shift, resume=True)
    assert refused.value.mend == "condor_rm 7" and len(queue.names) == 1


def test_an_access_point_that_restarts_lets_no_second_night_in(
    shift: Shift, queue: Dagman
) -> None:
    held(shift, queue)
    queue.jobs = [PoolError("the access point does not answer", mend="condor_q")]
    with pytest.raises(PoolError, match="does not answer"):
        shift.run()


def test_a_result_that_could_not_be_written_fails_its_node(
    shift: Shift, queue: Dagman, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = nightly_record.write_record

    def write(path: Path, night: Night) -> None:
        if path.name.startswith(f"copy-{NODE}-{ROME}"):
            raise FileError("no room", where=str(path), mend="df -h")
        real(path, night)

    with monkeypatch.context() as full:
        full.setattr(nightly_record, "write_record", write)
        assert by_dag(shift) == Exit.PARTLY
    assert shift.last.regions[ROME].copied.did is Did.FAILED
    assert f"smoke-{NODE}-{ROME}" not in queue.ran
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert queue.ran[0] == f"copy-{NODE}-{ROME}"
    assert shift.currents() == [shift.builds[-1]] * 4


def test_corrected_settings_reach_the_nodes_that_are_left(
    shift: Shift, queue: Dagman
) -> None:
    shift.site.given = {"publish": {"regions": "x"}}
    cut_short(shift)
    shift.site.given = {"publish": {"regions": "y"}}
    by_dag(shift, resume=True)
    said = json.loads((folder(shift) / "settings.json").read_text())
    assert said["annexkit"]["publish"]["regions"] == "y"


def test_a_copy_of_a_dags_folder_is_no_dag(shift: Shift, queue: Dagman) -> None:
    by_dag(shift)
    shutil.copytree(folder(shift), folder(shift).with_name("dag-1.bak"))
    assert by_dag(shift) == Exit.DONE


def test_a_dag_that_was_removed_retires_nothing_and_goes_on(
    shift: Shift, queue: Dagman, monkeypatch: pytest.MonkeyPatch
) -> None:
    retired = []

    def retire(site: Site, keeper: Keeper, looked: Looked) -> None:
        retired.append(keeper.night.id)
        retire_old(site, keeper, looked)

    monkeypatch.setattr(nightly_step, "retire_old", retire)
    queue.removed = f"smoke-{NODE}-{EAST}"
    with pytest.raises(AnnexkitError, match="before its end"):
        by_dag(shift)
    night = shift.nights[-1]
    assert night.ended is None and retired == []
    assert shift.did("smoke")[EAST] is Did.WAITING
    assert (shift.site.state / "nights" / night.id / "night.html").exists()
    queue.removed = ""
    queue.ran.clear()
    assert by_dag(shift, resume=True) == Exit.DONE
    assert queue.ran[0] == f"smoke-{NODE}-{EAST}" and f"bake-{NODE}" not in queue.ran
    assert retired == [night.id] and sorted(shift.smoked) == sorted(AWAY)


def test_the_cost_that_an_earlier_end_came_to_stays(
    shift: Shift, queue: Dagman, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retire(site: Site, keeper: Keeper, looked: Looked) -> None:
        if keeper.night.month_before is None:
            keeper.night.month_before, keeper.night.month_after = 3.0, 2.0

    monkeypatch.setattr(nightly_step, "retire_old", retire)
    cut_short(shift)
    by_dag(shift, resume=True)
    night = shift.nights[-1]
    assert (night.month_before, night.month_after) == (3.0, 2.0)
