"""A night sees a package that was published since the last one, and bakes anew."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit.registry import Build, State
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.nights import IMAGE, night, take_away
from tests.rehearsal.apt_mirror import LOCAL, NOTES, Mirror, mirror
from tests.stage import REGION, Place, Stage, write_again

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

ARCH = "x86_64"


@pytest.fixture
def repository(stage: Stage) -> Iterator[Mirror]:
    """HTCondor's own repository, as far as a recipe is concerned."""
    with mirror(stage.rehearsal) as found:
        yield found


@pytest.fixture
def base(stage: Stage, baked: Baked) -> Iterator[str]:
    """The name of an AMI that has all but the repository's packages.

    It says which release it is, as Debian's own do: by that its updates are known.
    """
    assert baked.done.exit_code == 0, baked.done.stderr
    ec2, name = stage.ec2(), f"debian-13-amd64-{secrets.token_hex(4)}"
    copied = ec2.copy_image(
        SourceImageId=baked.there.ami, SourceRegion=REGION, Name=name
    )["ImageId"]

    def available() -> bool:
        (said,) = ec2.describe_images(ImageIds=[copied])["Images"]
        return bool(said["State"] == "available")

    try:
        wait_for(available, what=f"{copied} to be available", timeout=60, poll=0.2)
        yield name
    finally:
        stage.remove_images(REGION, copied)


@pytest.fixture
def place(
    stage: Stage, baked: Baked, base: str, repository: Mirror, tmp_path: Path
) -> Iterator[Place]:
    """A fast recipe with a repository of its own, at home alone, nothing cached."""
    recipes = tmp_path / "recipes"
    more = write_again(recipes, base)
    repository.write_into(recipes / f"{IMAGE}.pkrvars.hcl")
    own = {
        "INVOKE_ANNEXKIT_CACHE_DIR": str(tmp_path / "cache"),
        "INVOKE_ANNEXKIT_PUBLISH_REGIONS": "",
    }
    copied = baked.place.copy(tmp_path / "place")
    stage.calm()
    place = Place(stage, copied.folder, more | own)
    yield place
    stage.calm()
    take_away(place, IMAGE)


def image_of(place: Place) -> dict[str, Any]:
    """Run a night in the home region; return what it says of the one image."""
    began = time.monotonic()
    (image,) = night(place)["images"]
    assert list(image["regions"]) == [REGION]
    spent = time.monotonic() - began
    print(f"a night: {spent:.1f} s, {image['why']}, unchecked: {image['unchecked']}")
    return dict(image)


def current(place: Place) -> tuple[str, Build]:
    """Return the build that is current, which is the newest and proved."""
    builds = place.registry.images[IMAGE].builds
    found = place.registry.channel(IMAGE, ARCH, REGION).current
    assert found and found == max(builds)
    there = builds[found].regions[REGION]
    assert there.state is State.READY and there.verified_at
    return found, builds[found]


def versions(place: Place, build: Build) -> dict[str, str]:
    """Return what a build has installed, as dpkg on its builder said."""
    assert build.packages
    lines = (place.registry_path.parent / build.packages.path).read_text().splitlines()
    return dict(line.split("\t")[:2] for line in lines)


def unchanged(stage: Stage, place: Place, repository: Mirror, build: str) -> None:
    """A night must leave a build alone, and must have asked the repository for that."""
    before = repository.answers(repository.release)
    stage.calm()
    image = image_of(place)
    assert (image["changed"], image["build"], image["pending"]) == (False, build, [])
    assert f"digest {image['digest'][:16]}" in image["why"][0]
    assert repository.url not in image["unchecked"]
    assert stage.changing() == []
    asked = repository.answers(repository.release)[len(before) :]
    assert asked and set(asked) == {304}


def test_a_newer_package_in_a_repository_is_seen_and_rebuilt(
    stage: Stage, place: Place, repository: Mirror, baked: Baked
) -> None:
    repository.publish("1.0")
    assert image_of(place)["changed"]
    old, first = current(place)
    installed = versions(place, first)
    assert installed[NOTES] == "1.0"
    assert installed["condor"] == baked.build.htcondor + LOCAL
    unchanged(stage, place, repository, old)

    repository.publish("1.1")
    stage.calm()
    image = image_of(place)
    newer = {"name": NOTES, "old": "1.0", "new": "1.1"}
    assert image["changed"]
    assert image["pending"] == [newer]
    assert image["why"] == [f"updates: {NOTES} 1.0 -> 1.1"]
    new, second = current(place)
    assert (image["before"], image["build"]) == (old, new)
    assert new != old
    # The same input: nothing but the repository is another.
    assert second.digest == first.digest == image["digest"]
    assert versions(place, second) == installed | {NOTES: "1.1"}
    assert image["packages"] == [newer]
    names = place.registry.channel(IMAGE, ARCH, REGION)
    assert (names.previous, names.candidate) == (old, None)
    assert place.journal == []
    unchanged(stage, place, repository, new)
