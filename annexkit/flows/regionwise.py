"""The same work in several regions at once; one that fails stops no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Generic, TypeVar

from annexkit.errors import AnnexkitError, Exit, Interrupted
from annexkit.flows.site import Site
from annexkit.laps import Laps
from annexkit.stopping import Stop
from annexkit.waiting import Clock

R = TypeVar("R")


@dataclass(frozen=True)
class Ended(Generic[R]):
    """How the work in one region ended: with a value, or with an error.

    ``seconds``: the wall time that it took.
    """

    region: str
    value: R | None = None
    error: AnnexkitError | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass
class _Stoppable:
    """A clock that breaks the first wait after all is to stop, and no later one.

    What then goes on is clean-up, which has to wait, too: for instances to end.
    """

    clock: Clock
    stop: threading.Event
    told: bool = False

    def time(self) -> float:
        return self.clock.time()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float, /) -> None:
        if self.stop.is_set() and not self.told:
            self.told = True
            raise Interrupted("the work in this region was stopped")
        self.clock.sleep(seconds)


@dataclass
class _Work(Generic[R]):
    """What the threads share: the regions still to do, and what is done."""

    site: Site
    work: Callable[[Site, str], R]
    todo: SimpleQueue[str | None] = field(default_factory=SimpleQueue)
    done: SimpleQueue[Ended[R] | BaseException] = field(default_factory=SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Take one region after another until there is none."""
        while (region := self.todo.get()) is not None and not self.stop.is_set():
            self.done.put(self._one(region))

    def _one(self, region: str) -> Ended[R] | BaseException:
        clock = _Stoppable(self.site.clock, self.stop)
        site = replace(self.site, clock=clock, laps=Laps())
        site.cloud = self.site.cloud
        began = clock.monotonic()
        try:
            value = self.work(site, region)
            return Ended(region, value, seconds=clock.monotonic() - began)
        except AnnexkitError as error:
            return Ended(region, error=error, seconds=clock.monotonic() - began)
        except BaseException as error:  # a defect of ours: shown where it is waited for
            return error


def in_regions(
    site: Site,
    regions: Sequence[str],
    work: Callable[[Site, str], R],
    *,
    parallel: int,
    ended: Callable[[Ended[R]], None] = lambda _: None,
) -> list[Ended[R]]:
    """Do *work* in each region, and return how each ended, in the regions' order.

    A signal stops every region at its next wait; each cleans up after itself, and is
    waited for. A second signal leaves them to it.

    :param work: called with a site of the region's own thread, and the region.
    :param parallel: how many regions at once, at most.
    :param ended: called for each as it ends, in this thread, one after another.
    """
    job: _Work[R] = _Work(site, work)
    # Threads that nobody waits for at the end: a second signal has to end us at once.
    threads = [
        threading.Thread(target=job.run, name=f"region-{n}", daemon=True)
        for n in range(min(parallel, len(regions)))
    ]
    for region in (*regions, *(None for _ in threads)):
        job.todo.put(region)
    for thread in threads:
        thread.start()
    try:
        found = [_next(job, ended) for _ in regions]
    except Stop:
        site.console.step("stopping in every region; what was begun is cleaned up")
        job.stop.set()
        for thread in threads:
            thread.join()
        raise
    except BaseException:
        job.stop.set()
        raise
    return sorted(found, key=lambda one: regions.index(one.region))


def exit_code(ended: Sequence[Ended[R]]) -> Exit:
    """Return DONE, FAILED when every region failed, PARTLY when only some did."""
    failed = sum(one.error is not None for one in ended)
    if not failed:
        return Exit.DONE
    return Exit.PARTLY if failed < len(ended) else Exit.FAILED


def _next(job: _Work[R], ended: Callable[[Ended[R]], None]) -> Ended[R]:
    one = job.done.get()
    if isinstance(one, BaseException):
        raise one
    ended(one)
    return one
