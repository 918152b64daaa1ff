"""``invoke nightly`` by its command line: a changed input everywhere, then nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.instance_values import from_tags
from annexkit.registry import State
from tests.conftest import Baked
from tests.nights import (
    AWAY,
    HERE,
    IMAGE,
    SETTINGS,
    currents,
    night,
    put_old,
    steps,
    take_away,
    take_away_build,
)
from tests.stage import REGION, Place, Stage

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

SIXTEEN = (
    *(REGION, "us-east-1", "us-east-2", "us-west-1", "ca-central-1", "sa-east-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"),
    *("ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    *("ap-northeast-1", "ap-northeast-2"),
)
OTHER = "other"
BUSY = {"code": "RequestLimitExceeded", "status": 503}


@pytest.fixture
def place(
    stage: Stage, baked: Baked, again: dict[str, str], tmp_path: Path
) -> Iterator[Place]:
    """The registry after the first bake, a fast recipe, and three regions more."""
    copied = baked.place.copy(tmp_path)
    stage.calm()
    place = Place(stage, copied.folder, again | SETTINGS)
    yield place
    stage.calm()
    take_away(place, IMAGE)


def asked(stage: Stage) -> dict[str, int]:
    """How often each region was asked, without who we are."""
    calls = [c for c in stage.ask("calls") if c["action"] != "GetCallerIdentity"]
    regions = [call["region"] for call in calls]
    return {region: regions.count(region) for region in regions}


def image_of(stage: Stage, region: str, ami: str | None) -> dict[str, Any]:
    (said,) = stage.ec2(region).describe_images(ImageIds=[ami])["Images"]
    return dict(said)


def test_a_changed_input_goes_everywhere_and_then_there_is_nothing_to_do(
    stage: Stage, place: Place
) -> None:
    oldest = put_old(place, HERE, days=100, current=False)
    old = put_old(place, HERE, days=3)
    stage.calm()
    said = night(place)
    (image,) = said["images"]
    new = image["build"]
    assert (image["changed"], image["before"]) == (True, old)
    assert "provision is new" in image["why"]
    assert image["packages"][0]["name"] == "condor"
    for step in ("copied", "smoke", "promote"):
        assert steps(said, step) == dict.fromkeys(HERE, "done")
    assert currents(place) == [new] * 4
    build = place.registry.images[IMAGE].builds[new]
    for region in HERE:
        there = build.regions[region]
        assert there.state is State.READY and there.boot_seconds
        found = image_of(stage, region, there.ami)
        assert (found["State"], found["ImdsSupport"]) == ("available", "v2.0")
        assert tags.EXPIRES not in from_tags(found["Tags"])
        assert place.registry.channel(IMAGE, "x86_64", region).previous == old
    assert {(line["step"], line["build"]) for line in said["retired"]} == {
        ("deprecate", oldest)
    }
    assert sorted(line["region"] for line in said["retired"]) == sorted(HERE)
    for region in HERE:
        gone = place.registry.images[IMAGE].builds[oldest].regions[region]
        assert image_of(stage, region, gone.ami)["DeprecationTime"]
    folder = Path(said["folder"])
    assert {path.name for path in folder.iterdir()} == {
        *("night.json", "night.md", "night.html")
    }
    assert new in (folder / "night.html").read_text()
    assert [m for m in stage.machines() if m["state"] == "running"] == []
    assert place.journal == []

    stage.calm()
    again = night(place)
    (same,) = again["images"]
    assert (same["changed"], same["build"]) == (False, new)
    assert f"digest {same['digest'][:16]}" in same["why"][0]
    for step in ("copied", "smoke", "promote"):
        assert steps(again, step) == dict.fromkeys(HERE, "unchanged")
    assert again["retire"]["did"] == "unchanged"
    assert stage.changing() == []
    assert asked(stage) == {REGION: 2} | dict.fromkeys(AWAY, 1)


def test_two_images_in_sixteen_regions_are_looked_at_in_no_time(
    stage: Stage, place: Place, baked: Baked
) -> None:
    recipes = Path(place.more["INVOKE_ANNEXKIT_IMAGES_DIR"])
    recipe = (recipes / f"{IMAGE}.pkrvars.hcl").read_text()
    (recipes / f"{OTHER}.pkrvars.hcl").write_text(recipe)
    flags = ("--images", f"{IMAGE},{OTHER}", "--regions", ",".join(SIXTEEN))
    plan = night(place, *flags, "--dry-run")
    assert baked.build.packages
    path = baked.place.registry_path.parent / baked.build.packages.path
    listed = path.read_text()

    def put(image: dict[str, Any], packages: str, *regions: str) -> str:
        return put_old(
            place,
            regions,
            days=0,
            image=image["image"],
            digest=image["digest"],
            packages=packages,
        )

    made = [put(image, listed, *SIXTEEN) for image in plan["images"]]
    try:
        night(place, *flags)  # what it reads of the repositories is kept
        stage.calm()
        began = time.monotonic()
        said = night(place, *flags)
        spent = time.monotonic() - began
        print(f"two images in sixteen regions: {spent:.2f} s, {said['calls']} calls")
        assert [image["changed"] for image in said["images"]] == [False, False]
        assert [image["build"] for image in said["images"]] == made
        assert asked(stage) == dict.fromkeys(SIXTEEN, 1) | {REGION: 2}
        assert stage.changing() == []
        assert spent < 5

        stage.ask("faults", "POST", [{"action": "D*", "error": BUSY, "times": 6}])
        night(place, *flags)  # throttled, and tried again

        old = listed.replace(baked.build.htcondor, "0.1")
        put(plan["images"][0], old, REGION)
        first, second = night(place, *flags, "--dry-run")["images"]
        assert (first["changed"], second["changed"]) == (True, False)
        assert "condor" in {one["name"] for one in first["pending"]}
    finally:
        (recipes / f"{OTHER}.pkrvars.hcl").unlink()
        take_away_build(place, OTHER, made[-1])
