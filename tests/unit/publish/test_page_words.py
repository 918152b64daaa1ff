from __future__ import annotations

import doctest
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.publish import page_packages, page_words
from annexkit.publish.page_words import is_command, money, plain, span, took


@pytest.mark.parametrize("module", [page_words, page_packages])
def test_the_examples_of_the_docstrings_hold(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


@given(st.text(st.characters(codec=None)), st.integers(2, 50))
def test_text_of_others_becomes_one_line_that_can_be_written(
    text: str, most: int
) -> None:
    said = plain(text, most)
    assert len(said) <= most
    assert said.isprintable()
    said.encode("utf-8")
    assert plain(said, most) == said


def test_what_turns_the_direction_of_writing_is_shown() -> None:
    assert plain("a\u202eb\x00\x1b[31m\tc\r\nd\u2003e\ud800") == "a�b��[31m c d e�"


def test_a_cut_is_seen() -> None:
    assert plain("abc def", 5) == "abc…"
    assert plain("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *[(0, "0 s"), (-1, "0 s"), (0.44, "0.4 s"), (1, "1 s"), (9.94, "9.9 s")],
        *[(9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min 1 s")],
        *[(3599.7, "1 h"), (3720, "1 h 2 min"), (7200, "2 h")],
    ],
)
def test_time_spans_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert took(seconds) == said


def test_what_costs_something_is_not_shown_as_nothing() -> None:
    assert [money(x) for x in (0, 0.004, 0.01, 1234.5)] == [
        *("$0.00", "less than $0.01", "$0.01", "$1,234.50")
    ]


def test_moments_are_shown_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    began = datetime(2026, 11, 23, 8, 59, tzinfo=east)
    assert span(began, None) == "since 2026-11-22 23:59 UTC"
    assert span(began, began + timedelta(seconds=30)) == (
        "2026-11-22 23:59 to 23:59 UTC (30 s)"
    )
    assert span(began, began + timedelta(minutes=2)) == (
        "2026-11-22 23:59 to 2026-11-23 00:01 UTC (2 min)"
    )


@pytest.mark.parametrize(
    ("mend", "expected"),
    [
        ("invoke retire", True),
        ("aws ec2 describe-images --region x", True),
        ("export INVOKE_ANNEXKIT_REGISTRY=mine.json", True),
        ("see the log, then: invoke bake", False),
        ("invoked twice", False),
        ("", False),
    ],
)
def test_a_command_is_told_from_a_sentence(mend: str, expected: bool) -> None:
    assert is_command(mend) is expected
