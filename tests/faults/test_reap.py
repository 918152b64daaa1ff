"""What reaping spares, what it asks, and what it mends after an API that fails."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annexkit.flows.reap_report import reap_and_report
from annexkit.registry import State
from tests.faults.moments import IMAGE, MOMENTS, orphans
from tests.stage import REGION, Place, Stage, copy_checkout

pytestmark = pytest.mark.machines


def current(place: Place) -> str | None:
    return place.registry.channel(IMAGE, "x86_64", REGION).current


def fault(action: str, **more: Any) -> list[dict[str, Any]]:
    return [{"action": action, **more}]


@pytest.mark.matrix
def test_a_bake_that_was_killed_at_its_fresh_boot_goes_on_with_its_candidate(
    place: Place,
) -> None:
    before = place.stage.inventory()
    MOMENTS["fresh boot"].interrupt(place, signal.SIGKILL)
    candidate = place.registry.channel(IMAGE, "x86_64", REGION).candidate
    place.stage.calm()
    done = place.bake()
    assert "was not proved yet" in done.stderr
    assert "Packer bakes" not in done.stderr
    assert "CreateImage" not in place.stage.called()
    assert current(place) == candidate
    assert place.invoke("reap", "--yes").exit_code == 0
    assert not orphans(place, before), "the first attempt's instances are gone, too"


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["provisioning", "registering"])
def test_after_a_killed_bake_and_a_reap_the_next_bake_succeeds(
    place: Place, name: str
) -> None:
    before = place.stage.inventory()
    MOMENTS[name].interrupt(place, signal.SIGKILL)
    shutil.rmtree(place.state)
    assert place.invoke("reap", "--yes").exit_code == 0
    place.bake()
    build = current(place)
    assert build
    assert place.registry.images[IMAGE].builds[build].regions[REGION].state == "ready"
    assert place.journal == []
    reap_and_report(place.site(ahead=3 * 3600), (), yes=True, dry_run=False)
    assert not orphans(place, before)


def test_reaping_asks_first_lists_on_request_and_spares_a_live_bake(
    place: Place, tmp_path: Path
) -> None:
    stage = place.stage
    other = other_place(place, tmp_path)
    running = MOMENTS["provisioning"].reach(place)
    stage.ask("calls", "DELETE")
    orphan = a_lost_volume(stage)
    listed = other.invoke("reap", "--dry-run", "--json")
    refused = other.invoke("reap")
    assert [c for c in stage.changing() if c == "DeleteVolume"] == []
    assert listed.exit_code == 0, listed.stderr
    fates = {thing["id"]: thing["fate"] for thing in json.loads(listed.stdout)["found"]}
    assert fates.pop(orphan) == "take"
    assert fates, "it sees the builder of the other one"
    assert "take" not in fates.values()
    assert refused.exit_code == 2
    assert "mend: invoke reap --yes" in refused.stderr
    taken = other.invoke("reap", "--yes", "--json")
    assert taken.exit_code == 0, taken.stderr
    # By its word, since the live bake meanwhile ends its own builder.
    assert json.loads(taken.stdout)["taken"] == [orphan]
    assert f"volume {orphan}" not in " ".join(stage.inventory())
    assert running.ended().exit_code == 0
    assert current(place)


def other_place(place: Place, folder: Path) -> Place:
    """Return another person's state folder and registry, at a checkout of theirs."""
    copied = place.copy(folder / "other")
    checkout = copy_checkout(folder / "checkout")
    return replace(copied, stage=replace(place.stage, checkout=checkout))


def a_lost_volume(stage: Stage) -> str:
    """Make a volume whose time was over long ago, in no journal."""
    tags = {
        "annexkit:build": "20240517T120000-abcdef",
        "annexkit:expires": "1715950000",
    }
    made = stage.ec2().create_volume(
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
            }
        ],
    )
    return str(made["VolumeId"])


def test_an_answer_lost_after_the_launch_of_the_fresh_boot_leaves_no_instance(
    place: Place,
) -> None:
    before = place.stage.inventory()
    dropped = fault("RunInstances", where={"ClientToken": "?" * 64}, after=True)
    place.stage.ask("faults", "POST", dropped)
    done = place.invoke("bake")
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr
    assert "RunInstances" in done.stderr
    kinds = {thing.split()[1] for thing in place.stage.inventory() - before}
    assert kinds == {"image", "snapshot"}, "the AMI says nothing against itself"
    (build,) = place.registry.images[IMAGE].builds.values()
    assert build.regions[REGION].state is State.PENDING
    assert place.journal == []
    place.stage.calm()
    assert "was not proved yet" in place.bake().stderr
    assert current(place)


@pytest.mark.matrix
def test_a_bake_under_throttling_ends_well_or_cleanly(place: Place) -> None:
    before = place.stage.inventory()
    error = {"code": "RequestLimitExceeded", "status": 503}
    for action in ("Describe*", "Create*", "Modify*", "Terminate*"):
        place.stage.ask("faults", "POST", fault(action, error=error, times=2))
    done = place.invoke("bake")
    assert "Traceback" not in done.stderr
    if done.exit_code == 0:
        assert current(place)
    else:
        assert "RequestLimitExceeded" in done.stderr
        assert current(place) is None
    assert not orphans(place, before)
    assert place.journal == []
