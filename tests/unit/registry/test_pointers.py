"""Moves of the pointers: what they do, when they are refused, and what always holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.registry import Registry, State
from annexkit.registry.edits import (
    EditError,
    promote,
    set_candidate,
    set_failed,
    set_proved,
    set_retired,
)
from annexkit.registry.pointers import (
    Move,
    MovedError,
    carry_out,
    plan_promotion,
    plan_rollback,
    rolled_back,
)
from annexkit.registry.store import dump
from tests.unit.helpers import NOON, REGION
from tests.unit.registry.test_edits import (
    EAST,
    IMAGE,
    A,
    B,
    C,
    names,
    with_builds,
)

ARCH = "x86_64"


def forward(registry: Registry, one: str, region: str = REGION) -> bool:
    move = plan_promotion(registry, IMAGE, ARCH, region, one)
    return carry_out(registry, move, NOON)


def back(registry: Registry, region: str = REGION) -> bool:
    return carry_out(registry, plan_rollback(registry, IMAGE, ARCH, region), NOON)


def reason(registry: Registry, one: str) -> str:
    return registry.images[IMAGE].builds[one].regions[REGION].reason


def test_a_promotion_keeps_the_old_build_as_the_previous_one() -> None:
    registry = with_builds(A, B)
    assert forward(registry, A)
    assert forward(registry, B)
    assert names(registry) == (B, A, None)
    assert names(registry, EAST) == (None, None, None)


def test_the_plan_says_exactly_what_will_be() -> None:
    registry = with_builds(A, B)
    forward(registry, A)
    set_candidate(registry, IMAGE, B, REGION)
    move = plan_promotion(registry, IMAGE, ARCH, REGION, B)
    assert names(registry) == (A, None, B), "planning moves nothing"
    carry_out(registry, move, NOON)
    assert registry.channel(IMAGE, ARCH, REGION) == move.after


def test_a_rollback_swaps_the_two_and_marks_the_build_that_it_leaves() -> None:
    registry = with_builds(A, B)
    forward(registry, A)
    forward(registry, B)
    assert back(registry)
    assert names(registry) == (A, B, None)
    left = registry.images[IMAGE].builds[B].regions[REGION]
    assert rolled_back(left)
    assert left.reason == "rolled back on 2024-05-17 12:00 UTC"
    assert reason(registry, A) == ""


@pytest.mark.parametrize("again", [back, lambda r: forward(r, B)])
def test_what_is_current_again_is_not_marked_any_more(
    again: Callable[[Registry], bool],
) -> None:
    registry = with_builds(A, B)
    forward(registry, A)
    forward(registry, B)
    back(registry)
    assert again(registry)
    assert names(registry) == (B, A, None)
    assert reason(registry, B) == ""


def test_a_bakes_own_promotion_takes_the_mark_off_too() -> None:
    registry = with_builds(A, B)
    forward(registry, A)
    forward(registry, B)
    back(registry)
    promote(registry, IMAGE, B, REGION)
    assert reason(registry, B) == ""


def test_a_failure_is_no_rollback() -> None:
    registry = with_builds(A)
    set_failed(registry, IMAGE, A, REGION, "rolled back on its own")
    assert not rolled_back(registry.images[IMAGE].builds[A].regions[REGION])


def test_without_a_previous_build_there_is_no_way_back() -> None:
    registry = with_builds(A)
    forward(registry, A)
    with pytest.raises(ValueError, match=f"no previous build in {REGION}"):
        plan_rollback(registry, IMAGE, ARCH, REGION)


@pytest.mark.parametrize("state", [s for s in State if s is not State.READY])
def test_only_what_is_ready_can_be_planned(state: State) -> None:
    registry = with_builds(A, state=state)
    with pytest.raises(ValueError, match=f"is {state} in {REGION}, not ready"):
        plan_promotion(registry, IMAGE, ARCH, REGION, A)


def test_a_move_that_somebody_made_already_is_no_move() -> None:
    registry = with_builds(A, B)
    forward(registry, A)
    move = plan_promotion(registry, IMAGE, ARCH, REGION, B)
    assert forward(registry, B)
    before = dump(registry)
    assert not carry_out(registry, move, NOON)
    assert dump(registry) == before


Change = Callable[[Registry], object]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: forward(r, C), f"current is {C}, was {A}"),
        (lambda r: set_candidate(r, IMAGE, C, REGION), f"candidate is {C}, was unset"),
        (lambda r: set_retired(r, IMAGE, B, REGION, "x"), f"build {B} is retired"),
        (lambda r: r.images[IMAGE].builds.pop(B), f"build {B} is gone"),
        (lambda r: r.images.clear(), f"current is unset, was {A}"),
    ],
)
def test_what_somebody_else_changed_meanwhile_is_left_alone(
    change: Change, told: str
) -> None:
    registry = with_builds(A, B, C)
    forward(registry, A)
    move = plan_promotion(registry, IMAGE, ARCH, REGION, B)
    change(registry)
    before = dump(registry)
    with pytest.raises(MovedError, match=told) as caught:
        carry_out(registry, move, NOON)
    assert caught.value.where == REGION
    assert caught.value.mend
    assert dump(registry) == before


def test_a_rollback_is_refused_when_the_way_back_has_changed() -> None:
    registry = with_builds(A, B, C)
    forward(registry, A)
    forward(registry, B)
    move = plan_rollback(registry, IMAGE, ARCH, REGION)
    forward(registry, C)
    with pytest.raises(MovedError, match=f"current is {C}, was {B}"):
        carry_out(registry, move, NOON)


builds = st.sampled_from([A, B, C])
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["forward", "back", "candidate", "proved", "failed", "retired"]
        ),
        builds,
        st.sampled_from([REGION, EAST]),
    ),
    max_size=25,
)


def take_step(registry: Registry, step: str, one: str, region: str) -> None:
    edits: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(registry, one, region),
        "back": lambda: back(registry, region),
        "candidate": lambda: set_candidate(registry, IMAGE, one, region),
        "proved": lambda: set_proved(
            registry, IMAGE, one, region, at=NOON, boot_seconds=1.0
        ),
        "failed": lambda: set_failed(registry, IMAGE, one, region, "x"),
        "retired": lambda: set_retired(registry, IMAGE, one, region, "x"),
    }
    try:
        edits[step]()
    except (EditError, ValueError):
        return


def walked(plan: list[tuple[str, str, str]]) -> Registry:
    registry = with_builds(A, B, C, state=State.PENDING)
    for step, one, region in plan:
        take_step(registry, step, one, region)
    return registry


@given(steps)
def test_a_pointer_never_points_to_a_build_that_is_not_ready(
    plan: list[tuple[str, str, str]],
) -> None:
    registry = walked(plan)
    for region in (REGION, EAST):
        there = registry.channel(IMAGE, ARCH, region)
        for pointer in filter(None, (there.current, there.previous)):
            build = registry.images[IMAGE].builds[pointer]
            assert build.regions[region].state is State.READY
        assert there.current is None or there.current != there.previous
    # What is written can be read again.
    Registry.model_validate(registry.model_dump(mode="json", by_alias=True))


@given(steps, builds)
def test_a_promotion_and_a_rollback_bring_back_what_was_current(
    plan: list[tuple[str, str, str]], one: str
) -> None:
    registry = walked(plan)
    was = registry.channel(IMAGE, ARCH, REGION).current
    ready = registry.images[IMAGE].builds[one].regions[REGION].state is State.READY
    if not (was and ready and was != one):
        return
    forward(registry, one)
    assert names(registry)[:2] == (one, was)
    back(registry)
    assert names(registry)[:2] == (was, one)


@given(steps)
def test_two_rollbacks_bring_every_channel_back(
    plan: list[tuple[str, str, str]],
) -> None:
    registry = walked(plan)
    before = registry.model_copy(deep=True)
    if registry.channel(IMAGE, ARCH, REGION).previous is None:
        return
    back(registry)
    assert names(registry) != names(before)
    if registry.channel(IMAGE, ARCH, REGION).previous is None:
        return  # nothing was current: there is no way back to that
    back(registry)
    assert registry.images[IMAGE].channels == before.images[IMAGE].channels


@given(steps, steps, builds, st.booleans())
def test_a_plan_is_carried_out_as_it_was_shown_or_not_at_all(
    plan: list[tuple[str, str, str]],
    others: list[tuple[str, str, str]],
    one: str,
    to_go_back: bool,
) -> None:
    registry = walked(plan)
    try:
        move: Move = (
            plan_rollback(registry, IMAGE, ARCH, REGION)
            if to_go_back
            else plan_promotion(registry, IMAGE, ARCH, REGION, one)
        )
    except ValueError:
        return
    for step in others:
        take_step(registry, *step)
    before, elsewhere = dump(registry), names(registry, EAST)
    try:
        moved = carry_out(registry, move, NOON)
    except MovedError:
        assert dump(registry) == before
        return
    assert registry.channel(IMAGE, ARCH, REGION) == move.after
    assert names(registry, EAST) == elsewhere
    if not moved:
        assert dump(registry) == before
