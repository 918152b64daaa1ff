from __future__ import annotations

import socket
import time

from annexkit.ssh import listening, probe


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_only_those_that_listen_are_named_and_nobody_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = ("127.0.0.1", server.getsockname()[1])
        begin = time.monotonic()
        assert listening([there, ("127.0.0.1", closed_port()), there]) == {there}
        assert time.monotonic() - begin < probe.WITHIN


def test_who_does_not_answer_is_left_after_a_while() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        at = full.getsockname()
        with socket.create_connection(at):  # its queue is full: the next one waits
            begin = time.monotonic()
            assert listening([at, at], within=0.1) <= {at}
            assert time.monotonic() - begin < 2


def test_what_is_no_address_listens_nowhere() -> None:
    assert listening([("::1", closed_port())]) == set()
    assert listening([]) == set()


def test_many_are_looked_at_in_lots() -> None:
    with socket.create_server(("0.0.0.0", 0), backlog=1024) as server:
        port = server.getsockname()[1]
        several = [(f"127.0.{n // 200}.{n % 200 + 1}", port) for n in range(450)]
        assert listening(several) == set(several)
