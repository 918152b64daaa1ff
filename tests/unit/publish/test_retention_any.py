"""For any history: what is never chosen, and what two runs have to agree on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from annexkit import tags
from annexkit.publish.keep_rule import KeepRule
from annexkit.publish.retention import (
    DAY,
    ENDING,
    Copy,
    Evidence,
    Place,
    Seen,
    Step,
    Terms,
    Verdict,
    judge,
)
from annexkit.registry import State

NOW = 1_800_000_000.0
REGIONS = ("us-west-2", "us-east-1")
POINTED = st.sampled_from(("current", "previous", "candidate"))

NIGHTS = (0, 1, 14, 90)
# Most are older than any rule below keeps, so that there is something to choose.
EDGES = (0, 1, 12, 23, 24, 24 * 13 + 12, 24 * 14, 24 * 89 + 12, 24 * 90)
hours = st.one_of(st.integers(-24, 24 * 400), st.sampled_from(EDGES))
ages = hours.map(lambda hours: NOW - hours * 3600)
moments = st.one_of(st.none(), ages)
odd = st.integers(0, 19).map(lambda number: number == 13)
counts = st.sampled_from((0, 0, 0, 1, 2, 8))
STAGES = (*["new"] * 4, *["deprecated"] * 3, *["disabled"] * 2, "pending")


@st.composite
def a_seen(draw: st.DrawFn, build: str) -> Seen | None:
    """An AMI as EC2 shows it: mostly an ordinary one, however far it came."""
    if draw(odd):
        return None
    own = {} if draw(odd) else {tags.BUILD: build}
    if draw(odd):
        own[tags.EXPIRES] = "1700000000"
    stage = draw(st.sampled_from(STAGES))
    if stage != "new" and draw(st.booleans()):
        own[tags.RETIRING] = str(int(max(0.0, draw(ages))))
    return Seen(
        state=stage if stage in ("disabled", "pending") else "available",
        tags=own,
        deprecated_at=draw(ages) if stage == "deprecated" else None,
        last_launched=draw(moments) if draw(odd) else None,
        protected=draw(odd),
        public=draw(odd),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Copy]:
    """Builds of some images, each in one region or both."""
    copies = []
    for number in range(draw(st.sampled_from((0, 1, 3, 5, 7, 9)))):
        build = f"20230101T000000-{number:06x}"
        created = draw(ages)
        image = draw(st.sampled_from(("debian13", "debian13", "alma9")))
        for at in draw(st.sampled_from(((0,), (0,), (1,), (0, 1)))):
            said = draw(a_seen(build))
            state = draw(st.sampled_from((*[State.READY] * 12, *State)))
            ami = f"ami-{number:016x}{at}"
            copies.append(
                Copy(image, "x86_64", REGIONS[at], build, ami, created, state, said)
            )
    return copies


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Copy], Terms, Evidence]:
    copies = draw(histories())
    builds = sorted({copy.build for copy in copies})
    places = [copy.place for copy in copies]

    def some(all_of: list[Any]) -> list[Any]:
        return [one for one in all_of if draw(st.integers(0, 3)) == 3]

    nights = draw(st.sampled_from(NIGHTS))
    terms = Terms(
        KeepRule(nights, *draw(st.tuples(counts, counts, counts))),
        grace=draw(st.sampled_from((1, 14))) * DAY,
        disabled=draw(st.sampled_from((1, 7))) * DAY,
        most=draw(st.sampled_from((1, 2, 40, 40))),
    )
    evidence = Evidence(
        NOW,
        channels={b: f"{draw(POINTED)} in us-west-2" for b in some(builds)},
        uses=dict.fromkeys(some(places), (("instances", "it runs"),)),
        pool=dict.fromkeys(some(builds), "a slot advertises it"),
        pool_unknown=draw(st.sampled_from(("", "", "no pool is named"))),
    )
    return copies, terms, evidence


def chosen(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.step in ENDING]


def taken(verdict: Verdict) -> Copy | None:
    """Return an AMI after a step, as EC2 shows it; None when nothing is left."""
    copy, seen = verdict.copy, verdict.copy.seen
    if verdict.step in (Step.DEREGISTER, Step.CLEAR):
        return None
    if seen is None:
        return copy
    mark = {**seen.tags, tags.RETIRING: str(int(NOW))}
    if verdict.step is Step.DEPRECATE:
        seen = replace(seen, tags=mark, deprecated_at=NOW + 60)
    elif verdict.step is Step.DISABLE:
        seen = replace(seen, tags=mark, state="disabled")
    elif verdict.step is Step.RESTORE:
        own = {k: v for k, v in seen.tags.items() if k != tags.RETIRING}
        seen = replace(seen, tags=own, state="available", deprecated_at=None)
    return replace(copy, seen=seen)


def after(verdicts: Iterable[Verdict]) -> list[Copy]:
    return [copy for copy in map(taken, verdicts) if copy is not None]


@given(worlds())
def test_nothing_in_use_pointed_at_or_young_is_chosen(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    copies, terms, evidence = world
    for verdict in chosen(judge(copies, terms, evidence)):
        copy, seen = verdict.copy, verdict.copy.seen
        if seen is None:  # gone already: what is cleared are leftovers and a record
            assert verdict.step is Step.CLEAR
            if copy.state is not State.RETIRED:
                assert copy.build not in evidence.channels
                assert NOW - copy.created >= max(terms.rule.nights, 1) * DAY
            continue
        assert copy.build not in evidence.channels
        assert copy.place not in evidence.uses
        assert copy.build not in evidence.pool
        assert not seen.public and not seen.protected
        assert seen.tags[tags.BUILD] == copy.build and tags.EXPIRES not in seen.tags
        assert copy.state in (State.READY, State.FAILED)
        assert NOW - copy.created >= terms.rule.nights * DAY
        if evidence.pool_unknown:
            assert verdict.step is Step.DEPRECATE
        check_stage(verdict.step, seen, terms)


def check_stage(step: Step, seen: Seen, terms: Terms) -> None:
    """No stage is left out, and none is shorter than the terms say."""
    if step is Step.DEREGISTER:
        assert seen.disabled and seen.step_at is not None
        assert NOW - seen.step_at >= terms.disabled
    elif step is Step.DISABLE and not seen.disabled:
        assert seen.deprecated_at is not None
        assert NOW - seen.deprecated_at >= terms.grace


def wanted(copies: list[Copy], rule: KeepRule, now: float) -> set[Place]:
    """Say in another way what the weeks, months and builds of a rule keep."""
    today = datetime.fromtimestamp(now, UTC)
    monday = today.date() - timedelta(days=today.weekday(), weeks=rule.weeks - 1)
    months = {(today.year * 12 + today.month - 1 - n) for n in range(rule.months)}
    found: set[Place] = set()
    for image, region in {(c.image, c.region) for c in copies}:
        good = sorted(
            (c for c in copies if (c.image, c.region) == (image, region)),
            key=lambda c: c.order,
        )
        good = [c for c in good if c.state is State.READY and c.seen]
        found |= {c.place for c in good[::-1][: rule.builds]}
        by_week: dict[tuple[int, int], Copy] = {}
        by_month: dict[int, Copy] = {}
        for copy in good:  # the later ones take the place of the earlier
            made = datetime.fromtimestamp(copy.created, UTC)
            if rule.weeks and made.date() >= monday:
                by_week[made.isocalendar()[:2]] = copy
            month = made.year * 12 + made.month - 1
            if month in months or (rule.months and made > today):
                by_month[month] = copy
        found |= {c.place for c in (*by_week.values(), *by_month.values())}
    return found


@given(worlds())
def test_what_the_weeks_months_and_builds_want_stays(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    copies, terms, evidence = world
    gone = {verdict.copy.place for verdict in chosen(judge(copies, terms, evidence))}
    assert not gone & wanted(copies, terms.rule, NOW)


@given(worlds())
def test_nothing_else_stays_without_a_reason_that_is_so(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    """What is kept by the rule is what the rule wants: nothing piles up."""
    copies, terms, evidence = world
    by_rule = {terms.rule.clause(unit) for unit in ("weeks", "months", "builds")}
    for verdict in judge(copies, terms, evidence):
        if verdict.step not in (Step.KEEP, Step.RESTORE):
            continue
        if verdict.by in by_rule:
            assert verdict.copy.place in wanted(copies, terms.rule, NOW)
        if verdict.by == terms.rule.clause("nights"):
            assert NOW - verdict.copy.created < terms.rule.nights * DAY


@given(worlds(), st.randoms())
def test_the_same_is_chosen_whatever_the_order(
    world: tuple[list[Copy], Terms, Evidence], random: object
) -> None:
    copies, terms, evidence = world
    mixed = list(copies)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert judge(mixed, terms, evidence) == judge(copies, terms, evidence)


@given(worlds())
def test_every_ami_has_one_verdict_a_rule_and_a_reason(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    copies, terms, evidence = world
    verdicts = judge(copies, terms, evidence)
    assert sorted(v.copy.place for v in verdicts) == sorted(c.place for c in copies)
    assert all(v.reason for v in verdicts)
    assert all(v.by or not str(terms.rule) for v in verdicts)


@given(worlds())
def test_the_cap_is_kept_and_the_oldest_go_first(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    copies, terms, evidence = world
    now = chosen(judge(copies, terms, evidence))
    everything = chosen(judge(copies, replace(terms, most=9999), evidence))
    assert len(now) == min(terms.most, len(everything))
    assert now == everything[: len(now)]
    later = everything[len(now) :]
    for one in now:
        assert all(one.copy.created <= other.copy.created for other in later)


@given(worlds())
def test_a_second_run_chooses_nothing_new(
    world: tuple[list[Copy], Terms, Evidence],
) -> None:
    """Only what the cap kept back; and once all had their turn, nothing."""
    copies, terms, evidence = world
    everything = chosen(judge(copies, replace(terms, most=9999), evidence))
    known = {(v.copy.place, v.step) for v in everything}
    verdicts = judge(copies, terms, evidence)
    done = {v.copy.place for v in chosen(verdicts)}
    again = chosen(judge(after(verdicts), terms, evidence))
    assert {(v.copy.place, v.step) for v in again} <= known
    assert not {v.copy.place for v in again} & done
    full = judge(copies, replace(terms, most=9999), evidence)
    last = judge(after(full), replace(terms, most=9999), evidence)
    assert chosen(last) == []
    assert [v for v in last if v.step is Step.RESTORE] == []


@given(histories(), st.integers(1, 8), st.integers(1, 30))
def test_no_night_takes_what_a_later_night_keeps_by_weeks(
    copies: list[Copy], weeks: int, nights: int
) -> None:
    """The newest of a week that is over was never let go before, whatever the night."""
    terms = Terms(KeepRule(1, weeks), grace=DAY, disabled=DAY, most=9999)
    good = [
        replace(c, state=State.READY, seen=Seen(tags={tags.BUILD: c.build}))
        for c in copies
    ]
    end = NOW + nights * DAY
    over = {c.place for c in good if c.created < NOW - 7 * DAY}
    later = wanted(good, terms.rule, end) & over
    for night in range(nights):
        now = NOW + night * DAY
        there = [c for c in good if c.created <= now]
        gone = {v.copy.place for v in chosen(judge(there, terms, Evidence(now)))}
        assert not gone & later
