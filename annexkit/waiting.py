"""Waiting for a condition, with a deadline; the only place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from annexkit.errors import AnnexkitError

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from; tests pass one of their own."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never runs backwards."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Let that many seconds pass."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The machine's own clock; ``offset`` seconds ahead for rehearsed waiting."""

    offset: float = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def monotonic(self) -> float:
        """Seconds since some fixed point."""
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)


class Deadline(AnnexkitError):
    """A condition was not met in time."""


def wait_for(
    condition: Callable[[], T | None],
    *,
    what: str,
    timeout: float,
    poll: float = 1.0,
    clock: Clock | None = None,
    mend: str = "",
) -> T:
    """Call *condition* until it returns something true, and return that.

    :param what: what is waited for, for the error message.
    :param timeout: seconds until giving up; the condition is always tried once.
    :param poll: seconds between tries.
    :raises Deadline: the time is over.
    """
    clock = clock or SystemClock()
    end = clock.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        left = end - clock.monotonic()
        if left <= 0:
            raise Deadline(f"{what}: not within {timeout:g} s", mend=mend)
        clock.sleep(min(poll, left))
