"""``invoke registry.promote`` against moto's EC2."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from annexkit import tags
from annexkit.console import Console
from annexkit.errors import AnnexkitError, Exit, Interrupted, UsageError
from annexkit.flows import registry_move
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from annexkit.flows.site import Site
from annexkit.registry import Registry, RegistryError
from tests.unit.flows.bakery import ec2
from tests.unit.flows.channels import (
    EAST,
    NEW,
    OLD,
    REGIONS,
    ROME,
    WEST,
    Ground,
    with_candidate,
)
from tests.unit.helpers import build_id

Captured = pytest.CaptureFixture[str]
ASKED = ("DescribeImages", "DescribeSnapshots")


@pytest.fixture
def ground(site: Site) -> Ground:
    """OLD is current in all three regions, NEW is the proved candidate."""
    return with_candidate(site)


def as_json(ground: Ground, capsys: Captured, run: Callable[[], Exit]) -> Any:
    capsys.readouterr()
    ground.site.console = Console(as_json=True)
    code = run()
    return code, json.loads(capsys.readouterr().out)


def test_the_candidate_becomes_current_in_every_region(ground: Ground) -> None:
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    for region in REGIONS:
        names = ground.names(region)
        assert (names.current, names.previous, names.candidate) == (NEW, OLD, None)


def test_it_costs_two_calls_a_region_and_changes_nothing_in_ec2(
    ground: Ground,
) -> None:
    promote(ground.site, ChannelRequest())
    made = ground.calls()
    assert {key: n for key, n in made.items() if key[1] != "GetCallerIdentity"} == {
        (region, action): 1 for region in REGIONS for action in ASKED
    }


def test_a_second_promotion_changes_nothing_and_says_so(
    ground: Ground, capsys: Captured
) -> None:
    promote(ground.site, ChannelRequest())
    before = ground.site.registry.path.read_bytes()
    ground.site.cloud.calls.clear()
    capsys.readouterr()
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    assert ground.site.registry.path.read_bytes() == before
    assert ground.calls(*ASKED) == {}
    said = capsys.readouterr()
    assert said.out.count("unchanged") == 3
    assert "there is no candidate: nothing to do" in said.out
    assert "> nothing to do" in said.err
    assert promote(ground.site, ChannelRequest(build=NEW)) is Exit.DONE
    assert ground.site.registry.path.read_bytes() == before
    assert f"build {NEW} is current: nothing to do" in capsys.readouterr().out


def test_a_dry_run_shows_what_would_move_and_stops(
    ground: Ground, capsys: Captured
) -> None:
    before = ground.site.registry.path.read_bytes()
    assert promote(ground.site, ChannelRequest(dry_run=True)) is Exit.DONE
    assert ground.site.registry.path.read_bytes() == before
    said = capsys.readouterr()
    assert said.out.count(f"{OLD} → {NEW}") == 3
    assert said.out.count(f"- → {OLD}") == 3, "and what is kept for a return"
    assert "nothing was changed" in said.err
    assert "pool not asked: no pool is named (pool.collector)" in said.err


def test_the_plan_is_shown_before_anything_moves(
    ground: Ground, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(site: Site, step: Any) -> Any:
        assert f"{OLD} → {NEW}" in capsys.readouterr().out
        raise Interrupted("stopped")

    monkeypatch.setattr(registry_move, "_run", move)
    with pytest.raises(Interrupted):
        promote(ground.site, ChannelRequest())
    assert set(ground.currents().values()) == {OLD}


def test_as_json_there_is_one_document(ground: Ground, capsys: Captured) -> None:
    _, said = as_json(ground, capsys, lambda: promote(ground.site, ChannelRequest()))
    assert said["dry_run"] is False
    assert said["pool"] == {
        "said": "pool not asked: no pool is named (pool.collector)",
        "version": None,
    }
    west = said["regions"][WEST]
    assert (west["result"], west["build"]) == ("moved", NEW)
    assert west["before"] == {"current": OLD, "previous": None, "candidate": NEW}
    assert west["channels"] == {"current": NEW, "previous": OLD, "candidate": None}
    assert west["ami"] == ground.there(NEW).ami
    assert west["htcondor"] == "23.10.1"
    assert west["findings"] == []


def test_a_dry_run_as_json_says_what_is_current_now(
    ground: Ground, capsys: Captured
) -> None:
    request = ChannelRequest(dry_run=True)
    code, said = as_json(ground, capsys, lambda: promote(ground.site, request))
    west = said["regions"][WEST]
    assert (code, said["dry_run"], west["result"]) == (Exit.DONE, True, "moves")
    assert (west["channels"]["current"], west["build"]) == (OLD, NEW)


def test_only_the_regions_that_were_named_move(ground: Ground) -> None:
    assert promote(ground.site, ChannelRequest(regions=(f"{WEST},{ROME}",))) == 0
    assert ground.currents() == {WEST: NEW, EAST: OLD, ROME: NEW}
    assert {region for region, _ in ground.calls(*ASKED)} == {WEST, ROME}


def test_a_build_can_be_named_whatever_the_candidate_is(ground: Ground) -> None:
    third = build_id(3)
    ground.build(third, (WEST, EAST), htcondor="23.9.6")
    assert promote(ground.site, ChannelRequest(build=third)) is Exit.DONE
    assert ground.currents() == {WEST: third, EAST: third, ROME: OLD}
    assert ground.names().candidate == NEW


def test_a_build_that_is_older_than_the_current_one_is_promoted_with_a_warning(
    ground: Ground, capsys: Captured
) -> None:
    ground.current(NEW)
    capsys.readouterr()
    assert promote(ground.site, ChannelRequest(build=OLD, regions=(WEST,))) == 0
    said = capsys.readouterr().err
    assert f"warning: us-west-2: build {OLD} is older than {NEW}, which is" in said
    assert ground.names().current == OLD


def test_an_architecture_has_pointers_of_its_own(ground: Ground) -> None:
    ground.build(build_id(4), (WEST,), arch="arm64", htcondor="23.9.6")
    request = ChannelRequest(arch="arm64", build=build_id(4))
    assert promote(ground.site, request) is Exit.DONE
    assert ground.names(arch="arm64").current == build_id(4)
    assert set(ground.currents().values()) == {OLD}


def test_an_expiry_that_a_dead_bake_left_comes_off_before_the_pointer_moves(
    ground: Ground, capsys: Captured
) -> None:
    image = ground.image(NEW, EAST)
    image.add_tags({tags.EXPIRES: "1"})
    promote(ground.site, ChannelRequest(dry_run=True))
    assert "its expiry tag comes off first" in capsys.readouterr().out
    assert tags.EXPIRES in {tag["key"] for tag in image.get_tags()}
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    assert ground.currents()[EAST] == NEW
    assert tags.EXPIRES not in {tag["key"] for tag in image.get_tags()}
    assert ground.calls("DeleteTags") == {(EAST, "DeleteTags"): 1}


def test_where_the_expiry_stays_the_pointer_stays_too(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.image(NEW, EAST).add_tags({tags.EXPIRES: "1"})

    def refuse(site: Site, move: Any) -> None:
        raise AnnexkitError("not allowed", where=EAST)

    monkeypatch.setattr(registry_move, "_unmark", refuse)
    assert promote(ground.site, ChannelRequest()) is Exit.PARTLY
    assert ground.currents() == {WEST: NEW, EAST: OLD, ROME: NEW}


def test_no_way_back_to_an_ami_that_is_gone_is_said_and_forbids_nothing(
    ground: Ground, capsys: Captured
) -> None:
    del ec2(EAST).amis[ground.there(OLD, EAST).ami]
    assert promote(ground.site, ChannelRequest()) is Exit.DONE
    said = capsys.readouterr().err
    assert f"warning: us-east-1: no way back to build {OLD}: " in said


def test_a_disk_that_is_full_moves_nothing_and_is_told(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    before = ground.site.registry.path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise AnnexkitError("no space left on device", where="r.json")

    monkeypatch.setattr("annexkit.registry.store.write_beside", full)
    assert promote(ground.site, ChannelRequest()) is Exit.FAILED
    assert ground.site.registry.path.read_bytes() == before
    assert "no space left on device" in capsys.readouterr().err


def test_the_registry_of_another_account_is_refused_before_any_region(
    ground: Ground,
) -> None:
    def change(registry: Registry) -> None:
        registry.account = "9" * 12

    ground.edit(change)
    with pytest.raises(RegistryError, match="belongs to account"):
        promote(ground.site, ChannelRequest())
    assert ground.calls(*ASKED) == {}


@pytest.mark.parametrize("run", [promote, roll_back])
@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ChannelRequest(image="debain13"), "did you mean 'debian13'"),
        (ChannelRequest(arch="sparc"), "no architecture 'sparc'"),
        (ChannelRequest(regions=("us-wset-2",)), "unknown region 'us-wset-2'"),
        (ChannelRequest(regions=("",)), "without a word"),
    ],
)
def test_what_is_typed_wrong_is_said_before_any_call(
    ground: Ground, run: Any, request_: ChannelRequest, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(ground.site, request_)
    assert not ground.calls()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ChannelRequest(build=build_id(7)), f"has no build '{build_id(7)}'"),
        (ChannelRequest(build=NEW, arch="arm64"), f"{NEW} is for x86_64, not arm64"),
    ],
)
def test_a_build_that_is_not_there_or_of_another_architecture_is_refused(
    ground: Ground, request_: ChannelRequest, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        promote(ground.site, request_)


def test_without_a_candidate_and_anything_current_there_is_nothing_to_promote(
    site: Site,
) -> None:
    ground = Ground(site)
    ground.build(NEW)
    with pytest.raises(AnnexkitError, match="has no candidate in any region") as caught:
        promote(site, ChannelRequest())
    assert "--build ID" in caught.value.mend
