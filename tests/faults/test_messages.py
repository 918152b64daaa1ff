"""Whatever a person gets wrong: a sentence, a mend, an exit code, and nothing lost.

The situations stand in bad_input.py and bad_places.py; each has a text that no other
one's message has.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.rehearsal import preflight
from tests.faults import bad_input, bad_places
from tests.faults.command import ROOT, Scene
from tests.faults.situation import DRY, Situation, check, check_distinct
from tests.unit.conftest import (
    _loopback_only,
    _no_account_of_ours,
    _one_loader,
)

__all__ = ["_loopback_only", "_no_account_of_ours", "_one_loader"]

pytestmark = pytest.mark.packer

SITUATIONS = [*bad_input.ALL, *bad_places.ALL]
FEWEST = 40


@pytest.fixture
def scene(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Iterator[Scene]:
    from moto import mock_aws

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # tasks.py sets its own
    monkeypatch.setattr(sys, "path", list(sys.path))  # Invoke puts the checkout there
    monkeypatch.setitem(sys.modules, "tasks", sys.modules.get("tasks"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with mock_aws():
        yield Scene(tmp_path, monkeypatch, capsys.readouterr, request.addfinalizer)


@pytest.fixture
def _can_rehearse(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("machines"):
        found = list(preflight.check(preflight.Host.here(), {}, 1))
        if found and os.environ.get("ANNEXKIT_REQUIRE_MACHINES") == "1":
            pytest.fail(f"this machine cannot rehearse: {found[0]}")
        if found:
            pytest.skip(f"this machine cannot rehearse: {found[0]}")


@pytest.mark.usefixtures("_can_rehearse")
@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(s, id=s.name, marks=[pytest.mark.machines] if s.machines else [])
        for s in SITUATIONS
    ],
)
def test_a_bad_situation_is_told_with_its_mend(
    situation: Situation, scene: Scene
) -> None:
    scene.base_ami()
    situation.deed(scene)
    before = scene.files()
    said = scene.run(*situation.typed)
    check(said, situation, SITUATIONS)
    assert scene.files() == before


def test_there_are_as_many_situations_as_the_bar_asks_for() -> None:
    check_distinct(SITUATIONS, FEWEST)


def test_with_nothing_wrong_the_same_command_goes_well(scene: Scene) -> None:
    """So that each situation's own deed is what makes it end badly."""
    scene.base_ami()
    before = scene.files()
    said = scene.run(*DRY)
    assert (said.exit_code, said.errors) == (0, []), said.err
    assert "would bake annexkit-debian13-x86_64-" in said.err
    assert scene.files() == before
    assert scene.run("registry.check").exit_code == 0


def test_a_package_index_that_cannot_be_asked_is_no_error(scene: Scene) -> None:
    scene.base_ami()
    (index,) = scene.repo.root.rglob("InRelease")
    index.unlink()
    said = scene.run(*DRY)
    assert (said.exit_code, said.errors) == (0, [])
    assert "warning: HTCondor's version in the repository was not checked" in said.err


def test_everything_wrong_is_told_at_once(scene: Scene) -> None:
    scene.recipe("ssh_user", "ssh_usr")
    scene.recipe("= 125", "= 900")
    scene.recipe('"10-system"', '"10-sistem"')
    said = scene.run(*DRY)
    assert said.exit_code == 2
    assert len(said.errors) == 4, "an unknown key, a missing one, a rule, a step"
    assert all(re.search(r"pkrvars\.hcl(:\d+)?: ", what) for what, _ in said.errors)


# At the top level, where nothing of ours is left to catch what escapes.
TOP_LEVEL = {
    "unknown-flag": (["bake", "--regoin", "x"], {}, "No idea what '--regoin' is", 1),
    "unknown-task": (["bakk"], {}, "No idea what 'bakk' is", 1),
    "no-argument": (["rehearsal.console"], {}, "did not receive required", 1),
    "bad-yaml": (["-f", "bad.yaml", "registry.list"], {}, "settings cannot be", 1),
    "bad-kind": (["-f", "bad.txt", "registry.list"], {}, "of type 'txt'", 1),
    "null": (["-f", "null.yaml", "registry.list"], {}, "share a name", 1),
    "bad-value": (
        ["rehearsal.status"],
        {"INVOKE_ANNEXKIT_REHEARSAL_PORT": "abc"},
        "'abc' should be",
        2,
    ),
    "no-credentials": (list(DRY), {}, "Unable to locate credentials", 1),
}


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_nothing_escapes_at_the_top_level(name: str, scene: Scene) -> None:
    typed, env, says, code = TOP_LEVEL[name]
    scene.write("bad.yaml", "annexkit: [\n")
    scene.write("bad.txt", "annexkit\n")
    scene.write("null.yaml", "annexkit: null\n")
    scene.unset("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *typed],
        cwd=scene.root,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == code
