"""Which build each region's channels move to, and what forbids it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.errors import Level
from annexkit.publish.moves import (
    Place,
    Stays,
    forbids,
    has_expiry,
    places_to_promote,
    places_to_roll_back,
    promotion,
    rollback,
    too_new,
)
from annexkit.publish.standing import Held
from annexkit.registry import Registry, State
from annexkit.registry.edits import (
    promote,
    set_candidate,
    set_failed,
    set_retired,
)
from annexkit.registry.pointers import Move, carry_out
from tests.unit.helpers import ACCOUNT, NOON, REGION, ami_id
from tests.unit.publish.test_standing import EXPIRES, SAID
from tests.unit.registry.test_edits import EAST, IMAGE, A, B, C, with_builds
from tests.unit.registry.test_pointers import steps, walked

HERE = Place(IMAGE, "x86_64")


def standing(registry: Registry, *builds: str) -> Held:
    """Return what EC2 says when all is well with these builds in REGION."""
    images = {}
    for one in builds:
        there = registry.images[IMAGE].builds[one].regions[REGION]
        own = [{"Key": "annexkit:build", "Value": one}, SAID["Tags"][1]]
        images[str(there.ami)] = SAID | {"Tags": own}
    (disk,) = [m for m in SAID["BlockDeviceMappings"] if "Ebs" in m]
    return Held(images, {disk["Ebs"]["SnapshotId"]: "completed"})


def moved(found: Move | Stays) -> Move:
    assert isinstance(found, Move), found
    return found


def stays(found: Move | Stays) -> Stays:
    assert isinstance(found, Stays), found
    return found


def test_the_candidate_is_promoted_where_no_build_is_named() -> None:
    registry = with_builds(A, B)
    promote(registry, IMAGE, A, REGION)
    set_candidate(registry, IMAGE, B, REGION)
    assert moved(promotion(registry, HERE, REGION, "")).build == B
    assert places_to_promote(registry, HERE, "") == [REGION]
    assert places_to_promote(registry, HERE, B) == [EAST, REGION]


def test_a_region_with_nothing_new_is_left_as_it_is() -> None:
    registry = with_builds(A)
    promote(registry, IMAGE, A, REGION)
    for build in ("", A):
        found = stays(promotion(registry, HERE, REGION, build))
        assert (found.refused, found.now.current) == (False, A)
        assert "nothing to do" in found.why


def test_a_region_with_nothing_at_all_is_refused() -> None:
    found = stays(promotion(with_builds(A), HERE, REGION, ""))
    assert (found.refused, found.why) == (True, "there is no candidate")
    assert found.mend == f"invoke bake --image {IMAGE} --arch x86_64 --region {REGION}"


def test_a_candidate_that_is_current_already_is_one_no_more() -> None:
    registry = with_builds(A)
    promote(registry, IMAGE, A, REGION)
    set_candidate(registry, IMAGE, A, REGION)
    move = moved(promotion(registry, HERE, REGION, ""))
    carry_out(registry, move, NOON)
    assert stays(promotion(registry, HERE, REGION, "")).refused is False


def test_only_regions_with_a_previous_build_can_go_back() -> None:
    registry = with_builds(A, B)
    for one in (A, B):
        promote(registry, IMAGE, one, REGION)
    promote(registry, IMAGE, A, EAST)
    assert places_to_roll_back(registry, HERE) == [REGION]
    assert moved(rollback(registry, HERE, REGION)).build == A
    found = stays(rollback(registry, HERE, EAST))
    assert found.refused and "no previous build in us-east-1" in found.why


def test_nothing_forbids_a_move_to_what_stands() -> None:
    registry = with_builds(A, B)
    promote(registry, IMAGE, A, REGION)
    move = moved(promotion(registry, HERE, REGION, B))
    held = standing(registry, A, B)
    assert forbids(registry, move, held, ACCOUNT, "") == []
    assert not has_expiry(move, held)


def test_what_does_not_stand_is_an_error_and_what_is_left_a_warning() -> None:
    registry = with_builds(A, B)
    promote(registry, IMAGE, A, REGION)
    move = moved(promotion(registry, HERE, REGION, B))
    found = forbids(registry, move, Held(), ACCOUNT, "")
    assert [(f.level, f.where) for f in found] == [
        (Level.ERROR, REGION),
        (Level.WARNING, REGION),
    ]
    assert found[0].what == f"build {B}: {ami_id(2)} does not exist"
    assert found[1].what == f"no way back to build {A}: {ami_id(0)} does not exist"


def test_a_way_back_that_was_there_before_is_not_looked_at_again() -> None:
    registry = with_builds(A, B, C)
    for one in (A, B):
        promote(registry, IMAGE, one, REGION)
    set_candidate(registry, IMAGE, B, REGION)
    move = moved(promotion(registry, HERE, REGION, ""))
    assert forbids(registry, move, standing(registry, B), ACCOUNT, "") == []


def test_an_expiry_is_seen() -> None:
    registry = with_builds(A)
    held = standing(registry, A)
    said = dict(held.images[ami_id(0)])
    said["Tags"] = [*said["Tags"], EXPIRES]
    move = moved(promotion(registry, HERE, REGION, A))
    assert has_expiry(move, Held({ami_id(0): said}))
    assert not has_expiry(move, Held())


@pytest.mark.parametrize(
    ("build", "pool", "levels"),
    [
        ("1:25.14.1+dfsg-1", "$CondorVersion: 23.9.6 2026-10-01 $", [Level.ERROR]),
        ("25.14.1", "23.9", [Level.ERROR]),
        ("23.10.1", "23.9.6", []),
        ("23.9.6", "25.14.1", []),
        ("25.14.1", "", []),
        ("", "23.9.6", [Level.WARNING]),
        ("", "", []),
    ],
)
def test_the_pools_rule_is_that_of_a_launch(
    build: str, pool: str, levels: list[Level]
) -> None:
    found = too_new(build, pool, REGION)
    assert [f.level for f in found] == levels
    assert all(f.where == REGION for f in found)


@given(steps, st.sampled_from(["", A, B, C]), st.booleans())
def test_whatever_happened_before_a_region_moves_to_what_is_ready_or_stays(
    plan: list[tuple[str, str, str]], build: str, to_go_back: bool
) -> None:
    registry = walked(plan)
    now = registry.channel(IMAGE, "x86_64", REGION).model_copy()
    found = (
        rollback(registry, HERE, REGION)
        if to_go_back
        else promotion(registry, HERE, REGION, build)
    )
    if isinstance(found, Stays):
        assert found.now == now
        assert found.refused or now.current
        if found.refused and not to_go_back:
            wanted = build or now.candidate
            there = wanted and registry.images[IMAGE].builds[wanted].regions[REGION]
            assert not there or there.state is not State.READY
        return
    carry_out(registry, found, NOON)
    after = registry.channel(IMAGE, "x86_64", REGION)
    assert after.current == found.build
    assert registry.images[IMAGE].builds[found.build].regions[REGION].state == "ready"
    if not to_go_back:
        again = promotion(registry, HERE, REGION, build)
        assert isinstance(again, Stays) and not again.refused


@pytest.mark.parametrize("edit", [set_failed, set_retired])
def test_a_build_that_is_no_more_is_refused_with_its_reason(edit: object) -> None:
    registry = with_builds(A)
    assert callable(edit)
    edit(registry, IMAGE, A, REGION, "smoke failed")
    found = stays(promotion(registry, HERE, REGION, A))
    assert found.refused
    assert re.fullmatch(f"build {A} is (failed|retired): smoke failed", found.why)
