"""The door to DAGMan: what it asks HTCondor's commands, and what it makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from annexkit.pool import dagman
from annexkit.pool.dagman import Job
from annexkit.pool.target import PoolError

Program = Callable[[str, str], None]
NAME = "annexkit 20260101T000000-abcdef dag-1"


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_processes: None
) -> Program:
    """Puts a shell script in the place of a command; its arguments go to a file."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(name: str, script: str) -> None:
        path = tmp_path / name
        said = f'printf "%s\\n" "$PWD" "$@" >{tmp_path}/{name}.asked'
        path.write_text(f"#!/bin/sh\n{said}\n{script}\n")
        path.chmod(0o755)

    return put


def test_a_host_without_htcondor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PoolError, match="no condor_submit_dag") as refused:
        dagman.require(Path("/home/alice/.local/state/annexkit"))
    assert "access point" in refused.value.mend


def test_a_folder_that_dagman_refuses_is_told_before(program: Program) -> None:
    for name in ("condor_submit_dag", "condor_q"):
        program(name, "exit 0")
    with pytest.raises(PoolError, match="below /tmp") as refused:
        dagman.require(Path("/tmp/state"))
    assert "annexkit.state_dir" in refused.value.mend
    dagman.require(Path("/var/tmp/state"))


def test_a_dag_is_submitted_from_its_own_folder(
    program: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "dag-1"
    folder.mkdir()
    program("condor_submit_dag", f"env >{tmp_path}/environment")
    given = {"PATH": os.environ["PATH"], "AWS_PROFILE": "night"}
    dagman.submit(folder / "night.dag", NAME, given)
    asked = (tmp_path / "condor_submit_dag.asked").read_text().splitlines()
    assert asked[0] == str(folder) and asked[-1] == "night.dag"
    assert asked[asked.index("-batch-name") + 1] == NAME
    environment = (tmp_path / "environment").read_text()
    assert "AWS_PROFILE=night" in environment and "HOME=" not in environment


def test_a_dag_that_is_refused_is_told_in_htcondors_words(
    program: Program, tmp_path: Path
) -> None:
    program("condor_submit_dag", "echo 'root is not allowed' >&2; exit 1")
    with pytest.raises(PoolError, match="root is not allowed") as refused:
        dagman.submit(tmp_path / "night.dag", NAME, {"PATH": os.environ["PATH"]})
    assert refused.value.where == str(tmp_path / "night.dag")


DAG = "7 2 12 undefined undefined"
NODE = "12 5 14 copy-a-x86_64-b its program cannot be run"
RUNS = "12 2 13 bake-a-x86_64 undefined"
HELD = "7 5 12 undefined via condor_hold (by user alice)"


@pytest.mark.parametrize(
    ("said", "job"),
    [
        ([], None),
        ([DAG], Job("12")),
        ([RUNS, HELD], Job("12", "via condor_hold (by user alice)")),
        (
            [DAG, RUNS, NODE],
            Job("12", "", (("copy-a-x86_64-b", "its program cannot be run"),)),
        ),
        ([RUNS, NODE], None),
    ],
)
def test_the_queue_shows_the_dag_and_which_nodes_are_held(
    program: Program, tmp_path: Path, said: list[str], job: Job | None
) -> None:
    program("condor_q", "\n".join(f"echo '{line}'" for line in said) or "true")
    assert dagman.look(NAME) == job
    asked = (tmp_path / "condor_q.asked").read_text()
    assert f'JobBatchName =?= "{NAME}"' in asked


def test_an_access_point_that_is_away_is_told(program: Program) -> None:
    program("condor_q", "echo 'cannot contact the schedd' >&2; exit 1")
    with pytest.raises(PoolError, match="cannot contact the schedd"):
        dagman.look(NAME)


def test_a_rescue_is_known_by_its_number(tmp_path: Path) -> None:
    dag = tmp_path / "night.dag"
    (tmp_path / "night.dag.rescue001.old").touch()
    assert not dagman.rescued(dag)
    (tmp_path / "night.dag.rescue002").touch()
    assert dagman.rescued(dag)
