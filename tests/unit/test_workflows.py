"""The workflow files: what they may is little, they are pinned, and they end.

What GitHub itself makes of the files only GitHub, and actionlint, can tell.
"""

from __future__ import annotations

import json
import re

import pytest
import yaml

from annexkit.flows.reap import SEEN
from annexkit.launch.policies import NIGHT
from annexkit.settings import Settings
from tests.unit.workflow_files import (
    FILES,
    FOLDER,
    ROOT,
    RUNS,
    Step,
    events,
    every_step,
    named,
    steps_of,
    text_of,
    workflow,
)

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# All that may stand in ${{ }}: nothing that somebody without rights here can write.
EXPRESSIONS = {
    "github.ref",
    "github.ref_name",
    "github.run_attempt",
    "github.run_id",
    "github.token",
    "inputs.images",
    "inputs.regions",
    "matrix.target",
    "needs.night.outputs.taken",
    "secrets.ANNEXKIT_WEBHOOK",
    "env.AWS_REGION",
    "steps.night.outcome",
    "steps.take.outputs.taken",
    "vars.ANNEXKIT_AWS_REGION || 'us-west-2'",
    "vars.ANNEXKIT_ROLE",
}


def test_there_are_no_other_files() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside(
    file: str,
) -> None:
    lines = [line for line in text_of(file).splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert PINNED.fullmatch(line.partition("uses:")[2].strip()), line


def test_an_action_has_the_same_commit_everywhere() -> None:
    used: dict[str, set[str]] = {}
    for step in every_step():
        if "uses" in step.said:
            name, _, commit = step.said["uses"].partition("@")
            used.setdefault("/".join(name.split("/")[:2]), set()).add(commit)
    assert {name: len(commits) for name, commits in used.items()} == dict.fromkeys(
        (
            "actions/checkout",
            "actions/cache",
            "actions/upload-artifact",
            "aws-actions/configure-aws-credentials",
        ),
        1,
    )


def test_images_of_containers_are_pinned_by_their_digest() -> None:
    jobs = [job for file in FILES for job in workflow(file)["jobs"].values()]
    images = [job["container"]["image"] for job in jobs if "container" in job]
    assert images
    for image in images:
        assert re.fullmatch(r"debian@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("file", FILES)
def test_what_anybody_can_write_reaches_no_expression(file: str) -> None:
    found = set(re.findall(r"\$\{\{\s*(.*?)\s*\}\}", text_of(file)))
    conditions = {e for e in found if re.search(r"always\(\)|!inputs", e)}
    assert found - conditions <= EXPRESSIONS
    said = " ".join(conditions)
    assert "github.event" not in said and "secrets." not in said


@pytest.mark.parametrize("step", RUNS, ids=lambda step: step.name)
def test_no_expression_is_pasted_into_a_shell(step: Step) -> None:
    assert "${{" not in step.said["run"]


def test_each_job_may_what_it_needs() -> None:
    reads = {"contents": "read"}
    aws = reads | {"id-token": "write", "pull-requests": "read"}
    offer = {"actions": "read", "contents": "write", "pull-requests": "write"}
    assert {
        f"{file}.{name}": job["permissions"]
        for file in FILES
        for name, job in workflow(file)["jobs"].items()
    } == {
        "ci.debian": reads,
        "ci.newer-packer": reads,
        "ci.workflows": reads,
        "nightly.night": aws,
        "nightly.sweep": aws,
        "nightly.offer": offer,
    }
    assert all(workflow(file)["permissions"] == {} for file in FILES)


def test_credentials_of_the_repository_stay_with_the_job_that_pushes() -> None:
    kept = {
        step.job
        for step in every_step()
        if step.action == "actions/checkout"
        and step.said["with"]["persist-credentials"] is not False
    }
    assert kept == {"offer"}


def test_the_one_secret_is_the_nights_alone() -> None:
    using = [
        step.said.get("id") for step in every_step() if "secrets." in str(step.said)
    ]
    assert using == ["night"]
    assert sum(text_of(file).count("secrets") for file in FILES) == 1


def test_no_night_is_ended_for_another() -> None:
    assert workflow("nightly")["concurrency"] == {
        "group": "annexkit-nightly",
        "cancel-in-progress": False,
    }


def test_nights_begin_by_the_clock_but_not_at_the_full_hour() -> None:
    crons = [one["cron"] for one in events("nightly")["schedule"]]
    assert len(crons) == 2
    for cron in crons:
        minute, *rest = cron.split()
        assert 5 <= int(minute) <= 55
        assert rest[1:] == ["*", "*", "*"], "every day"
    assert "workflow_dispatch" in events("nightly")


def test_the_jobs_tell_the_two_schedules_apart() -> None:
    jobs = workflow("nightly")["jobs"]
    _, sweep = (one["cron"] for one in events("nightly")["schedule"])
    asks = "github.event.schedule"
    assert f"{asks} != '{sweep}'" in jobs["night"]["if"]
    assert f"{asks} == '{sweep}'" in jobs["sweep"]["if"]
    assert asks not in jobs["offer"]["if"], "it follows the night"


@pytest.mark.parametrize("job", ["night", "sweep"])
def test_without_a_role_nothing_begins(job: str) -> None:
    said = workflow("nightly")["jobs"][job]
    assert said["if"].startswith("vars.ANNEXKIT_ROLE != '' && ")
    role = named(job, "configure-aws-credentials").said["with"]
    assert role["role-to-assume"] == "${{ vars.ANNEXKIT_ROLE }}"


def test_a_night_has_longer_than_the_deadlines_of_its_steps_together() -> None:
    given = yaml.safe_load((ROOT / "invoke.yaml").read_text())["annexkit"]
    settings = Settings.model_validate(given)
    # bake, fresh boot, copies, smoke of every region at once
    steps = (
        settings.bake.deadline
        + 2 * settings.prove.lifetime
        + settings.publish.copy_timeout
    )
    job = workflow("nightly")["jobs"]["night"]
    night = named("night", '"id": "night"').said["timeout-minutes"]
    reap = named("night", "invoke reap").said["timeout-minutes"]
    assert steps < night * 60
    assert night + reap < job["timeout-minutes"] < 360, "GitHub's own limit"
    role = named("night", "configure-aws-credentials").said["with"]
    assert job["timeout-minutes"] * 60 <= role["role-duration-seconds"] <= NIGHT


def test_whatever_became_of_the_night_it_is_cleaned_up_and_told() -> None:
    steps = steps_of("nightly", "night")
    at = {step.said.get("id"): step.number for step in steps}
    for word in ("invoke reap --yes", "actions/upload-artifact", "cache/save"):
        step = named("night", word)
        assert step.number > at["night"]
        assert step.said["if"].startswith("${{ always() && ")
    assert "invoke reap --yes" in json.dumps(
        [s.said for s in steps_of("nightly", "sweep")]
    )
    assert "always()" in workflow("nightly")["jobs"]["offer"]["if"]


def test_whoever_cancels_a_night_reaches_it_and_not_a_shell() -> None:
    # actions/runner, ProcessInvoker.cs: the signal goes to the step's first process.
    assert named("night", '"id": "night"').said["run"].startswith("exec .venv/")


def test_the_folders_that_are_kept_are_those_that_are_written() -> None:
    env = workflow("nightly")["env"]
    state, cache = (env[f"INVOKE_ANNEXKIT_{n}_DIR"] for n in ("STATE", "CACHE"))
    registry = Settings().registry
    packages = registry.removesuffix(".json") + ".packages"
    kept = named("night", "upload-artifact").said["with"]["path"].split()
    assert kept == [registry, packages, f"{state}/nights", f"{state}/builds"]
    assert not any("/." in f"/{path}" for path in kept), "hidden files are left out"
    script = (ROOT / "scripts" / "registry-pull-request").read_text()
    assert f'"$1"/{state}/nights/*/night.md' in script
    for job in ("night", "sweep"):
        said = [s.said["with"] for s in steps_of("nightly", job) if "cache" in s.action]
        assert len(said) == 2
        assert {one["path"] for one in said} == {f"{cache}\n{state}/{SEEN}\n"}
        assert len({one["key"] for one in said}) == 1
        assert said[0]["key"].startswith(said[0]["restore-keys"])
