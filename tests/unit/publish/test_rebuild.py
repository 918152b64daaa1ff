"""When a build is made anew though its input is the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.publish.packages import Kind, kind_of
from annexkit.publish.rebuild import by_importance, rebuild_reason

DAY = 86_400
WEEK = 7 * DAY


@dataclass(frozen=True)
class Update:
    name: str
    installed: str = "1"
    offered: str = "2"


@dataclass(frozen=True)
class Updates:
    found: tuple[Update, ...] = ()
    unchecked: tuple[str, ...] = ()


def updates(*names: str, unchecked: tuple[str, ...] = ()) -> Updates:
    return Updates(tuple(map(Update, names)), unchecked)


def test_one_update_is_a_reason_however_young_the_build() -> None:
    assert rebuild_reason(updates("zstd"), 0, WEEK) == "updates: zstd 1 -> 2"


def test_the_most_important_are_named_and_the_rest_is_counted() -> None:
    found = updates(
        *("adduser", "podman", "condor", "zstd", "linux-image-cloud-amd64", "curl")
    )
    assert rebuild_reason(found, WEEK, DAY) == (
        "updates: condor 1 -> 2, linux-image-cloud-amd64 1 -> 2, podman 1 -> 2, 3 more"
    )


def test_updates_are_the_reason_even_if_there_may_be_more() -> None:
    found = updates("curl", unchecked=("a mirror is down",))
    assert rebuild_reason(found, 9 * DAY, WEEK) == "updates: curl 1 -> 2"


@pytest.mark.parametrize(
    ("unchecked", "days", "rule", "expected"),
    [
        ((), 99, WEEK, ""),
        (("no mirror",), 7, WEEK, ""),
        (
            ("no mirror",),
            8,
            WEEK,
            "8 days old and updates not checked (no mirror); "
            "nightly.rebuild_after is 7d",
        ),
        (
            ("no mirror", "x", "y"),
            1,
            DAY / 2,
            "1 day old and updates not checked (no mirror, 2 more); "
            "nightly.rebuild_after is 0.5d",
        ),
    ],
)
def test_what_was_not_checked_makes_age_the_rule(
    unchecked: tuple[str, ...], days: int, rule: float, expected: str
) -> None:
    assert rebuild_reason(updates(unchecked=unchecked), days * DAY, rule) == expected


@given(
    st.lists(st.sampled_from(["condor", "kernel", "runc", "curl", "a"]), unique=True),
    st.lists(st.text(min_size=1), max_size=3),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
)
def test_there_is_a_reason_exactly_if_the_rule_says_so(
    names: list[str], unchecked: list[str], age: float, rule: float
) -> None:
    found = updates(*names, unchecked=tuple(unchecked))
    reason = rebuild_reason(found, age, rule)
    assert bool(reason) == bool(names or (unchecked and age > rule))
    kinds = [kind_of(one.name) for one in by_importance(found.found)]
    assert kinds == sorted(kinds, key=list(Kind).index)
