"""A real SSH server on loopback, that misbehaves on request."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from annexkit.waiting import wait_for
from tests.unit.ssh.keys import CLIENT, server_key

Command = Callable[[paramiko.Channel, str], None]


def answer(channel: paramiko.Channel, command: str) -> None:
    """Echo standard input back on both outputs, then exit with what is asked."""
    data = b"".join(iter(lambda: channel.recv(65536), b""))
    channel.sendall_stderr(data.upper())
    channel.sendall(command.encode() + b"|" + data)
    channel.send_exit_status(
        int(command.rsplit(maxsplit=1)[-1]) if command[-1].isdigit() else 0
    )


@dataclass
class Server:
    """Listens at once, so its port is known; serves each connection in a thread.

    :param refusals: how many logins to refuse before the key is accepted.
    :param closing: how many connections to close without a word first.
    :param mute: connections are taken, but nothing is ever said.
    """

    keys: tuple[paramiko.PKey, ...]
    refusals: int = 0
    closing: int = 0
    mute: bool = False
    command: Command = answer
    logins: int = 0
    connections: int = 0
    last_offered: str = ""
    listener: socket.socket = field(default_factory=socket.socket)
    opened: list[paramiko.Transport | socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.opened.append(sock)
            if self.connections <= self.closing:
                sock.close()
            elif not self.mute:
                threading.Thread(
                    target=self._session, args=(sock,), daemon=True
                ).start()

    def _session(self, sock: socket.socket) -> None:
        transport = paramiko.Transport(sock)
        self.opened.append(transport)
        for key in self.keys:
            transport.add_server_key(key)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=_Policy(self))


class _Policy(paramiko.ServerInterface):
    def __init__(self, server: Server) -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.server.logins += 1
        known = key.get_base64() == CLIENT.pkey.get_base64() and username == "admin"
        if known and self.server.logins > self.server.refusals:
            return AUTH_SUCCESSFUL
        return AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(
        self, channel: paramiko.Channel, command: bytes
    ) -> bool:
        def work() -> None:
            # What the client sends shows that it has our answer that the command runs,
            # which paramiko sends after we return; sshd never overtakes itself.
            wait_for(
                lambda: channel.recv_ready() or channel.eof_received or channel.closed,
                what="the client's input, or its end",
                timeout=60,
                poll=0.002,
            )
            with contextlib.suppress(OSError, EOFError):
                self.server.command(channel, command.decode())
                channel.close()

        threading.Thread(target=work, daemon=True).start()
        return True


@contextlib.contextmanager
def running(*kinds: str, **options: object) -> Iterator[Server]:
    keys = tuple(server_key(kind) for kind in kinds or ("ed25519",))
    server = Server(keys, **options)  # type: ignore[arg-type]
    server.listener.bind(("127.0.0.1", 0))
    server.listener.listen(64)
    serving = threading.Thread(target=server.serve, daemon=True)
    serving.start()
    try:
        yield server
    finally:
        # Wake and end the thread before the socket's number is free for another one.
        server.listener.shutdown(socket.SHUT_RDWR)
        serving.join()
        server.listener.close()
        for opened in server.opened:
            opened.close()


def hang(channel: paramiko.Channel, command: str) -> None:
    """Never answer; ends when the channel is closed."""
    wait_for(lambda: channel.closed, what="the end", timeout=60, poll=0.01)


def vanish(channel: paramiko.Channel, command: str) -> None:
    """Say half of it, then lose the connection."""
    channel.sendall(b"half")
    channel.get_transport().close()
