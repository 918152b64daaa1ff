"""Whatever is wrong with an annex, its pool or a launch: told before anything is made.

The situations stand in bad_launch.py and bad_annex.py.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError
from annexkit.launch import longlived
from tests.faults import bad_annex, bad_launch
from tests.faults.launch_scene import LaunchScene
from tests.faults.situation import Situation, check, check_distinct
from tests.unit.conftest import (
    _loopback_only,
    _no_account_of_ours,
    _one_loader,
)

__all__ = ["_loopback_only", "_no_account_of_ours", "_one_loader"]

SITUATIONS = [*bad_launch.ALL, *bad_annex.ALL]
FEWEST = 40


@pytest.fixture
def scene(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Iterator[LaunchScene]:
    from moto import mock_aws

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "tasks", sys.modules.get("tasks"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("CONDOR_CONFIG", os.devnull)
    with mock_aws():
        yield LaunchScene(
            tmp_path, monkeypatch, capsys.readouterr, request.addfinalizer
        )


@pytest.mark.parametrize("situation", [pytest.param(s, id=s.name) for s in SITUATIONS])
def test_a_bad_situation_is_told_with_its_mend(
    situation: Situation, scene: LaunchScene
) -> None:
    situation.deed(scene)
    before = scene.files()
    said = scene.run(*situation.typed)
    check(said, situation, SITUATIONS)
    assert scene.changing == []
    assert scene.files() == before


def test_there_are_as_many_situations_as_the_bar_asks_for() -> None:
    check_distinct(SITUATIONS, FEWEST)


def test_with_nothing_wrong_the_same_command_goes_well(scene: LaunchScene) -> None:
    """So that each situation's own deed is what makes it end badly."""
    before = scene.files()
    said = scene.run(*bad_launch.PLAN)
    assert (said.exit_code, said.errors) == (0, []), said.err
    assert scene.changing == []
    assert scene.files() == before


def test_with_a_good_secret_the_launch_goes_on(
    scene: LaunchScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is the secret that ends it in the situations that are about one."""

    def reached(*_: object, **__: object) -> None:
        raise AnnexkitError("come as far as AWS", mend="none is needed")

    monkeypatch.setattr(longlived, "ensure", reached)
    said = scene.run("launch")
    assert "come as far as AWS" in said.errors[0][0]


def test_a_door_that_is_open_to_the_world_is_a_warning(scene: LaunchScene) -> None:
    scene.setting("LAUNCH_SSH_CIDRS", "192.0.2.7/32, 0.0.0.0/0, ::/0")
    scene.setting("POOL_CCB", "0")
    scene.setting("POOL_CIDRS", "0.0.0.0/1")
    said = scene.run(*bad_launch.PLAN)
    assert said.exit_code == 0
    for where, rule in (
        ("launch.ssh_cidrs", "22/tcp from 0.0.0.0/0"),
        ("launch.ssh_cidrs", "22/tcp from ::/0"),
        ("pool.cidrs", "9618/tcp from 0.0.0.0/1"),
    ):
        assert f"warning: {where}: {rule} is open to everybody\n  mend: " in said.err
    assert "192.0.2.7/32 is open" not in said.err


def test_everything_wrong_is_told_at_once(scene: LaunchScene) -> None:
    scene.setting("POOL_COLLECTOR", "")
    scene.setting("LAUNCH_SUBNETS", "subnet-0123")
    scene.setting("LAUNCH_KEY_NAME", "mine")
    scene.setting("LAUNCH_SSH_CIDRS", "home")
    said = scene.run(*bad_launch.PLAN, "--instance-type", "m7i.larg")
    assert said.exit_code == 2
    wanted = (
        "no pool is named",
        "there is no subnet subnet-0123",
        "a key pair needs its name",
        "EC2 has no key pair",
        "'home' is no network",
        "'m7i.larg' is no instance type",
    )
    for text in wanted:
        assert sum(text in what for what, _ in said.errors) == 1, text
    assert len(said.errors) == len(wanted), said.err
