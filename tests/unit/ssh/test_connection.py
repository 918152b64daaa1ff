from __future__ import annotations

import time
from collections.abc import Iterator

import paramiko
import pytest

from annexkit import ssh
from tests.unit.ssh.keys import CLIENT, host_key
from tests.unit.ssh.server import Command, Server, hang, running, vanish


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
def connection(server: Server) -> Iterator[ssh.Connection]:
    with ssh.connect(
        "127.0.0.1",
        user="admin",
        key=CLIENT,
        host_keys=[host_key()],
        name="i-0123",
        port=server.port,
    ) as found:
        yield found


def test_exit_code_and_both_outputs_come_back(connection: ssh.Connection) -> None:
    done = connection.run("exit 3", stdin="hello")
    assert done.exit_code == 3
    assert done.stdout == "exit 3|hello"
    assert done.stderr == "HELLO"


def test_more_than_any_window_holds_goes_both_ways(
    connection: ssh.Connection,
) -> None:
    data = b"0123456789abcdef" * 400_000  # 6.4 MB; a window is 2 MB
    done = connection.run("x", stdin=data, timeout=60)
    assert done.stdout == "x|" + data.decode()
    assert len(done.stderr) == len(data)


def test_several_commands_use_one_connection(
    connection: ssh.Connection, server: Server
) -> None:
    assert [connection.run(f"exit {n}").exit_code for n in (0, 1, 2)] == [0, 1, 2]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [(hang, "did not end within 0.5 s"), (vanish, "the connection broke")],
)
def test_a_command_that_does_not_end_properly_is_an_error(
    connection: ssh.Connection, server: Server, command: Command, said: str
) -> None:
    server.command = command
    begin = time.monotonic()
    with pytest.raises(ssh.SshError, match=said) as caught:
        connection.run("sleep forever", timeout=0.5)
    assert time.monotonic() - begin < 5
    assert "i-0123" in caught.value.where


def test_after_a_command_that_hung_the_next_one_runs(
    connection: ssh.Connection, server: Server
) -> None:
    normal, server.command = server.command, hang
    with pytest.raises(ssh.SshError):
        connection.run("x", timeout=0.2)
    server.command = normal
    assert connection.run("exit 0").exit_code == 0


def test_a_command_that_does_not_read_its_input_is_no_error(
    connection: ssh.Connection, server: Server
) -> None:
    def deaf(channel: paramiko.Channel, command: str) -> None:
        channel.recv(1)
        channel.send_exit_status(0)

    server.command = deaf
    assert connection.run("true", stdin=b"x" * 5_000_000).exit_code == 0


def test_a_closed_connection_is_an_error(connection: ssh.Connection) -> None:
    connection.client.close()
    with pytest.raises(ssh.SshError, match="could not be run"):
        connection.run("true")
