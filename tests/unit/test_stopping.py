"""SIGINT and SIGTERM become an exception, so that clean-up code runs."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from annexkit.errors import Exit, Interrupted
from annexkit.stopping import STOPS, stoppable


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_stops_the_work_and_lets_it_clean_up(number: signal.Signals) -> None:
    cleaned = []
    with pytest.raises(Interrupted) as caught, stoppable():
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)  # the handler runs before this goes on
        finally:
            cleaned.append(True)
    assert cleaned == [True]
    assert number.name in caught.value.what
    assert "invoke reap" in caught.value.mend
    assert caught.value.exit_code == Exit.FAILED


def test_a_second_signal_stops_the_clean_up() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), stoppable():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in STOPS]
    with stoppable():
        assert [signal.getsignal(number) for number in STOPS] != before
    with pytest.raises(ZeroDivisionError), stoppable():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in STOPS] == before


def test_outside_the_main_thread_nothing_changes() -> None:
    before = [signal.getsignal(number) for number in STOPS]
    seen: list[object] = []

    def work() -> None:
        with stoppable():
            seen.extend(signal.getsignal(number) for number in STOPS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
