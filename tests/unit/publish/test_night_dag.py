"""A night as a DAG: which steps become nodes, in which order, and what is written."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from annexkit.publish.night import Did, ImageNight, Night, RegionNight, StepNight
from annexkit.publish.night_dag import (
    SECRETS,
    Limits,
    dag_text,
    nodes_of,
    script_text,
    submit_text,
)
from tests.unit.helpers import NOON

HOME, EAST = "us-west-2", "us-east-1"
SAME = StepNight(did=Did.UNCHANGED)
BAD = StepNight(did=Did.FAILED, error="no answer")


def image(name: str = "debian13", **more: object) -> ImageNight:
    given = {"regions": {HOME: RegionNight(), EAST: RegionNight()}, "home": HOME}
    return ImageNight.model_validate({"image": name, "arch": "x86_64", **given, **more})


def names(*images: ImageNight) -> list[str]:
    night = Night(id="20260101T000000-abcdef", began=NOON, images=list(images))
    return [node.name for node in nodes_of(night)]


def test_what_is_to_be_baked_is_copied_after_it_and_promoted_at_home() -> None:
    assert names(image()) == [
        "bake-debian13-x86_64",
        f"promote-debian13-x86_64-{HOME}",
        f"copy-debian13-x86_64-{EAST}",
        f"smoke-debian13-x86_64-{EAST}",
        f"promote-debian13-x86_64-{EAST}",
    ]


def test_a_proof_that_waits_is_a_bake_too() -> None:
    assert names(image(bake=SAME))[0] == "bake-debian13-x86_64"


def test_what_was_done_before_is_no_node() -> None:
    there = {
        HOME: RegionNight(copied=SAME, smoke=SAME, promote=SAME),
        EAST: RegionNight(copied=SAME),
    }
    found = image(bake=SAME, boot=SAME, regions=there)
    assert names(found) == [
        f"smoke-debian13-x86_64-{EAST}",
        f"promote-debian13-x86_64-{EAST}",
    ]


def test_a_home_that_lost_its_ami_is_copied_to_like_any_other() -> None:
    found = names(image(bake=SAME, boot=SAME))
    assert found[0] == f"copy-debian13-x86_64-{HOME}" and len(found) == 6


def test_what_failed_in_the_plan_has_no_nodes() -> None:
    assert names(image(bake=BAD)) == []
    there = {HOME: RegionNight(), EAST: RegionNight(copied=BAD)}
    assert not any(EAST in name for name in names(image(regions=there)))


def test_the_dag_says_all_that_dagman_has_to_know() -> None:
    night = Night(id="n", began=NOON, images=[image(), image("alma9-osg")])
    text = dag_text(nodes_of(night), Limits(bakes=2, regions=8))
    lines = text.splitlines()
    assert len([line for line in lines if line.startswith("JOB ")]) == 10
    bake = "bake-alma9-osg-x86_64"
    assert f"JOB {bake} step.sub" in lines
    assert f'VARS {bake} what="--step bake --image alma9-osg/x86_64"' in lines
    smoke = f"smoke-debian13-x86_64-{EAST}"
    asked = f"--step smoke --image debian13/x86_64 --region {EAST}"
    assert f'VARS {smoke} what="{asked}"' in lines
    assert f"PARENT copy-debian13-x86_64-{EAST} CHILD {smoke}" in lines
    assert f"CATEGORY {smoke} smoke" in lines
    retried = {line.split()[1].split("-")[0] for line in lines if "RETRY" in line}
    assert retried == {"copy", "promote"}
    assert [line for line in lines if line.startswith("MAXJOBS")] == [
        "MAXJOBS bake 2",
        "MAXJOBS copy 8",
        "MAXJOBS smoke 8",
        "MAXJOBS promote 1",
    ]
    assert lines[-2:] == [
        "FINAL end step.sub",
        'VARS end what="--step end --status=$(DAG_STATUS)"',
    ]


def test_no_node_leaves_the_access_point() -> None:
    text = submit_text(Path("/state/dag-1"))
    assert "universe = local" in text and "environment" not in text
    assert "getenv" not in text, "the queue is for all to read"


@pytest.mark.usefixtures("real_processes")
def test_the_script_hands_on_what_a_step_needs(tmp_path: Path) -> None:
    root = tmp_path / "a check'out"
    root.mkdir()
    python = tmp_path / "py thon"
    python.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\nenv\n')
    python.chmod(0o755)
    given = {
        "PATH": "/usr/bin:/bin",
        "AWS_PROFILE": "night's $HOME",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "https_proxy": "http://proxy.invalid",
        "PS1": "no",
        **dict.fromkeys(SECRETS, "hidden"),
    }
    other = {"AWS_BEARER_TOKEN_BEDROCK": "hidden"}
    script = tmp_path / "step"
    folder = Path("/state/nights/n/dag 1")
    script.write_text(script_text(folder, root, str(python), "n", given | other))
    assert "hidden" not in script.read_text()
    said = subprocess.run(
        ["/bin/sh", script, "--step", "end"],
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[:9] == [
        *(str(root), "-m", "invoke", "-f", f"{folder}/settings.json"),
        *("nightly-step", "--night", "n", "--step"),
    ]
    found = dict(line.partition("=")[::2] for line in said if "=" in line)
    wanted = {name: given[name] for name in given if name not in (*SECRETS, "PS1")}
    assert {name: found.get(name) for name in wanted} == wanted
    assert "PS1" not in found and not re.search("hidden", "".join(said))
    assert shlex.split(script.read_text().splitlines()[-1])[0] == "exec"
