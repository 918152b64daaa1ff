"""Which nodes listen already: one look at many ports, without a word of SSH.

A look costs next to nothing, so a node that boots is asked nothing dearer before.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterable, Iterator

Address = tuple[str, int]

AT_ONCE = 200  # open sockets; many systems allow 1024 files
WITHIN = 0.5  # seconds for an answer from the other side of the world


def listening(addresses: Iterable[Address], *, within: float = WITHIN) -> set[Address]:
    """Return those addresses (host, port) that take a connection now.

    :param within: seconds that each lot of :data:`AT_ONCE` may take.
    """
    todo, found = list(dict.fromkeys(addresses)), set[Address]()
    for start in range(0, len(todo), AT_ONCE):
        found |= _look(todo[start : start + AT_ONCE], within)
    return found


def _look(addresses: list[Address], within: float) -> set[Address]:
    found = set[Address]()
    with _connecting(addresses) as selector:
        end = time.monotonic() + within
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)  # noqa: S101 - what we put in
                if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    found.add(key.data)
                selector.unregister(sock)
                sock.close()
    return found


@contextlib.contextmanager
def _connecting(addresses: list[Address]) -> Iterator[selectors.BaseSelector]:
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for address in addresses:
            sock = stack.enter_context(socket.socket(_family(address[0])))
            sock.setblocking(False)
            # An address that cannot be reached shows in SO_ERROR as well.
            with contextlib.suppress(OSError):  # a name that is no address
                sock.connect_ex(address)
                selector.register(sock, selectors.EVENT_WRITE, address)
        yield selector


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
