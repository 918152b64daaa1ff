"""The time of each step is counted, also when it fails and when it comes twice."""

from __future__ import annotations

import pytest

from annexkit import laps
from annexkit.laps import Laps
from tests.unit.helpers import FakeClock


def test_a_step_entered_twice_adds_up_and_a_failed_one_counts(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(laps, "time", clock)
    found = Laps()
    for pause in (1.25, 2.0):
        with found.lap("a"):
            clock.sleep(pause)
    with pytest.raises(ZeroDivisionError), found.lap("b"):
        clock.sleep(0.12345)
        raise ZeroDivisionError
    assert found.rounded() == {"a": 3.25, "b": 0.123}
