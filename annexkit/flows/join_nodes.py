"""Waiting until nodes are in the pool: one question to the collector for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from annexkit.errors import AnnexkitError
from annexkit.flows.site import Site
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool, PoolError
from annexkit.verify.pool_side import Join, by_node, join
from annexkit.waiting import Deadline, wait_for

# A question costs an eighth of a second of our processor, which nodes that boot on this
# machine (in rehearsal) would rather have.
ASK = 1.0
# A collector that never answered in this time cannot be asked from here.
UNANSWERED = 60.0


@dataclass(frozen=True)
class Joined:
    """Which nodes joined, by instance id.

    :param not_checked: why the pool could not be asked; the rest is then unknown, not
        absent. None when it answered.
    """

    joins: dict[str, Join] = field(default_factory=dict)
    not_checked: AnnexkitError | None = None

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those that are not in the pool."""
        return [one for one in ids if one not in self.joins]


def wait_joined(
    site: Site,
    pool: Pool,
    annex: str,
    ids: Iterable[str],
    *,
    timeout: float,
    on_joined: Callable[[Join], None] = lambda _: None,
) -> Joined:
    """Wait until each node has a slot in the pool, or the time is over.

    A collector that is gone for a while (it may be restarted) is waited for, unless it
    never answered at all.

    :param timeout: seconds; the collector is always asked once.
    :param on_joined: told of each node as it joins.
    """
    waiting = _Waiting(site, pool, annex, set(ids), on_joined)
    if waiting.ids:
        with suppress(Deadline):
            wait_for(
                waiting.look,
                what="the pool",
                timeout=timeout,
                poll=max(ASK, site.settings.poll),
                clock=site.clock,
            )
    return Joined(waiting.joins, waiting.trouble)


@dataclass
class _Waiting:
    site: Site
    pool: Pool
    annex: str
    ids: set[str]
    on_joined: Callable[[Join], None]
    joins: dict[str, Join] = field(default_factory=dict)
    trouble: PoolError | None = None
    answered: bool = False

    def __post_init__(self) -> None:
        self.begin = self.site.clock.monotonic()

    def look(self) -> bool:
        """Ask once; True when nothing is left to wait for."""
        try:
            slots = Collector(self.pool).slots(annex=self.annex)
        except PoolError as error:
            self.trouble = error
            return not self.answered and self._seconds() >= UNANSWERED
        self.answered, self.trouble = True, None
        for node, found in by_node(slots).items():
            if node in self.ids and node not in self.joins:
                self.joins[node] = join(node, found, self.pool, self._seconds())
                self.on_joined(self.joins[node])
        return len(self.joins) == len(self.ids)

    def _seconds(self) -> float:
        return round(self.site.clock.monotonic() - self.begin, 3)
