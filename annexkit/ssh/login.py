"""Logging in to a node that may still be booting; errors.SEEN says what to retry."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import paramiko

from annexkit.ssh.connection import CHANNEL, Connection, SshError
from annexkit.ssh.errors import Do, Kind, NoBanner, Seen, classify
from annexkit.ssh.keys import HostKey, Key
from annexkit.waiting import Clock, Deadline, SystemClock, wait_for

PORT = 22
TCP = 5.0  # seconds; a host that drops packets would hold us for minutes
FIRST_BYTES = 5.0
BANNER = 30.0
AUTH = 20.0
KEEPALIVE = 15
LOOK = 0.1
LOOKS = 1.0  # seconds between looks of paramiko's reader whether it is to end
ASK_EC2 = 5.0


def connect(
    address: str,
    *,
    user: str,
    key: Key,
    host_keys: Sequence[HostKey],
    name: str,
    timeout: float = 300,
    port: int = PORT,
    still_there: Callable[[], bool] = lambda: True,
    clock: Clock | None = None,
) -> Connection:
    """Log in to a node that may still be booting, and return the open connection.

    :param host_keys: the keys to accept; any other ends the attempt at once.
    :param name: what the keys are pinned to, the instance id; addresses are reused.
    :param timeout: seconds for all attempts together.
    :param still_there: asked now and then between attempts whether the instance
        exists, since a failed connection does not tell.
    :raises SshError: no login in time, or something that waiting does not cure.
    """
    if not host_keys:
        raise SshError(
            "no host key of this node is known, so no connection is made",
            where=name,
            mend="wait until the node's console shows its host keys",
        )
    clock = clock or SystemClock()
    attempts = _Attempts(
        address, port, user, key, tuple(host_keys), name, still_there, clock, timeout
    )
    try:
        return wait_for(attempts, what="login", timeout=timeout, poll=LOOK, clock=clock)
    except Deadline:
        raise attempts.failure(f"no login within {timeout:g} s") from None


@dataclass
class _Attempts:
    """Attempts to log in, with pauses that grow while the same thing is seen."""

    address: str
    port: int
    user: str
    key: Key
    host_keys: tuple[HostKey, ...]
    name: str
    still_there: Callable[[], bool]
    clock: Clock
    timeout: float
    tries: int = 0
    last: Seen | None = None
    error: Exception | None = None
    _pause: float = 0.0
    _not_before: float = 0.0
    _asked: float = field(init=False)

    def __post_init__(self) -> None:
        self._asked = self.clock.monotonic()
        self._end = self._asked + self.timeout

    def __call__(self) -> Connection | None:
        """Try once, unless the pause is not over."""
        if self.clock.monotonic() < self._not_before:
            return None
        self.tries += 1
        try:
            return self._log_in()
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._judge(error)
        return None

    @property
    def where(self) -> str:
        return f"{self.user}@{self.address} ({self.name})"

    def failure(self, what: str, kind: Kind | None = None) -> SshError:
        """Say what was seen last and what to do about it."""
        if self.last is None or self.error is None:
            return SshError(what, where=self.where, kind=kind or Kind.OTHER)
        said = str(self.error) or type(self.error).__name__
        return SshError(
            f"{what}: {self.last.meaning} ({said}; {self.tries} tries)",
            where=self.where,
            mend=self.last.mend,
            kind=kind or self.last.kind,
        )

    def _judge(self, error: Exception) -> None:
        seen = classify(error)
        same = seen is self.last
        self.last, self.error = seen, error
        if isinstance(error, paramiko.BadHostKeyException):
            raise self._wrong_key(error) from error
        if seen.do is Do.FAIL:
            raise self.failure("login failed") from error
        grown = min(self._pause * seen.growth, seen.longest) if same else seen.pause
        self._pause = grown
        now = self.clock.monotonic()
        self._not_before = now + grown * random.uniform(0.75, 1.25)  # noqa: S311
        if now - self._asked >= ASK_EC2:
            self._asked = now
            if not self.still_there():
                raise self.failure("the instance is gone", Kind.GONE)

    def _wrong_key(self, error: paramiko.BadHostKeyException) -> SshError:
        got = HostKey.of(error.key, "shown by the node")
        pinned = ", ".join(f"{k.fingerprint} ({k.source})" for k in self.host_keys)
        return SshError(
            f"this is another host than expected: it shows {got.type} "
            f"{got.fingerprint}, known for {self.name} is {pinned}",
            where=self.where,
            mend="do not connect; see whether the address now belongs to another "
            "instance, and compare with the console output of this one",
            kind=Kind.WRONG_HOST,
        )

    def _log_in(self) -> Connection:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy)
        for host_key in _strongest_first(self.host_keys):
            pkey = host_key.pkey()
            client.get_host_keys().add(self.name, pkey.get_name(), pkey)
        sock = self._socket()
        try:
            client.connect(
                self.name,  # what the pins are filed under; the socket is made already
                username=self.user,
                pkey=self.key.pkey,
                sock=sock,
                timeout=TCP,
                banner_timeout=self._within(BANNER),
                auth_timeout=self._within(AUTH),
                channel_timeout=CHANNEL,
                look_for_keys=False,
                allow_agent=False,
                transport_factory=_transport,
            )
        except BaseException:
            with contextlib.suppress(OSError):  # or paramiko's reader waits for LOOKS
                sock.shutdown(socket.SHUT_RDWR)
            client.close()
            sock.close()
            raise
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE)
        return Connection(client, self.name, self.where)

    def _socket(self) -> socket.socket:
        """Connect, and look whether SSH answers before a handshake is begun.

        TCP_NODELAY saves two waits of 40 ms a handshake; paramiko sets it nowhere.
        """
        sock = socket.create_connection(
            (self.address, self.port), timeout=self._within(TCP)
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._within(FIRST_BYTES))
            try:
                first = sock.recv(4, socket.MSG_PEEK)
            except TimeoutError as error:
                raise NoBanner("connected, but nothing was said") from error
            if not first:
                raise EOFError("closed before anything was said")
        except BaseException:
            sock.close()
            raise
        return sock

    def _within(self, seconds: float) -> float:
        """Never longer than what is left of the whole time, and never nothing."""
        return max(0.5, min(seconds, self._end - self.clock.monotonic()))


def _transport(sock: Any, **options: Any) -> paramiko.Transport:
    """Return a transport that costs a sixth less of our processor.

    GCM first: it needs no MAC, which paramiko computes and compares in Python. And its
    reader looks ten times a second whether it is to end; we wake it by a shutdown.
    """
    transport = paramiko.Transport(sock, **options)
    sock.settimeout(LOOKS)
    security = transport.get_security_options()
    security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)
    return transport


def _strongest_first(keys: Iterable[HostKey]) -> list[HostKey]:
    """Put ed25519 first: paramiko asks the server for the first known type."""
    return sorted(keys, key=lambda key: key.type != "ssh-ed25519")
