"""What a night leaves: three files, the job's summary, and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.errors import Exit
from annexkit.files import FileError
from annexkit.flows.nightly_report import exit_code, report, tell_others
from annexkit.publish.night import Did, ImageNight, Night, RegionNight, StepNight
from tests.unit.flows.shift import EAST, HOME, Shift
from tests.unit.helpers import NOON
from tests.unit.publish.hooks import SECRET, Hook, hook

__all__ = ["hook"]

DONE, SAME, BAD = (StepNight(did=d) for d in (Did.DONE, Did.UNCHANGED, Did.FAILED))


def a_night(*images: ImageNight, retire: StepNight = SAME) -> Night:
    return Night(id="n", began=NOON, images=list(images), retire=retire)


def an_image(*promoted: StepNight, bake: StepNight = SAME) -> ImageNight:
    regions = {str(n): RegionNight(promote=step) for n, step in enumerate(promoted)}
    return ImageNight(image="i", arch="x86_64", bake=bake, regions=regions)


@pytest.mark.parametrize(
    ("night", "code"),
    [
        (a_night(an_image(DONE, SAME)), Exit.DONE),
        (a_night(an_image(DONE, BAD)), Exit.PARTLY),
        (a_night(an_image(BAD, BAD)), Exit.FAILED),
        (a_night(an_image(StepNight(), bake=BAD)), Exit.FAILED),
        (a_night(an_image(StepNight(), bake=BAD), an_image(DONE)), Exit.PARTLY),
        (a_night(an_image(SAME), retire=BAD), Exit.PARTLY),
        (a_night(), Exit.DONE),
    ],
)
def test_the_exit_code_says_how_much_was_done(night: Night, code: Exit) -> None:
    assert exit_code(night) is code


def test_the_record_and_both_pages_lie_beside_each_other(shift: Shift) -> None:
    night = a_night(an_image(SAME))
    folder = report(shift.site, night)
    assert folder == shift.site.state / "nights" / "n"
    assert Night.model_validate_json((folder / "night.json").read_bytes()) == night
    assert (folder / "night.md").read_text()
    assert (folder / "night.html").read_text()


def test_on_github_the_page_is_added_to_the_jobs_summary(
    shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary"
    summary.write_text("of another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    folder = report(shift.site, a_night())
    assert (
        summary.read_text() == "of another step\n" + (folder / "night.md").read_text()
    )


def test_a_summary_that_cannot_be_written_is_an_error_with_its_mend(
    shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary"))
    with pytest.raises(FileError, match="No such file") as caught:
        report(shift.site, a_night())
    assert caught.value.mend == "correct GITHUB_STEP_SUMMARY"


def test_for_people_there_is_a_row_for_each_region_and_the_failures(
    shift: Shift, capsys: pytest.CaptureFixture[str]
) -> None:
    shift.bad_smoke.add(EAST)
    shift.run()
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if EAST in line]
    assert "failed: check 'condor' failed" in row
    assert "waiting" in row
    (home,) = [line for line in said.out.splitlines() if HOME in line]
    assert home.count("done") == 3
    assert "night.html" in said.err


def test_the_webhook_is_told_and_where_the_page_is(
    shift: Shift, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift.run()
    monkeypatch.setenv("ANNEXKIT_WEBHOOK", hook.url)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "one/grid")
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    shift.run()
    assert hook.got == [], "nothing to read, nothing to tell"
    tell_others(shift.site, a_night(an_image(BAD)))
    [(_, _, body)] = hook.got
    assert b"https://git.example/one/grid/actions/runs/7" in body


def test_a_webhook_that_refuses_is_told_of_and_fails_no_night(
    shift: Shift,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANNEXKIT_WEBHOOK", hook.url)
    hook.answers = [404]
    tell_others(shift.site, a_night(an_image(BAD)))
    said = capsys.readouterr().err
    assert "did not take the message" in said
    assert SECRET not in said
