"""What came of a launch: the batches, their ids, and what AWS said on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from annexkit.errors import AnnexkitError, Finding, Level
from annexkit.launch.answers import Ruling
from annexkit.launch.capacity import Closed
from annexkit.launch.target import Target
from annexkit.launch.words import stamp


@dataclass
class Batch:
    """One client token: what was asked with it, and what is known to come of it.

    ``settled``: all that the token made is in ``ids``. Until then there may be more,
    and only the token finds it.
    """

    token: str
    target: Target
    asked: int
    ids: list[str] = field(default_factory=list)
    settled: bool = False

    def keep(self, ids: Iterable[str]) -> None:
        """Add ids that are not known yet."""
        self.ids += [found for found in dict.fromkeys(ids) if found not in self.ids]

    def settle(self, ids: Iterable[str]) -> None:
        """Add the last ids: nothing more can come of the token."""
        self.keep(ids)
        self.settled = True


@dataclass
class Launched:
    """What one launch has so far; it grows while the launch runs.

    ``errors`` counts AWS's answers by code. ``stopped_by`` is what ended the launch
    before its time; None when it went through all targets.
    """

    wanted: int
    batches: list[Batch] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    rulings: dict[str, Ruling] = field(default_factory=dict)
    skipped: dict[Target, Closed] = field(default_factory=dict)
    stopped_by: AnnexkitError | None = None

    @property
    def ids(self) -> list[str]:
        """The ids of all instances that are known, in the order of their batches."""
        return [found for batch in self.batches for found in batch.ids]

    @property
    def missing(self) -> int:
        """How many nodes of those wanted are not known to be launched."""
        return max(0, self.wanted - sum(len(batch.ids) for batch in self.batches))

    @property
    def unsettled(self) -> list[Batch]:
        """The batches of which more may come; their tokens find it."""
        return [batch for batch in self.batches if not batch.settled]

    def by_market(self) -> dict[str, int]:
        """Return how many instances were launched, by ``type/market``."""
        counts: Counter[str] = Counter()
        for batch in self.batches:
            counts[batch.target.priced_as] += len(batch.ids)
        return {name: count for name, count in sorted(counts.items()) if count}

    def begin(self, batch: Batch) -> Batch:
        """Take a batch in ahead of its first call."""
        self.batches.append(batch)
        return batch

    def note(self, said: Ruling) -> None:
        """Count one answer of AWS."""
        self.errors[said.code] += 1
        self.rulings[said.code] = said

    def findings(self) -> list[Finding]:
        """Say what is wrong, for people: each code once, with its mend."""
        found = [
            Finding(
                Level.WARNING,
                f"{said.says} ({said.code}, {self.errors[code]} times)",
                "RunInstances",
                said.mend,
            )
            for code, said in self.rulings.items()
        ]
        found += [
            Finding(
                Level.INFO,
                f"{target} was left alone: {closed.code}",
                "capacity",
                f"it is asked for again after {stamp(closed.until)}",
            )
            for target, closed in self.skipped.items()
            if self.missing
        ]
        found += [
            Finding(
                Level.ERROR,
                f"up to {batch.asked} instances may have been launched unseen",
                f"client token {batch.token}",
                "they end by themselves; at once: invoke reap",
            )
            for batch in self.unsettled
        ]
        return found + (list(self.stopped_by.findings) if self.stopped_by else [])
