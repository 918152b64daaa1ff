"""SIGINT and SIGTERM as an exception, so that clean-up code runs for both."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from annexkit.errors import Interrupted

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Interrupted` in the main thread on SIGINT or SIGTERM.

    The first one stops the work and starts the clean-up, the second one stops that.
    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    raise Interrupted(
        f"stopped by {name}", mend="if anything is left, this ends it: invoke reap"
    )
