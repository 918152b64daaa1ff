"""One connection and one piece of work on each of many nodes, some at a time.

Threads of one process: with the host key pinned a login costs about 5 ms of our
processor, so one process serves 100 to 200 nodes a second. A second one would double
that and the memory, where booting takes a hundred times as long anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from annexkit import ssh
from annexkit.errors import AnnexkitError, Interrupted
from annexkit.process import Completed
from annexkit.waiting import Clock, SystemClock

R = TypeVar("R")


@dataclass(frozen=True)
class Target:
    """A node to log in to; ``name`` is what its host keys are pinned to."""

    name: str
    address: str
    user: str
    host_keys: tuple[ssh.HostKey, ...]
    port: int = ssh.PORT


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one target: the work's value, or the error.

    :param login: seconds until the login; None when there was none.
    :param seconds: seconds altogether, since its turn came.
    """

    target: Target
    value: R | None
    error: AnnexkitError | None
    login: float | None
    seconds: float


@dataclass(frozen=True)
class _Stoppable:
    """A clock by which nobody waits on once all is to stop."""

    clock: Clock
    stop: threading.Event

    def time(self) -> float:
        return self.clock.time()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float, /) -> None:
        if self.stop.is_set():
            raise Interrupted("the work on the nodes was stopped")
        self.clock.sleep(seconds)


@dataclass
class Fleet(Generic[R]):
    """Works on targets in at most ``workers`` threads; a context manager."""

    key: ssh.Key
    workers: int
    clock: Clock = field(default_factory=SystemClock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _open: dict[int, ssh.Connection] = field(default_factory=dict)
    _done: SimpleQueue[Outcome[R] | BaseException] = field(default_factory=SimpleQueue)

    def __enter__(self) -> Self:
        """Start; threads come as they are needed."""
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="node")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop: what waits is dropped, what runs loses its connection."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open.values()):
            with suppress(OSError, EOFError):
                connection.close()

    def submit(
        self,
        target: Target,
        work: Callable[[ssh.Connection], R],
        *,
        timeout: float,
        still_there: Callable[[], bool] = lambda: True,
    ) -> None:
        """Let a thread log in and do the work over that connection.

        :param timeout: seconds for the login, from when its turn comes.
        :param still_there: asked now and then while a login fails.
        """
        self._pool.submit(self._run, target, work, timeout, still_there)

    def finished(self) -> list[Outcome[R]]:
        """Return what ended since this was last asked, without waiting."""
        found = []
        with suppress(Empty):
            while True:
                found.append(self._outcome(block=False))
        return found

    def next(self) -> Outcome[R]:
        """Wait for the next target that is done."""
        return self._outcome(block=True)

    def _outcome(self, *, block: bool) -> Outcome[R]:
        found = self._done.get(block)
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(
        self,
        target: Target,
        work: Callable[[ssh.Connection], R],
        timeout: float,
        still_there: Callable[[], bool],
    ) -> None:
        begin = time.monotonic()
        value, failure, login = None, None, None
        try:
            with self._log_in(target, timeout, still_there) as connection:
                login = time.monotonic() - begin
                self._open[id(connection)] = connection
                try:
                    value = work(connection)
                finally:
                    del self._open[id(connection)]
        except AnnexkitError as error:
            failure = error
        except BaseException as error:  # a defect of ours: shown where it is waited for
            self._done.put(error)
            return
        seconds = time.monotonic() - begin
        self._done.put(Outcome(target, value, failure, login, seconds))

    def _log_in(
        self, target: Target, timeout: float, still_there: Callable[[], bool]
    ) -> ssh.Connection:
        return ssh.connect(
            target.address,
            user=target.user,
            key=self.key,
            host_keys=target.host_keys,
            name=target.name,
            timeout=timeout,
            port=target.port,
            still_there=still_there,
            clock=_Stoppable(self.clock, self._stop),
        )


def run_on_all(
    targets: Iterable[Target],
    command: str,
    *,
    key: ssh.Key,
    workers: int,
    timeout: float,
    stdin: str | bytes = b"",
) -> Iterator[Outcome[Completed]]:
    """Run one command on every target, and yield each outcome as it comes.

    :param workers: how many at the same time, at most.
    :param timeout: seconds for each login, and again for each command.
    """
    work = partial(_command, command=command, stdin=stdin, timeout=timeout)
    with Fleet[Completed](key, workers) as fleet:
        count = 0
        for target in targets:
            fleet.submit(target, work, timeout=timeout)
            count += 1
        for _ in range(count):
            yield fleet.next()


def _command(
    connection: ssh.Connection, *, command: str, stdin: str | bytes, timeout: float
) -> Completed:
    return connection.run(command, stdin=stdin, timeout=timeout)
