"""What may be taken and what may not; a truth table, and laws over all evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit import tags
from annexkit.journal import Entry, Process, this_process
from annexkit.sweep.find import Thing
from annexkit.sweep.judge import Evidence, Fate, judge
from tests.unit.helpers import AMI, BUILD, REGION, an_entry, build_id

NOW = 1_700_000_000.0
HOUR = 3600.0
ALIVE = this_process()
GONE = ALIVE.model_copy(update={"start_time": ALIVE.start_time - 1})
FAR = ALIVE.model_copy(update={"host": "another host"})
OTHER = build_id(99)
NAME = f"annexkit-debian13-x86_64-{BUILD}"


def ours(expires_in: float | None = HOUR, build: str = BUILD) -> dict[str, str]:
    own = {tags.BUILD: build}
    if expires_in is not None:
        own[tags.EXPIRES] = str(int(NOW + expires_in))
    return own


def thing(**changes: Any) -> Thing:
    base = Thing("image", AMI, REGION, name=NAME, created=NOW - 24 * HOUR)
    return replace(base, **changes)


def fate(one: Thing, **evidence: Any) -> Fate:
    [verdict] = judge([one], Evidence(now=NOW, **evidence))
    assert verdict.reason
    return verdict.fate


def entries(*owners: Process, **changes: object) -> tuple[Entry, ...]:
    return tuple(
        an_entry(owner, id=str(n), **changes) for n, owner in enumerate(owners)
    )


SEEN = {thing().key: NOW - 1}


@pytest.mark.parametrize(
    ("owners", "tagged", "expected"),
    [
        # entry's owners, tags of the thing, fate
        ((), ours(HOUR), Fate.LATER),
        ((), ours(0), Fate.TAKE),
        ((), ours(-HOUR), Fate.TAKE),
        ((), ours(None), Fate.KEEP),
        ((ALIVE,), ours(HOUR), Fate.KEEP),
        ((ALIVE,), ours(-HOUR), Fate.KEEP),
        ((ALIVE,), {}, Fate.KEEP),
        ((GONE,), ours(HOUR), Fate.TAKE),
        ((GONE,), ours(-HOUR), Fate.TAKE),
        ((GONE,), ours(None), Fate.KEEP),
        ((GONE,), {}, Fate.TAKE),
        ((FAR,), ours(HOUR), Fate.LATER),
        ((FAR,), ours(-HOUR), Fate.TAKE),
        ((GONE, ALIVE), ours(-HOUR), Fate.KEEP),
        ((ALIVE, GONE), ours(-HOUR), Fate.KEEP),
    ],
)
def test_the_truth_table_of_journal_and_tags(
    owners: tuple[Process, ...], tagged: dict[str, str], expected: Fate
) -> None:
    assert fate(thing(tags=tagged), entries=entries(*owners)) is expected


@pytest.mark.parametrize(
    ("created", "seen", "expected"),
    [
        (NOW - 24 * HOUR, {}, Fate.LATER),  # the first time we see it
        (NOW - 24 * HOUR, {thing().key: NOW}, Fate.LATER),  # seen by this reap only
        (NOW - 24 * HOUR, SEEN, Fate.TAKE),
        (NOW - HOUR, SEEN, Fate.LATER),  # younger than two hours
        (NOW - 2 * HOUR, SEEN, Fate.TAKE),
        (None, SEEN, Fate.LATER),  # age counts from when it was first seen
        (None, {thing().key: NOW - 2 * HOUR}, Fate.TAKE),
    ],
)
def test_the_truth_table_of_what_carries_our_name_only(
    created: float | None, seen: dict[str, float], expected: Fate
) -> None:
    assert fate(thing(created=created), seen=seen, min_age=2 * HOUR) is expected


def test_an_image_that_is_still_being_made_is_not_taken_for_its_age() -> None:
    assert fate(thing(state="pending"), seen=SEEN) is Fate.LATER
    assert fate(thing(state="available"), seen=SEEN) is Fate.TAKE


def test_an_image_in_the_registry_is_kept_whatever_its_tags() -> None:
    held = frozenset({(REGION, AMI)})
    old = thing(tags=ours(-HOUR))
    assert fate(old, registered=held) is Fate.KEEP
    assert fate(old, registered=held, entries=entries(GONE)) is Fate.KEEP
    assert fate(replace(old, region="us-east-1"), registered=held) is Fate.TAKE


def test_an_untagged_thing_belongs_to_the_entry_whose_build_it_is_named_for() -> None:
    pair = thing(kind="key-pair", id="key-1", name=f"annexkit-{BUILD}-prove")
    assert fate(pair, entries=entries(ALIVE)) is Fate.KEEP
    assert fate(pair, entries=entries(GONE)) is Fate.TAKE
    assert fate(replace(pair, name="annexkit-x"), entries=entries(GONE)) is Fate.LATER


def test_an_entry_of_another_region_or_build_says_nothing() -> None:
    one = thing(tags=ours(HOUR))
    assert fate(one, entries=entries(GONE, region="us-east-1")) is Fate.LATER
    assert fate(one, entries=entries(GONE, build=OTHER, ami_name="")) is Fate.LATER


def test_an_entry_without_a_build_owns_nothing() -> None:
    assert fate(thing(), entries=entries(GONE, build="", ami_name="")) is Fate.LATER


def test_verdicts_come_in_order_with_age_and_reason() -> None:
    things = [thing(id="ami-1"), thing(id="ami-2", created=None)]
    first, second = judge(things, Evidence(now=NOW))
    assert (first.thing.id, first.age) == ("ami-1", 24 * HOUR)
    assert (second.thing.id, second.age) == ("ami-2", None)


def test_an_age_is_never_negative() -> None:
    [verdict] = judge([thing(created=NOW + 60)], Evidence(now=NOW))
    assert verdict.age == 0


@pytest.mark.parametrize(
    ("left", "words"),
    [(90, "in 90 s"), (600, "in 10 min"), (4 * HOUR, "in 4 h"), (72 * HOUR, "in 3 d")],
)
def test_reasons_speak_of_time_in_words(left: float, words: str) -> None:
    [verdict] = judge([thing(tags=ours(left))], Evidence(now=NOW))
    assert verdict.reason.endswith(words)


expiries = st.one_of(
    st.just(None),
    st.sampled_from(["", "soon", "-inf", "nan"]),
    st.integers(-10_000, 10_000).map(lambda offset: str(int(NOW) + offset)),
)


@st.composite
def things(draw: st.DrawFn) -> Thing:
    build = draw(st.sampled_from([BUILD, OTHER, ""]))
    own = {tags.BUILD: build} if build else {}
    if (expires := draw(expiries)) is not None:
        own[tags.EXPIRES] = expires
    return thing(
        kind=draw(st.sampled_from(["instance", "image", "snapshot", "key-pair"])),
        region=draw(st.sampled_from([REGION, "us-east-1"])),
        name=draw(st.sampled_from([NAME, f"annexkit-{OTHER}", "annexkit-x", ""])),
        state=draw(st.sampled_from(["pending", "available", ""])),
        created=draw(st.none() | st.floats(NOW - 9 * HOUR, NOW + HOUR)),
        tags=own,
    )


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    def an(number: int) -> Entry:
        return an_entry(
            draw(st.sampled_from([ALIVE, GONE, FAR])),
            id=str(number),
            region=draw(st.sampled_from([REGION, "us-east-1"])),
            build=draw(st.sampled_from([BUILD, OTHER])),
            ami_name=draw(st.sampled_from([NAME, ""])),
        )

    regions = st.sampled_from([REGION, "us-east-1"])
    return Evidence(
        now=NOW,
        entries=tuple(an(n) for n in range(draw(st.integers(0, 3)))),
        registered=draw(st.frozensets(st.tuples(regions, st.just(AMI)))),
        seen=draw(
            st.dictionaries(
                st.sampled_from([thing().key, thing(kind="instance").key]),
                st.floats(NOW - 9 * HOUR, NOW),
            )
        ),
        min_age=draw(st.sampled_from([0.0, 2 * HOUR])),
    )


def owners(one: Thing, known: Evidence) -> list[Process]:
    """Return the owners of the thing's entries, found by the plainest rule."""
    return [
        entry.owner
        for entry in known.entries
        if entry.region == one.region
        and (one.tags.get(tags.BUILD) or one.name).find(entry.build) >= 0
    ]


