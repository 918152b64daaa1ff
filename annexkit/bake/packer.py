"""One run of ``packer build``: start it, follow it, stop it with its clean-up.

This is the one subprocess that does not go through :mod:`annexkit.process`: it runs for
long, is followed while it runs, and must be stoppable.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annexkit import processes
from annexkit.bake.manifest import BuildResult, last_run, read_manifest
from annexkit.bake.packer_log import Event, LogReader, LogTail, Problem, Step
from annexkit.bake.packer_program import (
    Packer,
    PackerError,
    environment,
    find_packer,
    init,
    validate,
)
from annexkit.bake.written import VARIABLES
from annexkit.errors import Interrupted
from annexkit.files import write_beside
from annexkit.process import run
from annexkit.waiting import Clock, Deadline, SystemClock, wait_for

__all__ = [
    "BuildResult",
    "Event",
    "Packer",
    "PackerError",
    "Problem",
    "Run",
    "Step",
    "build",
    "environment",
    "find_packer",
    "init",
    "validate",
]

POLL = 0.1  # seconds between looks at the log: what a person feels as live
GRACE = 300.0  # EC2 may take minutes to terminate a builder
KILLED = 10.0


def build(
    packer: Packer,
    directory: Path,
    *,
    manifest: Path,
    log: Path,
    var_file: Path | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    started: Callable[[int, int], None] = lambda pid, start_time: None,
    env: Mapping[str, str] | None = None,
    timeout: float = 7200,
    grace: float = GRACE,
    stop: threading.Event | None = None,
    clock: Clock | None = None,
) -> BuildResult:
    """Run ``packer build`` to its end and return what it made.

    Whatever ends this call early (SIGINT or SIGTERM as an exception, *stop*, the
    time-out, an error in a callback) first lets Packer clean up, see :meth:`Run.stop`.

    :param manifest: the file that the template's manifest post-processor writes.
    :param log: gets all that Packer says, machine-readable, also after our own end.
    :param var_file: what changes from run to run; the directory's own when None.
    :param on_event: called for each event, in order.
    :param started: called once with Packer's pid and start time (see
        :mod:`annexkit.processes`), before anything is waited for.
    :param timeout: seconds for the whole build.
    :param grace: seconds for Packer's clean-up when it is stopped.
    :param stop: set by another thread to stop this build.
    :raises PackerError: the build failed or took too long.
    :raises FileError: the log cannot be written.
    :raises ManifestError: it succeeded, but does not say what it made.
    :raises Interrupted: *stop* was set.
    """
    clock = clock or SystemClock()
    before, begin = last_run(manifest), clock.monotonic()
    command = [packer.path, "build", "-machine-readable"]
    command += [f"-var-file={var_file or directory / VARIABLES}", str(directory)]
    with _started(command, log, environment(env), on_event, clock) as running:
        try:
            started(running.pid, running.start_time)
            code = running.follow(timeout, stop)
        except Deadline as error:
            running.stop(grace)
            raise _failure(running.reader, log, f"not within {timeout:g} s") from error
        except BaseException:
            running.stop(grace)
            raise
    # A cancelled build of 1.6.6 exits with 0 now and then (seen in 3 of 25).
    if code != 0 or running.reader.cancelled:
        raise _failure(running.reader, log, "")
    result = read_manifest(manifest, after=before)
    return replace(result, seconds=clock.monotonic() - begin)


@dataclass
class Run:
    """A running ``packer build``: leader of a session and process group of its own."""

    process: subprocess.Popen[bytes]
    tail: LogTail
    on_event: Callable[[Event], None]
    clock: Clock
    start_time: int = field(init=False)

    def __post_init__(self) -> None:
        """Note the start time; the process is ours, so its pid cannot be reused."""
        self.start_time = processes.start_time(self.pid) or 0

    @property
    def pid(self) -> int:
        """Packer's pid, which is its process group's too."""
        return self.process.pid

    @property
    def reader(self) -> LogReader:
        """What was understood of the log so far."""
        return self.tail.reader

    def follow(self, timeout: float, stop: threading.Event | None = None) -> int:
        """Report events until Packer ends; return its exit code.

        :raises Deadline: it still runs after *timeout* seconds.
        :raises Interrupted: *stop* was set meanwhile.
        """
        ended = wait_for(
            lambda: self._look(stop),
            what="the end of packer build",
            timeout=timeout,
            poll=POLL,
            clock=self.clock,
        )
        return ended[0]

    def stop(self, grace: float) -> None:
        """End Packer so that it cleans up: SIGTERM to its group, in the end SIGKILL.

        SIGTERM and not SIGINT: Packer re-executes itself, and the outer process
        forwards only SIGTERM to the inner one; its plugins ignore both while the inner
        one cancels the build (hashicorp/packer 1.6.6, main.go and
        packer-plugin-sdk/plugin/server.go). A second interruption while this waits
        kills at once.
        """
        try:
            processes.signal_group(self.pid, signal.SIGTERM)
            with contextlib.suppress(Deadline):
                self.follow(grace)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill what is left of the group, Packer itself or helpers that outlived it."""
        if self.process.poll() is None or processes.group_members(self.pid):
            processes.signal_group(self.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(KILLED)

    def _look(self, stop: threading.Event | None) -> tuple[int] | None:
        code = self.process.poll()  # before the log: what it said last is then there
        for event in self.tail.pump(to_end=code is not None):
            self._report(event)
        if code is None and stop is not None and stop.is_set():
            raise Interrupted("the build was stopped", mend="invoke reap")
        return None if code is None else (code,)

    def _report(self, event: Event) -> None:
        try:
            self.on_event(event)
        except Interrupted:
            raise
        except Exception:
            # A callback that broke once must not break the clean-up that follows, too.
            self.on_event = lambda event: None
            raise


@contextlib.contextmanager
def _started(
    command: Sequence[str],
    log: Path,
    env: Mapping[str, str],
    on_event: Callable[[Event], None],
    clock: Clock,
) -> Iterator[Run]:
    """Start Packer with its output going to the log file.

    To a file and not to a pipe of ours: when we are killed, a broken pipe would kill
    Packer in the middle of its clean-up.
    """
    write_beside(log, "", mode=0o600)
    with log.open("ab") as output, log.open("rb") as source:
        process = subprocess.Popen(
            [*_die_with_us(), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
        )
        running = Run(process, LogTail(source), on_event, clock)
        try:
            yield running
        finally:
            running.kill()


def _die_with_us() -> list[str]:
    """Return a prefix that has the kernel send SIGTERM to Packer when we are killed.

    ``setpriv --pdeathsig`` (setpriv(1), util-linux) sets PR_SET_PDEATHSIG and executes
    Packer in its place, so pid and start time stay. The signal comes when the *thread*
    that started Packer ends (prctl(2)): build() stays in that thread until the end.
    """
    probe = ("setpriv", "--pdeathsig", "TERM")
    if shutil.which(probe[0]) and run(*probe, "true", check=False).exit_code == 0:
        return list(probe)
    return []  # not Linux, or before util-linux 2.33: the reaper ends Packer later


def _failure(reader: LogReader, log: Path, why: str) -> PackerError:
    step = reader.failed_step or reader.step
    label = step.label if step else "packer build"
    errors = reader.errors
    reason = why or (errors[0] if errors else "it says no reason")
    return PackerError(
        f"Packer failed at '{label}': {reason}",
        where=str(log),
        errors=errors,
        guest=reader.guest,
        step=label,
    )
