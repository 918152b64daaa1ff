"""``invoke nightly --via condor``: a night by a real DAGMan, and its rescue."""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annexkit.registry import State
from annexkit.waiting import wait_for
from tests.nights import AWAY, HERE, currents, steps, told
from tests.rehearsal.access_point import IMAGES, AccessPoint
from tests.stage import REGION

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

LONGEST = 1200.0
BAD, THERE = IMAGES[1], AWAY[-1]
FAILS = {
    "action": "CopyImage",
    "region": THERE,
    "where": {"Name": f"*-{BAD}-*"},
    "error": {"code": "InternalFailure", "status": 400},
}
ALL = ("--images", ",".join(IMAGES))
AT_ONCE = {"INVOKE_ANNEXKIT_PUBLISH_PARALLEL": "3"}
SUBMITTED = re.compile(r"Submitting HTCondor Node (\S+) job")  # DAGMan's own log


@pytest.fixture
def user(access_point: AccessPoint) -> AccessPoint:
    """Three images in four regions; no more machines at once than the cloud has."""
    place = access_point.place
    return replace(access_point, place=replace(place, more={**place.more, **AT_ONCE}))


def night(user: AccessPoint, *flags: str, code: int) -> dict[str, Any]:
    asked = ("nightly", "--via", "condor", "--json", *flags)
    return told(user.invoke(*asked, timeout=LONGEST), code)


def ran(folder: Path) -> Counter[str]:
    """How often each node was submitted, in all of the DAG's runs."""
    return Counter(SUBMITTED.findall((folder / "night.dag.dagman.out").read_text()))


def figures(folder: Path) -> dict[str, Any]:
    """DAGMan's own, of its last run."""
    return dict(json.loads((folder / "night.dag.metrics").read_text()))


def test_three_images_in_four_regions_one_node_fails_and_is_rescued(
    user: AccessPoint,
) -> None:
    place, stage = user.place, user.place.stage
    stage.ask("faults", "POST", [FAILS])
    said = night(user, *ALL, code=3)
    folder = Path(said["folder"]) / "dag-1"
    first = ran(folder)
    failed = f"copy-{BAD}-x86_64-{THERE}"
    rest = [f"{step}-{BAD}-x86_64-{THERE}" for step in ("smoke", "promote")]
    assert first.pop(failed) == 3, "it was tried again twice"
    assert set(first.values()) == {1} and not {*rest} & {*first}
    assert len(first) == 3 + 3 * 4 + 2 * 9 - 3 + 1, "bakes, promotions, the rest, end"
    for at, image in enumerate(IMAGES):
        bad = image == BAD
        did = dict.fromkeys(HERE, "done") | ({THERE: "waiting"} if bad else {})
        assert steps(said, "promote", at) == did
        assert currents(place, image)[:-1] == [said["images"][at]["build"]] * 3
    assert currents(place, BAD)[-1] is None
    assert said["images"][1]["regions"][THERE]["copied"]["error"]
    assert (folder / "night.dag.rescue001").exists()
    assert said["ended"] and (folder.parent / "night.html").exists()
    done = {p: p.stat().st_mtime_ns for p in folder.glob("results/*.json")}

    stage.calm()
    again = night(user, *ALL, "--resume", code=0)
    assert again["id"] == said["id"]
    second = ran(folder) - first
    assert second == Counter([failed] * 4 + [*rest, "end"])
    assert figures(folder)["nodes_failed"] == 0
    changed = {p.stem for p in done if p.stat().st_mtime_ns != done[p]}
    assert changed == {failed}, "nothing that was done was done again"
    calls = Counter((c["region"], c["action"]) for c in stage.ask("calls"))
    for action in ("CopyImage", "RunInstances"):
        assert {r: n for (r, a), n in calls.items() if a == action} == {THERE: 1}
    for at, image in enumerate(IMAGES):
        assert steps(again, "promote", at) == dict.fromkeys(HERE, "done")
        build = again["images"][at]["build"]
        assert currents(place, image) == [build] * 4
        there = place.registry.images[image].builds[build].regions
        assert {there[region].state for region in HERE} == {State.READY}
    assert place.journal == []
    assert [m for m in stage.machines() if m["state"] == "running"] == []
    assert user.condor("condor_q", "-allusers", "-af", "ClusterId").stdout == ""

    quiet = night(user, *ALL, code=0)
    assert quiet["id"] != said["id"]
    assert not (Path(quiet["folder"]) / "dag-1").exists(), "nothing to do: no DAG"


@pytest.mark.parametrize("access_point", ["23.9"], indirect=True)
def test_a_dag_that_is_removed_cleans_up_and_is_gone_on_with(user: AccessPoint) -> None:
    """condor_rm in the middle of a smoke, whose instance must not stay."""
    place, stage = user.place, user.place.stage
    image, away = IMAGES[0], AWAY[0]
    flags = ("--images", image, "--regions", away)
    smoke = f"smoke-{image}-x86_64-{away}"

    def running(region: str = "") -> list[Any]:
        return [
            machine
            for machine in stage.machines()
            if machine["state"] == "running" and region in ("", machine["region"])
        ]

    asked = ("nightly", "--via", "condor", *flags)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(user.invoke, *asked, timeout=LONGEST)
        wait_for(
            lambda: running(away), what="the smoke's instance", timeout=300, poll=0.2
        )
        removed = user.condor("condor_rm", "-constraint", "JobUniverse == 7")
        assert removed.exit_code == 0, removed.stderr
        done = waiting.result(timeout=LONGEST)
    assert done.exit_code == 1 and "Traceback" not in done.stderr
    assert "before its end" in done.stderr
    (path,) = place.state.glob("nights/*/night.json")
    folder = path.parent / "dag-1"
    cut = json.loads(path.read_text())
    assert cut["ended"] is None, "what condor_rm ended has no end, and retired nothing"
    assert cut["retire"]["did"] == "waiting"
    assert cut["images"][0]["regions"][away]["smoke"]["did"] == "waiting"
    assert (folder / "night.dag.rescue001").exists()
    assert place.registry.channel(image, "x86_64", away).current is None
    wait_for(
        lambda: not running(), what="the stopped smoke's instance to end", timeout=120
    )

    again = night(user, *flags, "--resume", code=0)
    assert again["id"] == cut["id"]
    once = [
        f"bake-{image}-x86_64",
        f"copy-{image}-x86_64-{away}",
        *(f"promote-{image}-x86_64-{region}" for region in (REGION, away)),
    ]
    assert ran(folder) == Counter([*once, *[smoke, "end"] * 2])
    assert len(place.registry.images[image].builds) == 1
    assert place.journal == []