@given(things(), evidence())
def test_what_a_live_bake_owns_is_never_taken(one: Thing, known: Evidence) -> None:
    if ALIVE in owners(one, known):
        assert judge([one], known)[0].fate is Fate.KEEP


@given(things(), evidence())
def test_what_the_registry_proves_is_never_taken(one: Thing, known: Evidence) -> None:
    if (one.region, one.id) in known.registered:
        assert judge([one], known)[0].fate is Fate.KEEP


@given(things(), evidence())
def test_our_tags_without_an_expiry_are_never_taken(
    one: Thing, known: Evidence
) -> None:
    if one.tags and tags.expiry(one.tags) is None:
        assert judge([one], known)[0].fate is Fate.KEEP


@given(things(), evidence())
def test_before_its_expiry_only_a_dead_bakes_thing_is_taken(
    one: Thing, known: Evidence
) -> None:
    expires = tags.expiry(one.tags)
    known = replace(known, entries=tuple(e for e in known.entries if e.owner != GONE))
    if expires is not None and expires > NOW:
        assert judge([one], known)[0].fate is not Fate.TAKE


@given(things(), evidence())
def test_untagged_and_unknown_to_the_journal_needs_age_and_two_looks(
    one: Thing, known: Evidence
) -> None:
    known = replace(known, entries=())
    if not one.tags and judge([one], known)[0].fate is Fate.TAKE:
        since = one.created if one.created is not None else known.seen[one.key]
        assert known.seen[one.key] < NOW
        assert NOW - since >= known.min_age


@given(st.lists(things(), max_size=5), evidence())
def test_judging_twice_or_one_by_one_gives_the_same(
    many: list[Thing], known: Evidence
) -> None:
    first = judge(many, known)
    assert judge(many, known) == first
    assert [judge([one], known)[0] for one in many] == first
