"""Waiting: at once when it can, never past its deadline, never asleep for nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.waiting import Deadline, SystemClock, wait_for
from tests.unit.helpers import FakeClock


def test_a_condition_that_holds_is_returned_without_sleeping(clock: FakeClock) -> None:
    assert wait_for(lambda: "here", what="x", timeout=9, clock=clock) == "here"
    assert clock.slept == 0


def test_the_condition_is_tried_once_even_without_time(clock: FakeClock) -> None:
    tries: list[int] = []
    with pytest.raises(Deadline):
        wait_for(lambda: tries.append(1), what="x", timeout=0, clock=clock)
    assert tries == [1]


def test_it_polls_until_the_condition_holds(clock: FakeClock) -> None:
    answers = iter([None, 0, "", "done"])
    assert (
        wait_for(lambda: next(answers), what="x", timeout=60, poll=5, clock=clock)
        == "done"
    )
    assert clock.slept == 15


def test_the_error_names_what_was_waited_for_and_the_mend(clock: FakeClock) -> None:
    with pytest.raises(Deadline) as caught:
        wait_for(lambda: None, what="rain", timeout=2.5, clock=clock, mend="dance")
    assert caught.value.what == "rain: not within 2.5 s"
    assert caught.value.mend == "dance"


def test_what_the_condition_raises_is_not_swallowed(clock: FakeClock) -> None:
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, what="x", timeout=9, clock=clock)


@given(st.floats(0, 1e4), st.floats(0.1, 1e3))
def test_the_deadline_is_kept_to_the_second_and_tried_once_more_at_it(
    timeout: float, poll: float
) -> None:
    clock, at = FakeClock(), list[float]()
    with pytest.raises(Deadline):
        wait_for(
            lambda: at.append(clock.monotonic()),
            what="x",
            timeout=timeout,
            poll=poll,
            clock=clock,
        )
    assert clock.slept == pytest.approx(timeout)
    assert at[-1] == pytest.approx(timeout)
    assert len(at) <= timeout / poll + 2


def test_the_system_clock_is_the_machines_own_plus_its_offset() -> None:
    before = time.time()
    assert 3600 <= SystemClock(offset=3600).time() - before < 3660
    assert abs(SystemClock().monotonic() - time.monotonic()) < 60
    SystemClock().sleep(0)
