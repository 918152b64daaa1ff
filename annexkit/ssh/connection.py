"""An open connection to a node, and running one command over it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import paramiko

from annexkit.errors import AnnexkitError
from annexkit.process import Completed
from annexkit.ssh.errors import Kind

CHANNEL = 15.0  # seconds to open one; paramiko's own default is an hour


class SshError(AnnexkitError):
    """A node could not be reached, or a command could not be run to its end.

    :param kind: what stood in the way, for those who decide by it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        mend: str = "",
        kind: Kind = Kind.OTHER,
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.kind = kind


class _Late(Exception):
    """The time of a command is over."""


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
        self.close()

    def close(self) -> None:
        """Close it, from any thread; a command that runs over it then fails.

        Shut down first: paramiko's reader would notice the end only a tenth of a
        second later, and closing waits for it.
        """
        transport = self.client.get_transport()
        if transport is not None and isinstance(transport.sock, socket.socket):
            with contextlib.suppress(OSError):  # the node may have ended it already
                transport.sock.shutdown(socket.SHUT_RDWR)
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
        try:
            with self._channel(command) as channel:
                done = _exchange(channel, command, data, time.monotonic() + timeout)
        except _Late:
            what = f"'{_short(command)}' did not end within {timeout:g} s"
            raise self._error(what) from None
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
            what,
            where=self.where,
            mend="the node may hang: read its console output",
            kind=Kind.COMMAND,
        )


class _Arrival(threading.Event):
    """Set when something came on either output; only its reader clears it.

    Each of a channel's two buffers would clear it when it is read empty, and so hide
    what the other one got meanwhile.
    """

    def clear(self) -> None:
        """Do nothing; see :meth:`reset`."""

    def reset(self) -> None:
        """Clear it, before both buffers are read."""
        super().clear()


def _exchange(
    channel: paramiko.Channel, command: str, data: bytes, end: float
) -> Completed:
    """Send and read until the command ended, in this thread where windows allow it."""
    arrival = _Arrival()
    channel.in_buffer.set_event(arrival)
    channel.in_stderr_buffer.set_event(arrival)
    if len(data) <= channel.out_window_size:  # it can never wait for the node
        _send(channel, data)
    else:
        threading.Thread(target=_send, args=(channel, data), daemon=True).start()
    output, errors = bytearray(), bytearray()
    open_ends = True
    while open_ends:
        if not arrival.wait(end - time.monotonic()):
            raise _Late
        arrival.reset()
        # Looked at before reading: what came with the end is then still read.
        open_ends = not (channel.closed or channel.eof_received)
        while channel.recv_ready():
            output += channel.recv(65536)
        while channel.recv_stderr_ready():
            errors += channel.recv_stderr(65536)
    if not channel.status_event.wait(max(0.0, end - time.monotonic())):
        raise _Late
    texts = (bytes(each).decode(errors="replace") for each in (output, errors))
    return Completed((command,), channel.exit_status, *texts)


def _send(channel: paramiko.Channel, data: bytes) -> None:
    # A command that ends without reading all of it is no error of ours.
    with contextlib.suppress(OSError, EOFError):
        channel.sendall(data)
        channel.shutdown_write()


def _short(command: str) -> str:
    return command if len(command) <= 60 else f"{command[:57]}..."
