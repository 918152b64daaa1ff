"""An open connection to a node, and running one command over it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import paramiko

from annexkit.errors import AnnexkitError
from annexkit.process import Completed

CHANNEL = 15.0  # seconds to open one; paramiko's own default is an hour


class SshError(AnnexkitError):
    """A node could not be reached, or a command could not be run to its end."""


@dataclass
class Connection:
    """An open, authenticated connection to one node; a context manager."""

    client: paramiko.SSHClient
    name: str
    where: str

    def __enter__(self) -> Self:
        """Use it in a ``with`` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, with all its channels."""
        self.client.close()

    def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60
    ) -> Completed:
        """Run one command in the user's shell on the node and return what it left.

        Both outputs are read while standard input is written, so that no full window
        can hold the other (RFC 4254, section 5.2).

        :param stdin: all that the command reads.
        :param timeout: seconds for the whole command.
        :raises SshError: no channel, no end in time, or the connection broke.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        with self._channel(command) as channel:
            late = threading.Event()
            timer = threading.Timer(timeout, _give_up, (channel, late))
            timer.start()
            try:
                done = _exchange(channel, command, data)
            finally:
                timer.cancel()
        if late.is_set():
            raise self._error(f"'{_short(command)}' did not end within {timeout:g} s")
        if done.exit_code < 0:
            raise self._error(f"the connection broke while '{_short(command)}' ran")
        return done

    @contextlib.contextmanager
    def _channel(self, command: str) -> Iterator[paramiko.Channel]:
        transport = self.client.get_transport()
        try:
            if transport is None:
                raise paramiko.SSHException("the connection is closed")
            with transport.open_session(timeout=CHANNEL) as channel:
                channel.settimeout(CHANNEL)
                channel.exec_command(command)
                channel.settimeout(None)
                yield channel
        except (paramiko.SSHException, OSError, EOFError) as error:
            said = str(error) or type(error).__name__
            raise self._error(
                f"'{_short(command)}' could not be run: {said}"
            ) from error

    def _error(self, what: str) -> SshError:
        return SshError(
            what, where=self.where, mend="the node may hang: read its console output"
        )


def _exchange(channel: paramiko.Channel, command: str, data: bytes) -> Completed:
    errors: list[bytes] = []
    others = [
        threading.Thread(target=_send, args=(channel, data), daemon=True),
        threading.Thread(
            target=lambda: errors.extend(_all(channel.recv_stderr)), daemon=True
        ),
    ]
    for thread in others:
        thread.start()
    output = b"".join(_all(channel.recv))
    code = channel.recv_exit_status()
    others[1].join()
    return Completed(
        (command,),
        code,
        output.decode(errors="replace"),
        b"".join(errors).decode(errors="replace"),
    )


def _all(receive: Callable[[int], bytes]) -> Iterable[bytes]:
    while piece := receive(65536):
        yield piece


def _send(channel: paramiko.Channel, data: bytes) -> None:
    # A command that ends without reading all of it is no error of ours.
    with contextlib.suppress(OSError, EOFError):
        channel.sendall(data)
        channel.shutdown_write()


def _give_up(channel: paramiko.Channel, late: threading.Event) -> None:
    late.set()
    # The connection may be gone as well; then there is nothing left to close.
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()


def _short(command: str) -> str:
    return command if len(command) <= 60 else f"{command[:57]}..."
