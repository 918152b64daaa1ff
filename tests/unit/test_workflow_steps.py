"""What the steps of the workflow files call is there, and takes what it is given.

Each ``run`` is run by the same shell as on GitHub, with programs of ours in the places
of those it calls; what it asks of Invoke is then held against our own tasks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke import ParseError
from invoke.parser import Parser

import tasks
from annexkit.process import run
from tests.unit.workflow_files import ROOT, RUNS, Step, workflow

MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")
FAKE = """\
#!/usr/bin/env bash
printf '%s\\0' "{name}" "$@" >> "{log}"
printf '\\n' >> "{log}"
"""


@pytest.mark.usefixtures("real_processes")
@pytest.mark.parametrize("step", RUNS, ids=lambda step: step.name)
def test_a_shell_script_has_no_fault(step: Step) -> None:
    done = run("shellcheck", "--shell=bash", "-", stdin=step.said["run"], check=False)
    assert done.stdout == ""


# Dispatched by hand, GitHub fills these in; by the clock they are empty.
@pytest.mark.usefixtures("real_processes")
@pytest.mark.parametrize("typed", ["", "two words, $(touch evil)"])
@pytest.mark.parametrize("step", RUNS, ids=lambda step: step.name)
def test_a_step_calls_what_there_is(step: Step, typed: str, tmp_path: Path) -> None:
    calls = list(called(step, typed, tmp_path))
    assert calls
    for program, *words in calls:
        check_call(program, words, step)
    assert not (tmp_path / "evil").exists()
    if typed and "IMAGES" in step.said["run"]:
        [words] = calls
        assert words[-4:] == ["--images", typed, "--regions", typed]


def called(step: Step, typed: str, folder: Path) -> Iterator[list[str]]:
    """Run a step as GitHub does, and yield the programs it starts."""
    log = folder / "log"
    for name in ("bin/make", "bin/git", "bin/gh", "bin/apt-get", ".venv/bin/invoke"):
        fake(folder / name, name.removeprefix("bin/"), log)
    for script in (ROOT / "scripts").iterdir():
        fake(folder / "scripts" / script.name, f"scripts/{script.name}", log)
    script = folder / "step.sh"
    script.write_text(step.said["run"])
    env = dict.fromkeys(step.said.get("env", {}), typed) | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "GITHUB_RUN_ID": "1",
        "GITHUB_WORKSPACE": str(folder),
        **{f"GITHUB_{name}": str(folder / name) for name in ("OUTPUT", "PATH")},
    }
    if "TARGET" in env:
        [env["TARGET"], *_] = targets(step)
    # As GitHub's documentation gives it for run without a shell of its own.
    run("/bin/bash", "-e", script, env=env, cwd=folder)
    for line in log.read_text().splitlines():
        yield line.rstrip("\0").split("\0")


def fake(path: Path, name: str, log: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FAKE.format(name=name, log=log))
    path.chmod(0o755)


def targets(step: Step) -> list[str]:
    job = workflow(step.file)["jobs"][step.job]
    found: list[str] = job["strategy"]["matrix"]["target"]
    return found


def check_call(program: str, words: list[str], step: Step) -> None:
    """Hold one call against what it calls."""
    if program == "make":
        wanted = targets(step) if "TARGET" in step.said.get("env", {}) else words
        for target in wanted:
            assert re.search(rf"^{target}:.*## ", MAKE, re.M), f"make {target}"
    elif program == ".venv/bin/invoke":
        parsed = Parser(contexts=tasks.ns.to_contexts()).parse_argv(words)
        assert [context.name for context in parsed] == words[:1]
    elif program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK), program
    elif program == "apt-get":
        assert step.file == "ci" and step.number == 0, "only before the checkout"
    else:
        assert program in ("git", "gh")


def test_a_flag_that_is_none_of_ours_would_be_found(tmp_path: Path) -> None:
    step = RUNS[0]
    with pytest.raises(ParseError):
        check_call(".venv/bin/invoke", ["reap", "--yess"], step)
    with pytest.raises((ParseError, AssertionError)):
        check_call(".venv/bin/invoke", ["weekly"], step)
    with pytest.raises(AssertionError):
        check_call("make", ["everything"], step)
