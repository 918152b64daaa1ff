"""A rollback stays: the next bake does not undo it."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.aws import Cloud
from annexkit.errors import Exit
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from tests.unit.flows.bakery import RECIPE, Bakery, make_site
from tests.unit.helpers import REGION, FakeClock

ROOT_DISK = "size       = 15"


@pytest.fixture
def bakery(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Bakery:
    """Two builds were baked; the image of the second one was found to be bad."""
    bakery = Bakery(make_site(tmp_path, clock, cloud), monkeypatch)
    bakery.bake()
    bakery.edit(RECIPE, ROOT_DISK, "size       = 16")
    bakery.site.clock.sleep(60)
    bakery.bake()
    return bakery


def taken_back(bakery: Bakery) -> tuple[str, str]:
    """Go back; return the old build, and the one that was left."""
    names = bakery.names()
    assert names.previous and names.current
    # The stand-in for Packer tags nothing, as a real bake does.
    for build, ami in zip((names.previous, names.current), bakery.ours(), strict=True):
        pairs = {"annexkit:build": build, "annexkit:image": "debian13"}
        tags = [{"Key": key, "Value": value} for key, value in pairs.items()]
        bakery.site.cloud.call(REGION, "create_tags", Resources=[ami], Tags=tags)
    from tests.unit.flows.bakery import ec2

    for ami in ec2(REGION).amis.values():
        ami.architecture = "x86_64"
    assert roll_back(bakery.site, ChannelRequest()) is Exit.DONE
    assert bakery.names().current == names.previous
    return names.previous, names.current


def test_the_next_bake_of_the_same_input_leaves_it(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    old, bad = taken_back(bakery)
    before = bakery.site.registry.path.read_bytes()
    capsys.readouterr()
    for asked in ({}, {"dry_run": True}):
        assert bakery.bake(**asked) == Exit.DONE
        assert bakery.names().current == old
        assert bakery.site.registry.path.read_bytes() == before
        said = capsys.readouterr().err
        assert f"build {bad}, made from the same input, was rolled back on" in said
        assert f"invoke registry.promote --build {bad}" in said
    assert bakery.runs == 2


def test_another_input_is_baked_and_becomes_current(bakery: Bakery) -> None:
    _, bad = taken_back(bakery)
    bakery.edit(RECIPE, "size       = 16", "size       = 17")
    bakery.site.clock.sleep(60)
    assert bakery.bake() == Exit.DONE
    assert bakery.runs == 3
    assert bakery.names().current != bad


def test_the_input_of_the_good_build_still_leads_to_it(bakery: Bakery) -> None:
    old, _ = taken_back(bakery)
    bakery.edit(RECIPE, "size       = 16", ROOT_DISK)
    assert bakery.bake() == Exit.DONE
    assert (bakery.runs, bakery.names().current) == (2, old)


def test_force_and_a_promotion_are_ways_out(bakery: Bakery) -> None:
    _, bad = taken_back(bakery)
    assert promote(bakery.site, ChannelRequest(build=bad)) is Exit.DONE
    assert bakery.names().current == bad
    assert bakery.bake() == Exit.DONE
    assert (bakery.runs, bakery.names().current) == (2, bad)
    roll_back(bakery.site, ChannelRequest())
    bakery.site.clock.sleep(60)
    assert bakery.bake(force=True) == Exit.DONE
    assert bakery.runs == 3
    assert bakery.names().current not in (bad, None)
