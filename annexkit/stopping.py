"""SIGINT, SIGTERM and SIGHUP as an exception, so that clean-up code runs for all.

It travels as a BaseException: botocore takes any Exception that comes up while it talks
to AWS for a broken connection, and tries again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from annexkit.errors import Interrupted

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """A signal came; no ``except Exception`` on its way holds it up."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@contextmanager
def stoppable() -> Iterator[None]:
    """Stop the work on SIGINT, SIGTERM or SIGHUP, in the main thread.

    The first one stops the work and starts the clean-up, the second one stops that.
    Outside the main thread, where Python delivers no signals, nothing changes.

    :raises Interrupted: a signal came; its clean-up is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays so: that is how nohup keeps a command from SIGHUP.
    heard = [n for n in STOPS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _raise) for number in heard}
    try:
        yield
    except Stop as stop:
        raise Interrupted(
            f"stopped by {stop.name}",
            mend="if anything is left, this ends it: invoke reap",
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stop(signal.Signals(number).name)
