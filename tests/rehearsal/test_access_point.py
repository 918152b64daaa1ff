"""An ordinary user of an access point: a night's plan, a bake, and a DAG of tasks."""

from __future__ import annotations

import json
import sys

import pytest

from annexkit.registry import State
from tests.nights import HERE, IMAGE, night, told
from tests.rehearsal.access_point import CREDENTIALS, IN_FILE, AccessPoint
from tests.stage import REGION

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

NODE = """\
universe = local
executable = {python}
arguments = "-m invoke registry.show --image debian13 --json"
initialdir = {checkout}
environment = "{environment}"
output = {folder}/$(JOB).out
error = {folder}/$(JOB).err
log = {folder}/nodes.log
queue
"""
DAG = """\
JOB first node.sub
JOB second node.sub
PARENT first CHILD second
"""


def quoted(environment: dict[str, str]) -> str:
    """Write an environment as a submit description has it (condor_submit(1))."""
    words = []
    for name, value in environment.items():
        escaped = value.replace("'", "''").replace('"', '""')
        words.append(f"{name}='{escaped}'")
    return " ".join(words)


@pytest.mark.parametrize("access_point", ["23.9", "25.14"], indirect=True)
def test_a_dag_in_the_local_universe_runs_tasks_as_the_user(
    access_point: AccessPoint,
) -> None:
    folder = access_point.place.folder / "dag"
    folder.mkdir()
    node = NODE.format(
        python=sys.executable,
        checkout=access_point.checkout,
        environment=quoted(access_point.environment),
        folder=folder,
    )
    (folder / "node.sub").write_text(node)
    dag = folder / "two.dag"
    dag.write_text(DAG)
    submitted = access_point.condor("condor_submit_dag", "-usedagdir", str(dag))
    assert submitted.exit_code == 0, submitted.stderr + submitted.stdout
    log = f"{dag}.dagman.log"
    waited = access_point.condor("condor_wait", "-wait", "90", log, timeout=120)
    said = (folder / "two.dag.dagman.out").read_text()
    assert waited.exit_code == 0, said
    figures = json.loads((folder / "two.dag.metrics").read_text())
    assert (figures["exitcode"], figures["jobs_succeeded"]) == (0, 2), said
    shown = told(access_point.invoke("registry.show", "--image", "debian13", "--json"))
    for name in ("first", "second"):
        out = folder / f"{name}.out"
        assert json.loads(out.read_text()) == shown, (
            folder / f"{name}.err"
        ).read_text()
        assert out.stat().st_uid == access_point.owner
    assert access_point.place.stage.changing() == []


def test_the_users_plan_of_a_night_is_the_one_of_this_host(
    access_point: AccessPoint,
) -> None:
    assert not {*IN_FILE, "AWS_SESSION_TOKEN"} & set(access_point.environment)
    mode = access_point.condor("stat", "-c", "%a %U", CREDENTIALS).stdout
    assert mode.split() == ["600", "alice"]
    plan = told(access_point.invoke("nightly", "--dry-run", "--json"))
    (image,) = plan["images"]
    assert (image["image"], image["changed"]) == (IMAGE, True)
    assert set(image["regions"]) == {*HERE}
    (here,) = night(access_point.place, "--dry-run")["images"]
    assert (here["digest"], here["why"]) == (image["digest"], image["why"])
    assert access_point.place.stage.changing() == []


def test_the_user_bakes_and_proves_an_image(access_point: AccessPoint) -> None:
    done = access_point.invoke("bake", "--image", IMAGE)
    assert done.exit_code == 0, done.stderr
    place = access_point.place
    current = place.registry.channel(IMAGE, "x86_64", REGION).current
    assert current
    build = place.registry.images[IMAGE].builds[current]
    there = build.regions[REGION]
    assert there.state is State.READY and there.boot_seconds
    (image,) = place.stage.ec2().describe_images(ImageIds=[there.ami])["Images"]
    assert (image["State"], image["ImdsSupport"]) == ("available", "v2.0")
    assert place.packer_log
    assert place.registry_path.stat().st_uid == access_point.owner
    assert place.journal == []
    assert [m for m in place.stage.machines() if m["state"] == "running"] == []
