"""Process identity, tried on real processes of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from annexkit import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# Says when it is ready, so that no test has to guess how long a start takes.
STUBBORN = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        process.kill()


def started(pid: int) -> int:
    found = processes.start_time(pid)
    assert found is not None
    return found


def test_own_start_time_is_stable_and_ours() -> None:
    first = started(os.getpid())
    assert processes.same_process(os.getpid(), first)
    assert not processes.same_process(os.getpid(), first + 1)


def test_a_process_that_never_was_has_no_start_time() -> None:
    assert processes.start_time(2**22 + 1) is None
    assert not processes.end_group(2**22 + 1, 1, grace=0)


def test_a_zombie_counts_as_gone() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet reaped
    assert processes.start_time(pid) is None
    os.waitpid(pid, 0)


def test_a_program_name_with_brackets_and_blanks_does_not_confuse_it() -> None:
    name = b"a) R (1 2"
    code = (
        "import ctypes,sys;"
        f"ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0);"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert started(process.pid) >= started(os.getpid())
        process.kill()


def test_end_group_ends_a_leader_and_its_children(
    child: subprocess.Popen[bytes],
) -> None:
    since = started(child.pid)
    assert processes.group_members(child.pid) == (child.pid,)
    assert processes.end_group(child.pid, since, grace=5)
    assert child.wait() == -signal.SIGTERM
    assert processes.group_members(child.pid) == ()


def test_end_group_kills_what_ignores_sigterm() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        assert processes.end_group(process.pid, started(process.pid), grace=0.2)
        assert 0.2 <= time.monotonic() - begin < 5
        assert process.wait() == -signal.SIGKILL


def test_end_group_spares_a_stranger_with_the_same_pid(
    child: subprocess.Popen[bytes],
) -> None:
    assert not processes.end_group(child.pid, started(child.pid) + 1, grace=0)
    assert child.poll() is None


def test_end_group_spares_a_process_that_leads_no_group() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not processes.end_group(process.pid, started(process.pid), grace=0)
        assert process.poll() is None
        process.kill()
