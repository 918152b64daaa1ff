"""Sockets inside another process's network namespace.

A listening socket that was opened there answers there: the machine sees a metadata
service at the usual address, while this host's own routes stay as they are.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from annexkit.process import run

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

CLONE_NEWNET = 0x40000000  # <linux/sched.h>


class QuietHandler(WSGIRequestHandler):
    """Handles requests without a line in the log for each."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def add_address(pid: int, address: str) -> None:
    """Put an IPv4 address on the loopback device of the namespace of *pid*."""
    run(
        "nsenter",
        f"--net=/proc/{pid}/ns/net",
        *("ip", "address", "replace", f"{address}/32", "dev", "lo"),
    )


def block(pid: int, address: str, port: str) -> None:
    """Drop what the namespace of *pid* sends to a TCP port, as a firewall does."""
    run(
        *("nsenter", f"--net=/proc/{pid}/ns/net", "iptables", "--append", "OUTPUT"),
        *("--destination", address, "--protocol", "tcp", "--dport", port),
        *("--jump", "DROP"),
    )


def listen(pid: int, address: str, port: int) -> socket.socket:
    """Open a listening TCP socket in the network namespace of process *pid*.

    setns(2) moves a thread, so a thread that ends right after does it: the caller's
    own namespace never changes.

    :raises OSError: no such process, not permitted, or the address is taken.
    """
    with ThreadPoolExecutor(max_workers=1) as once:
        return once.submit(_listen_here, pid, address, port).result()


def _listen_here(pid: int, address: str, port: int) -> socket.socket:
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        # os.setns came with Python 3.12
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(64)
    except OSError:
        listening.close()
        raise
    return listening


class NamespaceServer:
    """A WSGI application that answers at an address inside a namespace."""

    def __init__(self, pid: int, address: str, port: int, application: Wsgi) -> None:
        with listen(pid, address, port) as listening:
            # werkzeug duplicates the descriptor; ours closes here
            self._server = make_server(
                address,
                port,
                application,
                threaded=True,
                fd=listening.fileno(),
                request_handler=QuietHandler,
            )
        self._thread = Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name=f"{address}:{port} of {pid}",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering; lets go of the namespace."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
