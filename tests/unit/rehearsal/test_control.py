from __future__ import annotations

import os
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError, Finding, FindingsError, Level, UsageError
from annexkit.rehearsal import control, preflight, state
from annexkit.sections import RehearsalSettings
from tests.unit.rehearsal.samples import a_rehearsal

SETTINGS = RehearsalSettings()


def test_a_relative_folder_is_below_the_root(tmp_path: Path) -> None:
    found = control.folder_of(SETTINGS, tmp_path)
    assert found == tmp_path.resolve() / ".rehearsal"
    elsewhere = RehearsalSettings(dir=str(tmp_path / "x"))
    assert control.folder_of(elsewhere, Path("/nowhere")) == (tmp_path / "x").resolve()


def test_what_this_machine_lacks_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [Finding(Level.ERROR, w) for w in ("no podman", "no room")]
    monkeypatch.setattr(preflight, "check", lambda *_: iter(missing))
    with pytest.raises(FindingsError) as caught:
        control.up(SETTINGS, tmp_path, cache=tmp_path / "cache")
    assert [f.what for f in caught.value.findings] == ["no podman", "no room"]
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_that_never_was_is_down(tmp_path: Path) -> None:
    assert not control.down(SETTINGS, tmp_path)
    assert not control.status(SETTINGS, tmp_path).alive


def test_what_needs_a_rehearsal_says_how_to_bring_one_up(tmp_path: Path) -> None:
    for work in (control.console, control.shell):
        with pytest.raises(UsageError) as caught:
            work(SETTINGS, tmp_path, "i-1")
        assert "rehearsal.up" in caught.value.mend


def test_a_server_that_does_not_answer_is_an_error_that_names_its_log(
    tmp_path: Path,
) -> None:
    rehearsal = a_rehearsal(tmp_path, port=preflight.free_port())
    state.save(rehearsal)
    state.save_server(tmp_path, state.ServerProcess.of(os.getpid()))
    settings = RehearsalSettings(dir=str(tmp_path))
    with pytest.raises(AnnexkitError) as caught:
        control.status(settings, tmp_path)
    assert str(rehearsal.log) in caught.value.mend
