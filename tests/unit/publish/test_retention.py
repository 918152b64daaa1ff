"""Which step is next for an AMI, and why: one case each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from annexkit import tags
from annexkit.publish.keep_rule import KeepRule, parse
from annexkit.publish.retention import (
    Copy,
    Evidence,
    Seen,
    Step,
    Terms,
    Verdict,
    judge,
)
from annexkit.registry import State

DAY = 86_400
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()  # a Monday
TERMS = Terms(parse("14 nights, 8 weeks, current always"), 14 * DAY, 7 * DAY, 20)
OLD = 100.0


def a_copy(age: float, number: int = 1, **changes: object) -> Copy:
    build = f"20230101T000000-{number:06x}"
    said = Seen(tags={tags.BUILD: build}, size=2.0)
    copy = Copy(
        "debian13", "x86_64", "us-west-2", build, f"ami-{number:017x}",
        NOW - age * DAY, seen=said,
    )  # fmt: skip
    return replace(copy, **changes)  # type: ignore[arg-type]


def seen(copy: Copy, **changes: object) -> Copy:
    assert copy.seen is not None
    own = dict(copy.seen.tags) | dict(changes.pop("more", {}))  # type: ignore[call-overload]
    return replace(copy, seen=replace(copy.seen, tags=own, **changes))  # type: ignore[arg-type]


def marked(copy: Copy, days_ago: float, **changes: object) -> Copy:
    mark = {tags.RETIRING: str(int(NOW - days_ago * DAY))}
    return seen(copy, more=mark, **changes)


def one(copy: Copy, terms: Terms = TERMS, **known: object) -> Verdict:
    (verdict,) = judge([copy], terms, Evidence(NOW, **known))  # type: ignore[arg-type]
    return verdict


def deprecated(days_ago: float, copy: Copy | None = None) -> Copy:
    return marked(copy or a_copy(OLD), days_ago, deprecated_at=NOW - days_ago * DAY)


def disabled(days_ago: float) -> Copy:
    return marked(deprecated(30), days_ago, state="disabled")


def test_what_is_younger_than_the_nights_stays() -> None:
    verdict = one(a_copy(13.9))
    assert (verdict.step, verdict.by) == (Step.KEEP, "14 nights")
    assert verdict.reason == "13 days old"


def test_the_newest_of_each_week_stays_and_the_others_do_not() -> None:
    monday, sunday, older = a_copy(27.9, 1), a_copy(22, 2), a_copy(29, 3)
    by = {v.copy.build: v for v in judge([monday, sunday, older], TERMS, Evidence(NOW))}
    assert by[sunday.build].by == by[older.build].by == "8 weeks"
    assert by[sunday.build].reason == "the newest of 2026-W44"
    assert by[older.build].reason == "the newest of 2026-W43"
    assert by[monday.build].step is Step.DEPRECATE
    assert "no part of the rule keeps it" in by[monday.build].reason
    assert by[monday.build].by == str(TERMS.rule)


def test_weeks_are_counted_with_this_one() -> None:
    first = 7 * 7 + 0.5  # days to Monday 0:00 of the seventh week before this one
    assert one(a_copy(first)).by == "8 weeks"
    assert one(a_copy(first + 0.1)).step is Step.DEPRECATE


def test_months_and_builds_count_too() -> None:
    terms = replace(TERMS, rule=KeepRule(months=2, builds=1))
    copies = [a_copy(20, 1), a_copy(25, 2), a_copy(40, 3), a_copy(60, 4)]
    said = {v.copy.build: (v.step, v.by) for v in judge(copies, terms, Evidence(NOW))}
    assert list(said.values()) == [
        (Step.DEPRECATE, "2 months, 1 build"),
        (Step.DEPRECATE, "2 months, 1 build"),
        (Step.KEEP, "2 months"),
        (Step.KEEP, "1 build"),
    ]


def test_images_architectures_and_regions_do_not_stand_for_each_other() -> None:
    copies = [
        a_copy(30, 1),
        a_copy(29, 2, image="alma9"),
        a_copy(29, 3, arch="arm64"),
        a_copy(29, 4, region="us-east-1"),
    ]
    assert {v.by for v in judge(copies, TERMS, Evidence(NOW))} == {"8 weeks"}


def test_what_failed_or_is_gone_stands_for_no_week() -> None:
    good = a_copy(30, 1)
    failed = a_copy(29, 2, state=State.FAILED)
    gone = a_copy(28.6, 3, seen=None)
    by = {v.copy.build: v for v in judge([good, failed, gone], TERMS, Evidence(NOW))}
    assert by[good.build].by == "8 weeks"
    assert by[failed.build].step is Step.DEPRECATE
    assert by[gone.build].step is Step.CLEAR


@pytest.mark.parametrize(
    ("pointed", "by"),
    [("current in eu-west-1", "current always"), ("previous in us-west-2", "channels")],
)
def test_what_a_channel_of_any_region_points_at_stays(pointed: str, by: str) -> None:
    copy = a_copy(OLD)
    verdict = one(copy, channels={copy.build: pointed})
    assert (verdict.step, verdict.by) == (Step.KEEP, by)
    assert verdict.reason == f"it is {pointed}"


@pytest.mark.parametrize(
    ("copy", "by"),
    [
        (seen(a_copy(OLD), more={tags.BUILD: "another"}), "tag"),
        (a_copy(OLD, seen=Seen()), "tag"),
        (seen(a_copy(OLD), more={tags.EXPIRES: "1700000000"}), "unproved"),
        (a_copy(OLD, state=State.PENDING), "unproved"),
        (a_copy(OLD, state=State.SKIPPED), "unproved"),
        (a_copy(OLD, state=State.RETIRED), "registry"),
        (seen(a_copy(OLD), state="pending"), "state"),
        (seen(a_copy(OLD), public=True), "sharing"),
        (seen(a_copy(OLD), protected=True), "protection"),
        (seen(a_copy(OLD), last_launched=NOW - 13 * DAY), "launched"),
    ],
)
def test_what_is_not_ours_to_end_stays(copy: Copy, by: str) -> None:
    verdict = one(copy)
    assert (verdict.step, verdict.by) == (Step.KEEP, by)


@pytest.mark.parametrize("copy", [a_copy(OLD), deprecated(15), disabled(8)])
def test_what_is_in_use_stays_at_every_stage(copy: Copy) -> None:
    uses = {copy.place: (("instances", "i-1 runs"), ("lease", "grid"))}
    verdict = one(copy, uses=uses)
    assert (verdict.step, verdict.by) == (Step.KEEP, "instances")
    assert verdict.reason == "i-1 runs; grid"
    verdict = one(copy, pool={copy.build: "2 slots in the pool advertise it"})
    assert (verdict.step, verdict.by) == (Step.KEEP, "pool")


def test_a_launch_longer_ago_than_the_grace_does_not_count() -> None:
    copy = seen(deprecated(15), last_launched=NOW - 14.1 * DAY)
    assert one(copy).step is Step.DISABLE


@pytest.mark.parametrize(
    ("copy", "step", "says"),
    [
        (a_copy(OLD), Step.DEPRECATE, "no part of the rule keeps it"),
        # what the last run asked for begins with the next minute
        (deprecated(-100 / DAY), Step.WAIT, "deprecated since"),
        (deprecated(13.9), Step.WAIT, "deprecated since"),
        (deprecated(14), Step.DISABLE, "its grace is over"),
        (disabled(6.9), Step.WAIT, "disabled since"),
        (disabled(7), Step.DEREGISTER, "it was disabled long enough"),
        # a year ahead is another's plan for it; the rule does not wait for that
        (seen(a_copy(OLD), deprecated_at=NOW + 365 * DAY), Step.DEPRECATE, "no part"),
        # without our mark nobody knows since when: the wait begins anew
        (seen(a_copy(OLD), state="disabled"), Step.DISABLE, "not by us"),
        (seen(disabled(9), more={tags.RETIRING: "soon"}), Step.DISABLE, "not by us"),
    ],
)
def test_the_stages_follow_what_ec2_says(copy: Copy, step: Step, says: str) -> None:
    verdict = one(copy)
    assert verdict.step is step
    assert says in verdict.reason


def test_a_pool_that_was_not_asked_holds_what_ends_launches_only() -> None:
    assert one(a_copy(OLD), pool_unknown="no pool is named").step is Step.DEPRECATE
    for copy in (deprecated(15), disabled(8)):
        verdict = one(copy, pool_unknown="no pool is named")
        assert (verdict.step, verdict.by) == (Step.WAIT, "pool")
        assert verdict.reason == "no pool is named"


@pytest.mark.parametrize(
    ("copy", "was"), [(deprecated(15), "deprecated"), (disabled(8), "disabled")]
)
def test_what_is_wanted_again_is_restored(copy: Copy, was: str) -> None:
    verdict = one(copy, channels={copy.build: "current in us-west-2"})
    assert verdict.step is Step.RESTORE
    assert verdict.reason.endswith(f"we had {was} it")
    terms = replace(TERMS, rule=KeepRule(builds=1))
    assert one(copy, terms).step is Step.RESTORE


def test_what_somebody_else_deprecated_is_left_as_it_is() -> None:
    copy = seen(a_copy(1), deprecated_at=NOW - DAY)
    assert one(copy).step is Step.KEEP


def test_what_ec2_does_not_have_is_told_or_cleared() -> None:
    gone = a_copy(OLD, seen=None)
    verdict = one(gone, channels={gone.build: "previous in us-west-2"})
    assert (verdict.step, verdict.by) == (Step.KEEP, "missing")
    assert one(a_copy(13, seen=None)).by == "missing"
    nothing = replace(TERMS, rule=KeepRule())
    assert one(a_copy(0.9, seen=None), nothing).by == "missing"
    assert one(a_copy(1.1, seen=None), nothing).step is Step.CLEAR
    assert one(gone).step is Step.CLEAR
    left = replace(gone, state=State.RETIRED, left=("snap-1",), left_size=3.0)
    verdict = one(left)
    assert (verdict.step, verdict.copy.size) == (Step.CLEAR, 3.0)
    assert "left over: snap-1" in verdict.reason


def test_one_run_takes_the_oldest_up_to_its_cap() -> None:
    copies = [a_copy(OLD + n, n) for n in range(1, 6)] + [a_copy(1, 9)]
    verdicts = judge(copies, replace(TERMS, most=2), Evidence(NOW))
    assert [v.step for v in verdicts] == [
        *(Step.DEPRECATE, Step.DEPRECATE, Step.WAIT, Step.WAIT, Step.WAIT, Step.KEEP)
    ]
    assert [v.copy.build[-1] for v in verdicts] == list("543219")
    assert verdicts[2].by == "cap"
    assert verdicts[2].reason == "its turn to deprecate comes later: 2 steps a run"


def test_what_is_restored_or_kept_needs_no_place_under_the_cap() -> None:
    again = deprecated(15, a_copy(OLD + 9, 1))
    copies = [again, a_copy(OLD, 2)]
    known = Evidence(NOW, channels={again.build: "current in us-west-2"})
    verdicts = judge(copies, replace(TERMS, most=1), known)
    assert [v.step for v in verdicts] == [Step.RESTORE, Step.DEPRECATE]
