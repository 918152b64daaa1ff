"""One machine from its first start to its removal, and its states as EC2 has them.

A thread follows each machine: it starts it, gives it its metadata service, switches it
on, waits for SSH, and then for its end, which a pidfd reports at once.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock, Thread

from annexkit.errors import AnnexkitError
from annexkit.rehearsal import netns
from annexkit.rehearsal.faults import Knobs
from annexkit.rehearsal.podman import POWER_SWITCH, MachineSpec, Podman
from annexkit.waiting import Clock, SystemClock

log = logging.getLogger(__name__)

SSH = 22
# An instance is "running" on EC2 whether or not anything answers in it.
LONGEST_BOOT = 30.0
LOOK = 0.2  # seconds between two looks whether SSH answers
# reboot(2) in a pid namespace: its PID 1 gets SIGHUP for a restart.
REBOOTED = 128 + 1
STOP_GRACE = 30
TERMINATE_GRACE = 5


class State(StrEnum):
    """Instance states, and their codes (API reference, InstanceState)."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def code(self) -> int:
        """The state as a number."""
        return _CODES[self]


_CODES = {
    State.PENDING: 0,
    State.RUNNING: 16,
    State.SHUTTING_DOWN: 32,
    State.TERMINATED: 48,
    State.STOPPING: 64,
    State.STOPPED: 80,
}


GONE = {State.TERMINATED, State.SHUTTING_DOWN}


class Goal(StrEnum):
    """What is to become of a machine that is on."""

    RUN = "run"
    STOP = "stop"
    REBOOT = "reboot"
    TERMINATE = "terminate"


@dataclass(frozen=True)
class Service:
    """What answers a machine at an address of its own loopback device."""

    address: str
    port: int
    application: netns.Wsgi


@dataclass(frozen=True)
class Hooks:
    """What a machine asks and tells the API's side.

    :param behaviour: ``stop`` or ``terminate``, when it powers itself off.
    :param ended: the state that it came to by itself.
    """

    behaviour: Callable[[], str]
    ended: Callable[[State], None]
    knobs: Callable[[], Knobs] = Knobs


