"""Many nodes over SSH, on real servers of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import paramiko
import pytest

from annexkit import ssh
from annexkit.errors import Interrupted
from annexkit.verify.fleet import Fleet, Target, run_on_all
from annexkit.waiting import wait_for
from tests.unit.ssh.keys import CLIENT, host_key, other_key
from tests.unit.ssh.server import Server, hang, running

WRONG = ssh.HostKey.of(other_key().pkey, "console output")


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as found:
        yield found


def target(server: Server, number: int = 0, key: ssh.HostKey | None = None) -> Target:
    name = f"i-{number:04}"
    return Target(name, "127.0.0.1", "admin", (key or host_key(),), server.port)


def test_each_target_gets_the_command_and_its_own_outcome(server: Server) -> None:
    targets = [target(server, n) for n in range(20)]
    found = list(
        run_on_all(targets, "exit 4", key=CLIENT, workers=5, timeout=20, stdin="hello")
    )
    assert sorted(one.target.name for one in found) == [t.name for t in targets]
    for one in found:
        assert one.error is None
        assert one.value is not None
        assert (one.value.exit_code, one.value.stdout) == (4, "exit 4|hello")
        assert one.login is not None
        assert 0 < one.login <= one.seconds


def test_one_wrong_host_is_refused_and_the_others_go_on(server: Server) -> None:
    targets = [target(server, 1), target(server, 2, WRONG), target(server, 3)]
    outcomes = run_on_all(targets, "x", key=CLIENT, workers=2, timeout=20)
    found = {one.target.name: one for one in outcomes}
    assert found["i-0001"].error is found["i-0003"].error is None
    error = found["i-0002"].error
    assert isinstance(error, ssh.SshError)
    assert error.kind is ssh.Kind.WRONG_HOST
    assert found["i-0002"].login is None
    assert server.logins == 2, "nothing was offered to the wrong one"


def test_never_more_than_the_workers_are_logged_in() -> None:
    now, most, lock = [0], [0], threading.Lock()

    def counted(channel: paramiko.Channel, command: str) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.05)
        with lock:
            now[0] -= 1
        channel.send_exit_status(0)

    with running(command=counted) as server:
        targets = [target(server, n) for n in range(12)]
        done = list(run_on_all(targets, "x", key=CLIENT, workers=3, timeout=20))
    assert all(one.error is None for one in done)
    assert most[0] == 3


def test_a_fleet_that_stops_ends_what_hangs_and_drops_what_waits() -> None:
    with running(command=hang) as server:
        begin = time.monotonic()
        fleet = Fleet[object](CLIENT, workers=1)
        with fleet:
            for n in range(3):
                fleet.submit(target(server, n), run, timeout=20)
            wait_until(lambda: bool(fleet._open))
        outcome = fleet.next()
        assert time.monotonic() - begin < 10
    assert isinstance(outcome.error, ssh.SshError)
    assert server.connections == 1


def test_a_fleet_that_stops_tries_no_login_again() -> None:
    with running(refusals=1000) as server:
        fleet = Fleet[object](CLIENT, workers=1)
        with fleet:
            fleet.submit(target(server), run, timeout=60)
            wait_until(lambda: server.logins > 0)
        assert isinstance(fleet.next().error, Interrupted)


def test_a_defect_in_the_work_is_not_swallowed(server: Server) -> None:
    def broken(connection: ssh.Connection) -> object:
        raise ZeroDivisionError

    with Fleet[object](CLIENT, workers=1) as fleet:
        fleet.submit(target(server), broken, timeout=20)
        with pytest.raises(ZeroDivisionError):
            fleet.next()


def test_without_anything_to_do_there_is_no_outcome() -> None:
    assert list(run_on_all([], "x", key=CLIENT, workers=3, timeout=1)) == []
    with Fleet[object](CLIENT, workers=1) as fleet:
        assert fleet.finished() == []


run = partial(ssh.Connection.run, command="x", timeout=60)


def wait_until(condition: Callable[[], bool]) -> None:
    wait_for(condition, what="it", timeout=10, poll=0.01)
