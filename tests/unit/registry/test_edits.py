"""Pointers: what moves, what stays, and what no sequence of edits can bring about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.registry import Channels, Registry, State
from annexkit.registry.edits import (
    EditError,
    find_equal,
    promote,
    put_build,
    set_candidate,
    set_failed,
    set_proved,
    set_retired,
)
from annexkit.registry.model import newest_first
from annexkit.registry.store import dump
from tests.unit.helpers import (
    DIGEST,
    NOON,
    REGION,
    a_build,
    ami_id,
    build_id,
    in_region,
)

IMAGE = "debian13"
EAST = "us-east-1"
A, B, C = (build_id(n) for n in range(3))


def with_builds(*ids: str, state: State = State.READY) -> Registry:
    registry = Registry()
    for number, one in enumerate(ids):
        there = {
            region: in_region(state, ami_id(2 * number + east))
            for east, region in enumerate((REGION, EAST))
        }
        put_build(registry, IMAGE, one, a_build(there))
    return registry


def names(registry: Registry, region: str = REGION) -> tuple[str | None, ...]:
    there = registry.channel(IMAGE, "x86_64", region)
    return (there.current, there.previous, there.candidate)


def prove(registry: Registry, one: str, region: str = REGION) -> None:
    set_proved(registry, IMAGE, one, region, at=NOON, boot_seconds=9.5)


def test_promoting_moves_the_old_current_to_previous() -> None:
    registry = with_builds(A, B)
    promote(registry, IMAGE, A, REGION)
    promote(registry, IMAGE, B, REGION)
    assert names(registry) == (B, A, None)


def test_promoting_one_region_moves_no_other() -> None:
    registry = with_builds(A)
    promote(registry, IMAGE, A, REGION)
    assert names(registry, EAST) == (None, None, None)


def test_promoting_twice_is_as_promoting_once() -> None:
    registry = with_builds(A, B)
    promote(registry, IMAGE, A, REGION)
    promote(registry, IMAGE, B, REGION)
    once = dump(registry)
    promote(registry, IMAGE, B, REGION)
    assert dump(registry) == once


def test_promoting_the_previous_is_a_rollback_and_can_be_undone() -> None:
    registry = with_builds(A, B)
    for one in (A, B, A):
        promote(registry, IMAGE, one, REGION)
    assert names(registry) == (A, B, None)
    promote(registry, IMAGE, B, REGION)
    assert names(registry) == (B, A, None)


def test_a_promoted_candidate_is_a_candidate_no_more() -> None:
    registry = with_builds(A, B)
    set_candidate(registry, IMAGE, A, REGION)
    promote(registry, IMAGE, B, REGION)
    assert names(registry) == (B, None, A)
    promote(registry, IMAGE, A, REGION)
    assert names(registry) == (A, B, None)


@pytest.mark.parametrize("state", [s for s in State if s is not State.READY])
def test_only_a_ready_build_can_be_promoted(state: State) -> None:
    registry = with_builds(A, state=state)
    before = dump(registry)
    with pytest.raises(ValueError, match=f"is {state} in {REGION}"):
        promote(registry, IMAGE, A, REGION)
    assert dump(registry) == before


@pytest.mark.parametrize("state", [State.FAILED, State.SKIPPED, State.RETIRED])
def test_what_is_unusable_cannot_become_a_candidate(state: State) -> None:
    registry = with_builds(A, state=state)
    with pytest.raises(ValueError, match=f"is {state} in {REGION}"):
        set_candidate(registry, IMAGE, A, REGION)


def test_a_proof_makes_a_build_ready_and_clears_the_reason() -> None:
    registry = with_builds(A, state=State.PENDING)
    registry.images[IMAGE].builds[A].regions[REGION].reason = "not yet"
    prove(registry, A)
    there = registry.images[IMAGE].builds[A].regions[REGION]
    assert (there.state, there.verified_at, there.boot_seconds, there.reason) == (
        State.READY,
        NOON,
        9.5,
        "",
    )
    elsewhere = registry.images[IMAGE].builds[A].regions[EAST]
    assert elsewhere.state is State.PENDING


def test_a_proof_of_what_is_ready_renews_its_date() -> None:
    registry = with_builds(A, state=State.READY)
    later = NOON + timedelta(hours=1)
    set_proved(registry, IMAGE, A, REGION, at=later, boot_seconds=None)
    assert registry.images[IMAGE].builds[A].regions[REGION].verified_at == later


@pytest.mark.parametrize("state", [State.FAILED, State.SKIPPED, State.RETIRED])
def test_a_proof_does_not_revive_what_somebody_retired_meanwhile(state: State) -> None:
    registry = with_builds(A, state=state)
    registry.images[IMAGE].builds[A].regions[REGION].reason = "reaped"
    before = dump(registry)
    with pytest.raises(EditError, match=f"became {state} in {REGION}.*reaped") as told:
        prove(registry, A)
    assert told.value.mend == "invoke bake"
    assert dump(registry) == before


@pytest.mark.parametrize(
    ("edit", "state"), [(set_failed, State.FAILED), (set_retired, State.RETIRED)]
)
def test_what_failed_or_is_gone_leaves_every_channel(
    edit: object, state: State
) -> None:
    registry = with_builds(A, B)
    for one in (A, B):
        promote(registry, IMAGE, one, REGION)
    promote(registry, IMAGE, A, EAST)
    set_candidate(registry, IMAGE, A, REGION)
    assert callable(edit)
    edit(registry, IMAGE, A, REGION, "why")
    assert names(registry) == (B, None, None)
    assert names(registry, EAST) == (A, None, None)
    there = registry.images[IMAGE].builds[A].regions[REGION]
    assert (there.state, there.reason) == (state, "why")


def test_putting_a_build_again_merges_its_regions() -> None:
    registry = Registry()
    put_build(registry, IMAGE, A, a_build({REGION: in_region()}))
    put_build(registry, IMAGE, A, a_build({EAST: in_region(State.FAILED, None)}))
    regions = registry.images[IMAGE].builds[A].regions
    assert {name: r.state for name, r in regions.items()} == {
        REGION: State.PENDING,
        EAST: State.FAILED,
    }


def test_an_equal_build_is_found_proved_ones_first_then_the_newest() -> None:
    registry = Registry()
    for number, (one, state) in enumerate(
        [(A, State.READY), (B, State.READY), (C, State.PENDING)]
    ):
        created = NOON + timedelta(days=number)
        put_build(
            registry, IMAGE, one, a_build({REGION: in_region(state)}, created=created)
        )

    def found() -> str | None:
        equal = find_equal(registry, IMAGE, "x86_64", REGION, DIGEST)
        return equal[0] if equal else None

    assert found() == B
    set_failed(registry, IMAGE, B, REGION, "x")
    assert found() == A
    set_retired(registry, IMAGE, A, REGION, "x")
    assert found() == C
    set_failed(registry, IMAGE, C, REGION, "x")
    assert found() is None


@pytest.mark.parametrize(
    ("image", "arch", "region", "digest"),
    [
        ("other", "x86_64", REGION, DIGEST),
        (IMAGE, "arm64", REGION, DIGEST),
        (IMAGE, "x86_64", "eu-west-1", DIGEST),
        (IMAGE, "x86_64", REGION, "cd" * 32),
    ],
)
def test_a_build_that_differs_in_anything_is_not_equal(
    image: str, arch: str, region: str, digest: str
) -> None:
    assert find_equal(with_builds(A), image, arch, region, digest) is None


def test_a_pending_build_without_an_ami_is_not_equal() -> None:
    registry = Registry()
    put_build(registry, IMAGE, A, a_build({REGION: in_region(ami=None)}))
    assert find_equal(registry, IMAGE, "x86_64", REGION, DIGEST) is None


def test_architectures_have_channels_of_their_own() -> None:
    registry = with_builds(A)
    there = {REGION: in_region(State.READY)}
    put_build(registry, IMAGE, B, a_build(there, arch="arm64"))
    promote(registry, IMAGE, A, REGION)
    promote(registry, IMAGE, B, REGION)
    assert names(registry) == (A, None, None)
    assert registry.channel(IMAGE, "arm64", REGION).current == B


def test_newest_first_goes_by_creation_and_not_by_id() -> None:
    old, new = a_build(created=NOON), a_build(created=NOON + timedelta(seconds=1))
    assert [one for one, _ in newest_first({A: new, C: old})] == [A, C]


def test_the_amis_that_stand_are_all_but_the_retired() -> None:
    registry = with_builds(A, B)
    set_retired(registry, IMAGE, A, REGION, "gone")
    set_failed(registry, IMAGE, B, EAST, "bad")
    assert registry.amis() == {
        (EAST, ami_id(1)): (IMAGE, A),
        (REGION, ami_id(2)): (IMAGE, B),
        (EAST, ami_id(3)): (IMAGE, B),
    }


steps = st.lists(
    st.tuples(
        st.sampled_from(["promote", "candidate", "proved", "failed", "retired"]),
        st.sampled_from([A, B, C]),
        st.sampled_from([REGION, EAST]),
    ),
    max_size=25,
)


def take_step(registry: Registry, step: str, one: str, region: str) -> bool:
    """Make an edit; say whether it was allowed."""
    try:
        if step == "promote":
            promote(registry, IMAGE, one, region)
        elif step == "candidate":
            set_candidate(registry, IMAGE, one, region)
        elif step == "proved":
            prove(registry, one, region)
        elif step == "failed":
            set_failed(registry, IMAGE, one, region, "x")
        else:
            set_retired(registry, IMAGE, one, region, "x")
    except (EditError, ValueError):
        return False
    return True


@given(steps)
def test_no_sequence_of_edits_breaks_a_law(plan: list[tuple[str, str, str]]) -> None:
    registry = with_builds(A, B, C, state=State.PENDING)
    for step, one, region in plan:
        other = EAST if region == REGION else REGION
        before, elsewhere = names(registry, region), names(registry, other)
        copy = dump(registry)
        allowed = take_step(registry, step, one, region)
        # What is written can be read again: the model's own laws hold.
        Registry.model_validate(registry.model_dump(mode="json", by_alias=True))
        assert names(registry, other) == elsewhere
        after = names(registry, region)
        if not allowed:
            assert dump(registry) == copy
        elif step == "promote":
            assert after[0] == one
            assert after[1] == (before[1] if before[0] == one else before[0])
            assert after[2] != one
        elif step in ("failed", "retired"):
            assert one not in after
        assert after[0] is None or after[0] != after[1]


@given(steps)
def test_what_is_ready_in_a_channel_was_proved(
    plan: list[tuple[str, str, str]],
) -> None:
    registry = with_builds(A, B, C, state=State.PENDING)
    for step, one, region in plan:
        take_step(registry, step, one, region)
    for region in (REGION, EAST):
        there = registry.channel(IMAGE, "x86_64", region)
        for pointer in (there.current, there.previous):
            if pointer is not None:
                build = registry.images[IMAGE].builds[pointer]
                assert build.regions[region].state is State.READY
                assert build.regions[region].verified_at == NOON


def test_channels_of_an_image_that_is_none_are_all_unset() -> None:
    assert Registry().channel("none", "x86_64", REGION) == Channels()
