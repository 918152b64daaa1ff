from __future__ import annotations

import os
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError
from annexkit.rehearsal import state
from tests.unit.rehearsal.samples import a_rehearsal


def test_two_clones_have_two_identities_and_one_keeps_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert state.rehearsal_id(one) != state.rehearsal_id(other)
    assert state.rehearsal_id(one) == state.rehearsal_id(tmp_path / "x" / ".." / "one")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    rehearsal = a_rehearsal(tmp_path)
    state.save(rehearsal)
    assert state.load(tmp_path) == rehearsal
    assert state.load(tmp_path / "elsewhere") is None


def test_a_damaged_description_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / state.CONFIG).write_text('{"id": ')
    with pytest.raises(AnnexkitError) as caught:
        state.load(tmp_path)
    assert state.CONFIG in caught.value.where
    assert "remove" in caught.value.mend


def test_a_process_number_that_was_used_again_is_not_our_server(
    tmp_path: Path,
) -> None:
    ours = state.ServerProcess.of(os.getpid())
    assert ours.alive
    state.save_server(tmp_path, ours)
    assert state.load_server(tmp_path) == ours
    reused = ours.model_copy(update={"started": ours.started + 1})
    state.save_server(tmp_path, reused)
    assert state.load_server(tmp_path) is None


def test_a_process_that_never_was_is_not_alive() -> None:
    assert not state.ServerProcess(pid=2**22 + 1, started=0).alive


def test_registry_and_journal_of_an_earlier_cloud_are_moved_aside(
    tmp_path: Path,
) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "ami_registry.json").write_text("old")
    (tmp_path / "before" / "state").mkdir(parents=True)
    state.set_aside(tmp_path)
    assert not (tmp_path / "registry").exists()
    kept = tmp_path / "before" / "registry" / "ami_registry.json"
    assert kept.read_text() == "old"
    assert not (tmp_path / "before" / "state").exists()


def test_the_environment_points_at_the_rehearsal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    found = state.environment(a_rehearsal(tmp_path))
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4567"
    assert found["AWS_CONFIG_FILE"] == "/dev/null"
    assert found["INVOKE_ANNEXKIT_REGISTRY"].startswith(str(tmp_path))
    assert found["INVOKE_ANNEXKIT_STATE_DIR"].startswith(str(tmp_path))
    assert "no_proxy" not in found


def test_calls_to_the_rehearsal_do_not_go_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intranet.example")
    found = state.environment(a_rehearsal(tmp_path))
    assert found["no_proxy"] == found["NO_PROXY"] == "intranet.example,127.0.0.1"
