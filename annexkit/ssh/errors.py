"""What a failed SSH attempt means while a node boots, and what to do about it.

The table's order matters: exceptions of SSH libraries inherit from one another, so the
more particular comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

CONSOLE = "see how far it booted: read its console output"
NETWORK = "check the security group, the route and the address"


class Do(StrEnum):
    """Whether waiting can cure it."""

    RETRY = "retry"
    FAIL = "fail"


class Kind(StrEnum):
    """What stood in the way, for those who decide by it."""

    WRONG_HOST = "wrong host"
    UNREACHABLE = "unreachable"
    NOT_LISTENING = "not listening"
    REFUSED = "refused"
    GONE = "gone"
    COMMAND = "command"
    OTHER = "other"


class NoBanner(OSError):
    """The port is open, but no SSH server speaks."""


@dataclass(frozen=True)
class Seen:
    """One kind of failure.

    :param error: the exception's class.
    :param words: what its text must hold, as a regular expression.
    :param pause: seconds before the next try; times *growth* each time it is seen
        again, up to *longest*.
    """

    error: type[BaseException]
    words: str
    meaning: str
    do: Do
    mend: str
    kind: Kind = Kind.OTHER
    pause: float = 0.5
    growth: float = 1.0
    longest: float = 10.0


SEEN: tuple[Seen, ...] = (
    Seen(
        paramiko.BadHostKeyException,
        "",
        "the node shows another host key than expected",
        Do.FAIL,
        "do not connect; compare with the console output of the instance",
        kind=Kind.WRONG_HOST,
    ),
    Seen(
        paramiko.AuthenticationException,
        "",
        # Normal until cloud-init wrote authorized_keys. Few tries: OpenSSH 9.8 and
        # newer block an address for a while that fails often (PerSourcePenalties).
        "the node does not accept the key",
        Do.RETRY,
        "check user and key, and in the console output that cloud-init finished",
        pause=1.0,
        growth=1.5,
        longest=5.0,
        kind=Kind.REFUSED,
    ),
    Seen(
        IncompatiblePeer,
        "",
        "the SSH server shares no algorithm with us",
        Do.FAIL,
        "update the SSH server of the image",
    ),
    Seen(
        paramiko.SSHException,
        "not found in known_hosts",
        "the node shows a kind of host key of which we know none",
        Do.FAIL,
        "do not connect; compare with the console output of the instance",
        kind=Kind.WRONG_HOST,
    ),
    Seen(
        paramiko.SSHException,
        "Error reading SSH protocol banner|Invalid SSH banner|Indecipherable",
        "no SSH server speaks yet",
        Do.RETRY,
        CONSOLE,
        pause=1.0,
        growth=1.5,
        kind=Kind.NOT_LISTENING,
    ),
    Seen(
        paramiko.SSHException,
        "",
        "the SSH server ended the handshake",
        Do.RETRY,
        CONSOLE,
        pause=1.0,
        growth=2.0,
    ),
    Seen(
        NoBanner,
        "",
        "no SSH server speaks yet",
        Do.RETRY,
        CONSOLE,
        kind=Kind.NOT_LISTENING,
    ),
    Seen(
        ConnectionRefusedError,
        "",
        "nothing listens yet",
        Do.RETRY,
        CONSOLE,
        kind=Kind.NOT_LISTENING,
    ),
    Seen(
        ConnectionResetError,
        "",
        "the SSH server closed the connection",
        Do.RETRY,
        CONSOLE,
        growth=2.0,
    ),
    Seen(
        EOFError,
        "",
        "the SSH server closed the connection",
        Do.RETRY,
        CONSOLE,
        growth=2.0,
    ),
    Seen(
        TimeoutError,
        "",
        "the address does not answer",
        Do.RETRY,
        NETWORK,
        kind=Kind.UNREACHABLE,
    ),
    Seen(
        OSError,
        "Name or service not known|nodename nor servname|No address associated",
        "the address is no address",
        Do.FAIL,
        "give an IP address or a name that resolves",
        kind=Kind.UNREACHABLE,
    ),
    Seen(
        OSError,
        "",
        "the address cannot be reached",
        Do.RETRY,
        NETWORK,
        kind=Kind.UNREACHABLE,
    ),
    Seen(Exception, "", "something unexpected went wrong", Do.FAIL, CONSOLE),
)


def classify(error: Exception) -> Seen:
    """Return the first row of the table that fits."""
    return next(
        seen
        for seen in SEEN
        if isinstance(error, seen.error) and re.search(seen.words, str(error))
    )
