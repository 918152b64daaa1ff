"""What the tests of interrupted commands tried, and what was left in the end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """One line for the end of the run; *what* was interrupted, in the plural."""

    what: str = "bakes"
    tried: list[tuple[str, str, bool]] = field(default_factory=list)
    orphans: int = 0

    def add(self, moment: str, sent: str, forgot: bool, left: int) -> None:
        """Count one interruption."""
        self.tried.append((moment, sent, forgot))
        self.orphans += left

    def __str__(self) -> str:
        moments = {moment for moment, _, _ in self.tried}
        signals = {sent for _, sent, _ in self.tried}
        forgot = sum(without for _, _, without in self.tried)
        return (
            f"interrupted {self.what}: {len(self.tried)} ({len(signals)} signals, "
            f"{len(moments)} moments, {forgot} without their state folder), "
            f"orphans left after reap: {self.orphans}"
        )
