"""``invoke registry.updates``: a build's saved list against a mirror on this disk."""

from __future__ import annotations

import functools
import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from annexkit.bake import updates_apt
from annexkit.bake.updates import pending
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import registry_updates
from annexkit.flows.registry_updates import UpdatesRequest, show_updates
from annexkit.flows.site import Site
from annexkit.registry import Registry, RegistryError
from tests.unit.bake.samples import IMAGES
from tests.unit.bake.stocked import Machine
from tests.unit.flows.channels import IMAGE, NEW, OLD, Ground
from tests.unit.helpers import NOON, FakeClock

Captured = pytest.CaptureFixture[str]
LISTED = "condor\t23.9.6-1\tamd64\nlibc6\t2.41-12\tamd64\nours\t1\tall\n"
CURRENT = UpdatesRequest("current")


@pytest.fixture
def machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Apt sources of our own, in the place of this machine's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(site.root / "cache"))
    monkeypatch.setattr(updates_apt, "codename", lambda: "bookworm")
    monkeypatch.setattr(updates_apt, "distribution", lambda: "debian")
    machine = Machine(site.root)
    ask = functools.partial(pending, apt_dir=machine.apt)
    monkeypatch.setattr(registry_updates, "pending", ask)
    return machine


@pytest.fixture
def ground(site: Site, machine: Machine) -> Ground:
    """NEW is current and has a package list; the mirror has what it has."""
    shutil.copytree(IMAGES, site.root / site.settings.images_dir)
    (site.root / "provision").symlink_to(IMAGES.parents[1] / "provision")
    ground = Ground(site)
    ground.build(NEW)
    ground.current(NEW)
    ground.packages(NEW, LISTED)
    site.cloud.calls.clear()
    return ground


def told(ground: Ground, capsys: Captured, request: UpdatesRequest = CURRENT) -> Any:
    capsys.readouterr()
    ground.site.console = Console(as_json=True)
    assert show_updates(ground.site, request) is Exit.DONE
    return json.loads(capsys.readouterr().out)


def test_nothing_is_pending_and_no_call_is_made(
    ground: Ground, capsys: Captured
) -> None:
    assert told(ground, capsys) == {
        "image": IMAGE,
        "arch": "x86_64",
        "build": NEW,
        "updates": [],
        "unchecked": [],
        "compared": 2,
        "unknown": 1,
        "rebuild": "",
    }
    assert not ground.calls()


def test_updates_are_shown_the_most_important_first(
    ground: Ground, machine: Machine, capsys: Captured
) -> None:
    versions = [("aaa", "1"), ("condor", "23.9.7-1"), ("libc6", "2.41-13")]
    machine.debian.offer("trixie", versions)
    said = told(ground, capsys)
    assert [row["name"] for row in said["updates"]] == ["condor", "libc6"]
    assert said["updates"][0]["kind"] == "HTCondor"
    assert said["rebuild"].startswith("updates: condor 23.9.6-1 -> 23.9.7-1, libc6")
    ground.site.console = Console()
    assert show_updates(ground.site, CURRENT) is Exit.DONE
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["HTCondor", "condor", "23.9.6-1", "23.9.7-1"] in rows
    assert f"build {NEW} of {IMAGE} (x86_64): 2 updates" in shown.err
    assert "packages in none of the indexes read: 1" in shown.err


def test_what_was_not_checked_is_a_warning_and_age_a_reason(
    ground: Ground, machine: Machine, capsys: Captured
) -> None:
    clock = ground.site.clock
    assert isinstance(clock, FakeClock)
    created = NOON + timedelta(days=2)  # as Ground makes the second build
    clock.now = (created + timedelta(days=6)).timestamp()
    (machine.debian.root / "dists" / "trixie-security" / "InRelease").unlink()
    assert show_updates(ground.site, CURRENT) is Exit.DONE
    shown = capsys.readouterr().err
    assert "warning: updates not checked: none of the mirrors has suite" in shown
    assert "to make anew: no reason" in shown
    clock.sleep(3 * 86_400)
    said = told(ground, capsys)
    assert said["rebuild"].startswith("9 days old and updates not checked")
    assert said["unchecked"] == ["none of the mirrors has suite 'trixie-security'"]


def test_another_build_is_looked_at_by_its_id_or_channel(
    ground: Ground, machine: Machine, capsys: Captured
) -> None:
    ground.build(OLD)
    ground.packages(OLD, "condor\t23.9.5-1\tamd64\n")
    ground.candidate(OLD)
    for word in (OLD, "candidate"):
        said = told(ground, capsys, UpdatesRequest(word))
        assert (said["build"], len(said["updates"])) == (OLD, 1)


def test_a_build_or_list_that_is_not_there_is_refused(ground: Ground) -> None:
    with pytest.raises(UsageError, match="has no previous build"):
        show_updates(ground.site, UpdatesRequest("previous"))
    ground.packages(NEW, "condor\n")
    with pytest.raises(RegistryError, match="is no package"):
        show_updates(ground.site, CURRENT)


def test_an_image_whose_recipe_is_gone_is_refused(ground: Ground) -> None:
    def rename(registry: Registry) -> None:
        registry.images["gone"] = registry.images.pop(IMAGE)

    ground.edit(rename)
    with pytest.raises(UsageError, match="there is no image 'gone'"):
        show_updates(ground.site, UpdatesRequest("current", "gone"))