class Machine:
    """A machine and the thread that follows it."""

    def __init__(
        self,
        podman: Podman,
        network: Callable[[], str],
        spec: MachineSpec,
        *,
        services: Sequence[Service],
        hooks: Hooks,
        clock: Clock | None = None,
    ) -> None:
        self.spec = spec
        self.reason = ""
        self._podman = podman
        self._network = network
        self._services = services
        self._hooks = hooks
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._state = State.PENDING
        self._goal = Goal.RUN
        self._made = self._up = self._powered = False
        self._console = ""
        self._between: Callable[[], None] = lambda: None
        self.started = self._clock.time()

    @property
    def state(self) -> State:
        """The instance state."""
        return self._state

    def start(self) -> None:
        """Start it, for the first time or after a stop."""
        with self._lock:
            self._state, self._goal, self.reason = State.PENDING, Goal.RUN, ""
            self.started = self._clock.time()
        self._in_thread(self._follow)

    def stop(self, *, force: bool = False) -> None:
        """Press the power button."""
        if self._aim(Goal.STOP, State.STOPPING):
            self._press(0 if force else STOP_GRACE)

    def reboot(self, between: Callable[[], None] = lambda: None) -> None:
        """Restart it; its state stays. *between* is done while it is off."""
        self._between = between
        if self._aim(Goal.REBOOT, self._state):
            self._press(STOP_GRACE)

    def terminate(self) -> None:
        """End it for good."""
        was = self._state
        if was in {State.TERMINATED, State.SHUTTING_DOWN}:
            return
        on = self._aim(Goal.TERMINATE, State.SHUTTING_DOWN)
        if was is State.STOPPED:
            self._in_thread(self._remove)
        elif on:
            self._press(TERMINATE_GRACE)

    def console(self) -> str:
        """Return what it wrote to its console; kept when it is gone."""
        with self._lock:
            if self._made and not self._console:
                return self._podman.console(self.spec.name)
        return self._console

    def _aim(self, goal: Goal, state: State) -> bool:
        """Set the goal; whether the machine is on, so that it must be told."""
        with self._lock:
            self._goal, self._state = goal, state
            return self._up

    def _press(self, grace: int) -> None:
        # PID 1 is still a shell that heeds no signal when the power is off
        wait = grace if self._powered else 0
        self._in_thread(lambda: self._podman.stop(self.spec.name, wait))

    def _in_thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except (AnnexkitError, OSError):
                log.exception("%s", self.spec.name)

        Thread(target=guarded, name=self.spec.name, daemon=True).start()

    def _follow(self) -> None:
        try:
            while self._run_once():
                pass
        except (AnnexkitError, OSError) as error:
            log.exception("%s cannot run", self.spec.name)
            self.reason = f"Server.InternalError: {error}"
            self._remove()
            self._hooks.ended(State.TERMINATED)

    def _run_once(self) -> bool:
        """Run from power-on to power-off; whether it is to start again."""
        if self._goal is Goal.TERMINATE:
            self._remove()
            return False
        pid = self._create()
        ended = os.pidfd_open(pid)
        try:
            with self._lock:
                self._up, wanted = True, self._goal
            if wanted is Goal.RUN:
                self._boot(pid, ended)
            else:
                self._press(0)
            _gone(ended, None)
        except (AnnexkitError, OSError):
            if self._goal is Goal.RUN:
                raise
            _gone(ended, None)  # it was told to end while it was being set up
        finally:
            os.close(ended)
            with self._lock:
                self._up = self._powered = False
        return self._after(self._podman.exit_code(self.spec.name))

    def _create(self) -> int:
        if self._made:
            self._podman.start(self.spec.name)
        else:
            self._podman.create(self.spec, self._network())
            self._made = True
        if pid := self._podman.pid(self.spec.name):
            return pid
        raise AnnexkitError(f"machine {self.spec.name} ended before it was switched on")

    def _boot(self, pid: int, ended: int) -> None:
        with ExitStack() as stack:
            for one in self._services:
                netns.add_address(pid, one.address)
                server = netns.NamespaceServer(
                    pid, one.address, one.port, one.application
                )
                stack.callback(server.close)
            knobs = self._hooks.knobs()
            if knobs.blocked:
                netns.block(pid, *knobs.blocked.split(":"))
            if not knobs.never_boots:
                Path(f"/proc/{pid}/root{POWER_SWITCH}").touch()
                self._powered = True
            self._come_up(ended)
            _gone(ended, None)

    def _come_up(self, ended: int) -> None:
        """Be pending until SSH answers and the least time for it is over."""
        begun = self._clock.monotonic()
        powered = self._powered
        while not _gone(ended, LOOK):
            waited = self._clock.monotonic() - begun
            answers = waited >= LONGEST_BOOT or not powered or self._ssh_answers()
            if answers and waited >= self._hooks.knobs().pending_seconds:
                break
        with self._lock:
            if self._goal is Goal.RUN:
                self._state = State.RUNNING

    def _ssh_answers(self) -> bool:
        try:
            with socket.create_connection((self.spec.address, SSH), 1) as connection:
                connection.settimeout(1)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _after(self, exit_code: int) -> bool:
        with self._lock:
            goal = self._goal
            again = goal is Goal.REBOOT or (goal is Goal.RUN and exit_code == REBOOTED)
            if again:
                self._goal = Goal.RUN
        if again:
            self._between()
            self._between = lambda: None
            return True
        alone = goal is Goal.RUN
        if alone:
            self.reason = (
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
            )
        if goal is Goal.TERMINATE or (alone and self._hooks.behaviour() == "terminate"):
            self._remove()
        else:
            with self._lock:
                self._state = State.STOPPED
        if alone:
            self._hooks.ended(self._state)
        return False

    def _remove(self) -> None:
        with self._lock:
            if self._made:
                self._console = self._podman.console(self.spec.name) or " "
                self._podman.remove(self.spec.name)
            self._made = False
            self._state = State.TERMINATED


def _gone(pidfd: int, seconds: float | None) -> bool:
    """Wait for the end of a process, at most so long; whether it has ended."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(None if seconds is None else seconds * 1000))
