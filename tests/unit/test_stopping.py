"""SIGINT, SIGTERM and SIGHUP become an exception, so that clean-up code runs."""

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


def test_a_closed_terminal_stops_the_work_too() -> None:
    assert set(STOPS) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def test_what_is_ignored_stays_ignored_as_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


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


def test_what_takes_any_error_for_a_broken_connection_does_not_hold_it_up() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), stoppable():
        while True:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:  # as botocore does before it tries again
                continue
