"""The guards of conftest.py hold; without them the other tests prove less."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from annexkit import process
from tests.unit.helpers import FakeClock

Failed = pytest.fail.Exception


def test_a_program_started_by_accident_fails_the_test() -> None:
    with pytest.raises(Failed, match="real program"):
        process.run("true")


def test_a_test_may_put_its_own_subprocess_run_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = subprocess.CompletedProcess[bytes](["x"], 0, b"told", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert process.run("x").stdout == "told"


@pytest.mark.usefixtures("real_processes")
def test_a_test_that_asks_may_start_programs() -> None:
    assert process.run("true").exit_code == 0


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.create_connection(("example.invalid", 80), timeout=1),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
        lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80, 0, 0)),
        lambda: urllib.request.urlopen("http://169.254.169.254/", timeout=1),
    ],
)
def test_reaching_for_the_network_fails_the_test(reach: Callable[[], object]) -> None:
    with pytest.raises(Failed, match="reached for the network"):
        reach()


def test_loopback_and_unix_sockets_still_work(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as one:
        server.bind(path)
        server.listen()
        one.connect(path)


def test_no_credentials_of_the_developer_are_seen() -> None:
    assert os.environ["AWS_ACCESS_KEY_ID"] == "testing"
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert "AWS_PROFILE" not in os.environ


def test_the_fake_clock_moves_all_its_faces_together(clock: FakeClock) -> None:
    before = clock.time(), clock.monotonic()
    clock.sleep(90)
    assert (clock.time(), clock.monotonic()) == (before[0] + 90, before[1] + 90)
