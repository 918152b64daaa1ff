"""Which process is which: identity that survives the reuse of process ids.

A process id alone is not an identity, because the kernel hands it out again. A pid
together with the process's start time is one, until the machine boots anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from annexkit.waiting import Clock, Deadline, wait_for

PROC = Path("/proc")
GONE_STATES = frozenset("ZXx")


def start_time(pid: int) -> int | None:
    """Return when a living process started, or None when there is none.

    The unit is clock ticks since boot: field 22 of ``/proc/PID/stat`` (proc(5)). A
    zombie counts as gone: it holds a number, but does nothing any more.
    """
    stat = _stat(pid)
    return None if stat is None or stat[0] in GONE_STATES else int(stat[19])


def same_process(pid: int, started: int) -> bool:
    """Say whether *pid* still is the process that started at *started*."""
    return start_time(pid) == started


def group_members(group: int) -> tuple[int, ...]:
    """Return the pids of all living processes of a process group."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        stat = _stat(int(entry.name))
        if stat is not None and stat[0] not in GONE_STATES and int(stat[2]) == group:
            found.append(int(entry.name))
    return tuple(sorted(found))


def end_group(
    pid: int, started: int, *, grace: float, clock: Clock | None = None
) -> bool:
    """End the process group that *pid* leads: SIGTERM, then SIGKILL after *grace*.

    Nothing is signalled unless *pid* is alive, started at *started* and leads its own
    group, so that neither a stranger with a reused pid nor our own group is hit.

    :param grace: seconds that the group has to clean up after SIGTERM.
    :returns: whether there was such a process and its group is now gone.
    """
    if not same_process(pid, started) or _group_of(pid) != pid:
        return False
    signal_group(pid, signal.SIGTERM)
    if not _wait_gone(pid, grace, clock):
        signal_group(pid, signal.SIGKILL)
        return _wait_gone(pid, 5.0, clock)
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal all processes of a group; none left is as good."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _wait_gone(group: int, seconds: float, clock: Clock | None) -> bool:
    try:
        return wait_for(
            lambda: not group_members(group),
            what=f"end of process group {group}",
            timeout=seconds,
            poll=0.05,
            clock=clock,
        )
    except Deadline:
        return False


def _group_of(pid: int) -> int | None:
    stat = _stat(pid)
    return None if stat is None else int(stat[2])


def _stat(pid: int) -> list[str] | None:
    """Return fields 3 and up of ``/proc/PID/stat``; field 2 may hold any character."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return text.rpartition(")")[2].split()
