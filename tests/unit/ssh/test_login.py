"""Logging in to a real SSH server on loopback, as nodes are while they boot."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import paramiko
import pytest

from annexkit import ssh
from annexkit.ssh import login
from annexkit.ssh.errors import SEEN, Do
from tests.unit.ssh.keys import CLIENT, host_key, other_key
from tests.unit.ssh.server import Server, running


def connect(server: Server | None, **options: Any) -> ssh.Connection:
    defaults: dict[str, Any] = {
        "user": "admin",
        "key": CLIENT,
        "host_keys": [host_key()],
        "name": "i-0123",
        "timeout": 10,
        "port": server.port if server else 1,
    }
    return ssh.connect("127.0.0.1", **defaults | options)


def failure(server: Server | None, **options: Any) -> ssh.SshError:
    with pytest.raises(ssh.SshError) as caught:
        connect(server, **options)
    return caught.value


def test_a_node_with_the_pinned_key_is_logged_in_to_at_the_first_try() -> None:
    with running() as server, connect(server) as connection:
        assert connection.run("true").exit_code == 0
        assert server.connections == server.logins == 1


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_each_kind_of_host_key_can_be_the_pinned_one(kind: str) -> None:
    with (
        running("rsa", "ecdsa", "ed25519") as server,
        connect(server, host_keys=[host_key(kind)]) as connection,
    ):
        transport = connection.client.get_transport()
        assert transport is not None
        assert transport.get_remote_server_key().get_base64() == host_key(kind).blob


def test_nodelay_is_set() -> None:
    with running() as server, connect(server) as connection:
        transport = connection.client.get_transport()
        assert transport is not None
        assert isinstance(transport.sock, socket.socket)
        option = transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert option != 0


def test_another_host_key_ends_it_at_once_and_shows_both_fingerprints() -> None:
    wanted = ssh.HostKey.of(other_key().pkey, "console output")
    with running() as server:
        error = failure(server, host_keys=[wanted])
        assert server.connections == 1, "never retried"
        assert server.logins == 0, "nothing was offered to it"
    assert host_key().fingerprint in error.what
    assert wanted.fingerprint in error.what
    assert "console output" in error.what
    assert "i-0123" in error.where


def test_a_host_key_of_a_kind_that_is_not_known_is_refused() -> None:
    with running("ecdsa") as server:
        error = failure(server, host_keys=[host_key("ed25519")])
        assert server.connections == 1
        assert server.logins == 0
    assert "another host than expected" in error.what


def test_without_a_known_host_key_nothing_is_connected_to() -> None:
    with running() as server:
        error = failure(server, host_keys=[])
        assert server.connections == 0
    assert "no host key" in error.what


def test_a_login_that_is_refused_at_first_succeeds_later() -> None:
    with running(refusals=2) as server, connect(server):
        assert server.logins == 3


def test_a_login_that_stays_refused_ends_with_the_reason_and_few_tries() -> None:
    with running(refusals=1000) as server:
        error = failure(server, timeout=3)
        assert 2 <= server.logins <= 4, "OpenSSH punishes those who fail often"
    assert "does not accept the key" in error.what
    assert "cloud-init" in error.mend


def test_another_users_key_is_not_tried_from_agent_or_files() -> None:
    with running() as server:
        failure(server, key=other_key(), timeout=1)
        assert server.logins == server.connections


def test_a_port_that_opens_late_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "ASK_EC2", 0.0)  # asked after every failed attempt
    late = socket.socket()
    late.bind(("127.0.0.1", 0))
    with running() as server, late:

        def open_it() -> bool:
            late.listen()
            threading.Thread(target=forward, args=(late, server.port)).start()
            return True

        port = late.getsockname()[1]
        with connect(server, port=port, still_there=open_it) as connection:
            assert connection.run("x").exit_code == 0


def forward(listener: socket.socket, port: int) -> None:
    one, _ = listener.accept()
    with one, socket.create_connection(("127.0.0.1", port)) as two:
        pump(one, two)


def pump(one: socket.socket, two: socket.socket) -> None:
    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other end may be gone already
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(two, one), daemon=True)
    back.start()
    copy(one, two)


def test_a_refused_connection_ends_with_the_reason_and_what_to_look_at() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, never listening
        error = failure(None, port=reserved.getsockname()[1], timeout=1)
    assert "nothing listens yet" in error.what
    assert "console" in error.mend


def test_a_server_that_closes_at_first_is_tried_again() -> None:
    with running(closing=2) as server, connect(server):
        assert server.connections == 3


def test_a_server_that_says_nothing_is_given_up_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "FIRST_BYTES", 0.5)
    with running(mute=True) as server:
        begin = time.monotonic()
        error = failure(server, timeout=1.5)
        assert time.monotonic() - begin < 5
        assert server.connections >= 2
    assert "no SSH server speaks yet" in error.what


def test_a_server_that_is_no_ssh_server_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        error = failure(None, port=listener.getsockname()[1], timeout=1)
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
    assert "no SSH server" in error.what or "closed" in error.what


def test_an_instance_that_is_gone_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "ASK_EC2", 0.2)
    with running(refusals=1000) as server:
        begin = time.monotonic()
        error = failure(server, timeout=60, still_there=lambda: False)
        assert time.monotonic() - begin < 10
    assert "the instance is gone" in error.what


def test_an_address_that_is_none_ends_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", no_name)
    assert "is no address" in failure(None).what


def test_the_table_says_fail_for_every_doubt_about_the_host() -> None:
    rows = [s for s in SEEN if s.error is paramiko.BadHostKeyException]
    assert [s.do for s in rows] == [Do.FAIL]
    assert SEEN.index(rows[0]) == 0
