"""How long each step of a long command took, for its report and for bench/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Laps:
    """Seconds of wall time by step name; a step entered twice adds up."""

    seconds: dict[str, float] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Count the time spent inside, also when it ends with an error."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def mark(self, name: str) -> None:
        """Remember now under *name*."""
        self.marks[name] = time.monotonic()

    def since(self, name: str) -> float:
        """Return the seconds since *name* was marked."""
        return time.monotonic() - self.marks[name]

    def rounded(self) -> dict[str, float]:
        """Return the steps with milliseconds, for JSON."""
        return {name: round(value, 3) for name, value in self.seconds.items()}
