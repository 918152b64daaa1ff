"""``invoke registry.diff``: builds by id or channel, and what changed between them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows.registry_diff import (
    DiffRequest,
    diff_builds,
    find_build,
    show_diff,
)
from annexkit.flows.site import Site
from annexkit.publish.packages import How, Kind
from annexkit.registry import Registry, RegistryError
from tests.unit.flows.channels import EAST, IMAGE, NEW, OLD, WEST, Ground
from tests.unit.helpers import build_id

Captured = pytest.CaptureFixture[str]
BEFORE = "condor\t23.9.6\tamd64\nlibc6\t2.41-12\tamd64\nzstd\t1.5.7\tamd64\n"
AFTER = "condor\t23.10.1\tamd64\ncurl\t8.14\tamd64\nzstd\t1.5.7\tamd64\n"


@pytest.fixture
def ground(site: Site) -> Ground:
    """NEW is current, OLD the previous one; both have a package list."""
    ground = Ground(site)
    ground.build(OLD)
    ground.build(NEW)
    ground.current(OLD)
    ground.current(NEW)
    ground.packages(OLD, BEFORE)
    ground.packages(NEW, AFTER)

    def inputs(registry: Registry) -> None:
        builds = registry.images[IMAGE].builds
        builds[OLD].parts = {"base_ami": "ami-1", "provision": "a"}
        builds[NEW].parts = {"base_ami": "ami-1", "provision": "b"}

    ground.edit(inputs)
    site.cloud.calls.clear()
    return ground


def told(ground: Ground, capsys: Captured, request: DiffRequest) -> Any:
    capsys.readouterr()
    ground.site.console = Console(as_json=True)
    assert show_diff(ground.site, request) is Exit.DONE
    return json.loads(capsys.readouterr().out)


def test_two_builds_are_compared_by_their_saved_lists(
    ground: Ground, capsys: Captured
) -> None:
    said = told(ground, capsys, DiffRequest(OLD, NEW))
    assert [(c["how"], c["name"]) for c in said["changes"]] == [
        ("changed", "condor"),
        ("added", "curl"),
        ("removed", "libc6"),
    ]
    assert said["counts"] == {"added": 1, "removed": 1, "changed": 1, "equal": 1}
    assert said["inputs"] == ["provision changed"]
    assert (said["old"]["build"], said["new"]["build"]) == (OLD, NEW)
    assert (said["old"]["htcondor"], said["new"]["htcondor"]) == ("23.9.6", "23.10.1")
    assert not ground.calls()


def test_people_get_tables(ground: Ground, capsys: Captured) -> None:
    assert show_diff(ground.site, DiffRequest("previous", "current")) is Exit.DONE
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert ["build", OLD, NEW] in lines
    assert ["changed", "HTCondor", "condor", "amd64", "23.9.6", "23.10.1"] in lines
    assert ["added", "other", "curl", "amd64", "-", "8.14"] in lines
    assert "input: provision changed" in said.err
    assert "packages: 1 added, 1 removed, 1 changed, 1 equal" in said.err


def test_a_build_does_not_differ_from_itself(ground: Ground, capsys: Captured) -> None:
    said = told(ground, capsys, DiffRequest("current", NEW))
    assert said["changes"] == said["inputs"] == []
    show_diff(ground.site, DiffRequest(NEW, NEW))


def test_the_value_can_be_used_without_printing(
    ground: Ground, capsys: Captured
) -> None:
    registry, request = ground.site.registry.read(), DiffRequest("previous", "current")
    sides = [find_build(ground.site, registry, request, w) for w in (OLD, "current")]
    found = diff_builds(ground.site, *sides)
    assert found.packages.changes[0].kind is Kind.HTCONDOR
    assert len(found.packages.of(How.CHANGED)) == 1
    assert capsys.readouterr() == ("", "")


def test_a_channel_that_differs_by_region_needs_the_region(
    ground: Ground, capsys: Captured
) -> None:
    ground.current(OLD, (EAST,))
    with pytest.raises(UsageError, match="more than one current build") as caught:
        show_diff(ground.site, DiffRequest("current", NEW))
    assert f"{OLD} in {EAST}" in str(caught.value)
    assert "--region" in caught.value.mend
    said = told(ground, capsys, DiffRequest("current", NEW, region=EAST))
    assert said["old"]["build"] == OLD


def test_builds_of_other_images_are_found_by_their_id(
    ground: Ground, capsys: Captured
) -> None:
    def move(registry: Registry) -> None:
        other = registry.images[IMAGE].model_copy(deep=True)
        other.channels.clear()
        build = other.builds.pop(NEW)
        other.builds = {build_id(8): build}
        registry.images["other"] = other

    ground.edit(move)
    said = told(ground, capsys, DiffRequest(OLD, build_id(8)))
    assert (said["new"]["image"], said["new"]["build"]) == ("other", build_id(8))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (DiffRequest("curent", NEW), "did you mean 'current'"),
        (DiffRequest(OLD, "20240517T120000"), "is no build of image 'debian13'"),
        (DiffRequest("candidate", NEW), "has no candidate build"),
        (DiffRequest("current", NEW, arch="arm64"), "has no current build"),
        (DiffRequest("current", NEW, region="eu-west-1"), "has no current build"),
        (DiffRequest("current", NEW, image="debain13"), "did you mean 'debian13'"),
    ],
)
def test_a_name_that_means_no_build_is_refused(
    ground: Ground, request_: DiffRequest, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        show_diff(ground.site, request_)
    assert caught.value.mend


def list_of(ground: Ground, one: str) -> Any:
    return ground.site.registry.path.parent / f"r.packages/{IMAGE}/{one}.tsv"


def test_a_list_that_was_changed_is_refused(ground: Ground) -> None:
    list_of(ground, OLD).write_text(BEFORE + "evil\t1\tall\n")
    with pytest.raises(RegistryError, match="was changed") as caught:
        show_diff(ground.site, DiffRequest(OLD, NEW))
    assert caught.value.mend == f"git checkout -- r.packages/{IMAGE}/{OLD}.tsv"


def test_a_list_that_is_gone_is_refused(ground: Ground) -> None:
    list_of(ground, NEW).unlink()
    with pytest.raises(RegistryError, match=f"{NEW} cannot be read: No such file"):
        show_diff(ground.site, DiffRequest(OLD, NEW))


@pytest.mark.parametrize("text", ["condor\n", "\t\t\n"])
def test_a_list_that_is_none_is_refused(ground: Ground, text: str) -> None:
    ground.packages(OLD, text)
    with pytest.raises(RegistryError, match=f"{OLD}: line 1 is no package"):
        show_diff(ground.site, DiffRequest(OLD, NEW))


def test_a_list_that_is_no_text_is_refused(ground: Ground) -> None:
    import hashlib

    content = b"condor\t\xff\xfe\tamd64\n"
    list_of(ground, OLD).write_bytes(content)

    def change(registry: Registry) -> None:
        listed = registry.images[IMAGE].builds[OLD].packages
        assert listed is not None
        listed.sha256 = hashlib.sha256(content).hexdigest()

    ground.edit(change)
    with pytest.raises(RegistryError, match="the package list of build"):
        show_diff(ground.site, DiffRequest(OLD, NEW))


def test_a_build_without_a_list_is_refused(ground: Ground) -> None:
    ground.build(build_id(3), (WEST,), htcondor="23.9.6")
    with pytest.raises(RegistryError, match=f"build {build_id(3)} has no package list"):
        show_diff(ground.site, DiffRequest(OLD, build_id(3)))
