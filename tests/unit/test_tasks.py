"""The command line: every task explains itself, is quick to list, and speaks JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke import Collection, Context, Exit, Program
from invoke.tasks import Task

import tasks
from annexkit.commands import shared
from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows import bake_image, reap_report
from annexkit.flows.bake_image import BakeRequest
from annexkit.flows.site import Site

ROOT = Path(__file__).parents[2]
HEAVY = (
    "boto3",
    "botocore",
    "pydantic",
    "paramiko",
    "hcl2",
    "moto",
    "rich",
)
LISTED = """
import sys
from invoke.main import program
try:
    program.run(["invoke", "--list"])
except SystemExit:
    pass
print("LOADED", *sorted(n for n in sys.modules if "." not in n))
"""
ALL = [*tasks.ns.collections.values(), tasks.ns]
TASKS = {
    f"{where.name or ''}.{task.name}": task
    for where in ALL
    for task in where.tasks.values()
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "ROOT", tmp_path)
    monkeypatch.setenv("INVOKE_ANNEXKIT_STATE_DIR", str(tmp_path / "state"))


def invoke(*argv: str) -> int:
    """Run the command line with the real invoke.yaml; return the exit code."""
    program = Program(namespace=Collection.from_module(tasks))
    try:
        program.run(["invoke", "-f", str(ROOT / "invoke.yaml"), *argv])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What the flows below the two big tasks are asked for."""
    calls: list[object] = []

    def bake(site: Site, request: BakeRequest) -> int:
        calls.append((site.settings.bake.image, site.console.as_json, request))
        return 3

    def reap(site: Site, regions: object, *, yes: bool, dry_run: bool) -> int:
        calls.append((regions, yes, dry_run))
        return 0

    monkeypatch.setattr(bake_image, "bake_regions", bake)
    monkeypatch.setattr(reap_report, "reap_and_report", reap)
    yield calls


# At once: Invoke takes the help out of a task the first time that it is asked.
ARGUMENTS = {name: task.get_arguments() for name, task in TASKS.items()}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_and_every_flag_has_its_help(name: str) -> None:
    task: Task = TASKS[name]  # type: ignore[type-arg]
    assert task.__doc__ and task.__doc__.strip().endswith(".")
    positional = set(task.positional)
    for argument in ARGUMENTS[name]:
        assert argument.help or set(argument.names) & positional, argument.name


def test_every_task_is_there() -> None:
    assert set(tasks.ns.task_names) == {
        *("doctor", "bake", "copy", "smoke", "nightly", "nightly-step"),
        *("launch", "verify", "why", "status", "extend"),
        *("watch", "receipt", "terminate", "teardown", "reap", "retire"),
        *("regions", "keypair", "iam", "security-group"),
        *(f"pool.{name}" for name in ("config", "secret", "check")),
        *(f"registry.{name}" for name in ("list", "show", "check", "export")),
        *(f"registry.{name}" for name in ("promote", "rollback", "verify", "diff")),
        "registry.updates",
        *(f"rehearsal.{name}" for name in ("up", "down", "status", "env", "console")),
        *(f"rehearsal.{name}" for name in ("shell", "pool", "jobs")),
    }


def test_listing_the_tasks_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "registry.check" in done.stdout
    loaded = done.stdout.rpartition("LOADED ")[2].split()
    assert "invoke" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_the_flags_of_bake_reach_the_flow(asked: list[object]) -> None:
    typed = "bake --image one --region a,b --region c --arch arm64 --force --dry-run"
    assert invoke(*typed.split(), "--keep-candidate", "--json") == 3
    request = BakeRequest("one", ("a,b", "c"), "arm64", True, True, True)
    assert asked == [("debian13", True, request)]


def test_bake_without_a_flag_leaves_all_to_the_settings(asked: list[object]) -> None:
    assert invoke("bake") == 3
    assert asked == [("debian13", False, BakeRequest())]


def test_the_flags_of_reap_reach_the_flow(asked: list[object]) -> None:
    assert invoke("reap") == 0
    assert invoke("reap", "--region", "x", "--yes", "--dry-run") == 0
    assert asked == [((), False, False), (("x",), True, True)]


@pytest.mark.parametrize(
    "argv",
    [("registry.list",), ("registry.check",), ("rehearsal.status",)],
    ids=lambda argv: argv[0],
)
def test_json_is_the_only_thing_on_standard_output(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(*argv, "--json") == 0
    json.loads(capsys.readouterr().out)


def test_a_usage_error_ends_with_two_and_its_mend(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke("registry.show", "--image", "nothing", "--json") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "\n  mend: " in said.err


@pytest.mark.parametrize(
    ("error", "code"), [(AnnexkitError("failed"), 1), (UsageError("wrong"), 2)]
)
def test_an_error_becomes_its_exit_code(error: AnnexkitError, code: int) -> None:
    @shared.reported
    def body(c: Context) -> None:
        raise error

    with pytest.raises(Exit) as caught:
        body(Context())
    assert caught.value.code == code


def test_a_mistake_of_ours_is_not_hidden() -> None:
    @shared.reported
    def body(c: Context) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        body(Context())


def test_what_is_none_of_invokes_errors_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        raise ValueError("ours")
    except ValueError as error:
        shared.say_settings_error(ValueError, error, error.__traceback__)
    assert "Traceback" in capsys.readouterr().err
