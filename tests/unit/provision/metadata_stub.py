"""A metadata service on loopback that behaves as EC2's does, or badly on purpose.

Runs alone, too, which is how it can stand in a machine's network namespace:
``python3 metadata_stub.py ADDRESS PORT FILE``, where FILE is a JSON object of
values by path below ``/latest/``.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "stub-token"
ERROR_PAGE = b"<html>an error page that must never become data</html>"


@dataclass
class Behaviour:
    """What the service does; tests change it while it runs."""

    values: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    """Answer everything with this status, and a body; 0 = normally."""
    fail_first: int = 0
    """Answer that many requests with 503 before behaving."""
    delay: float = 0.0
    never: bool = False
    """Accept, and say nothing until the service ends."""
    forget_token: bool = False
    """Refuse the next token once, as if it had run out."""
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """One request; the behaviour hangs on the server."""

    server: Service

    def do_PUT(self) -> None:
        """Give a token."""
        if self._misbehaves():
            return
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        fits = self.path == "/latest/api/token" and ttl.isdigit()
        self._answer(200 if fits else 400, TOKEN.encode() if fits else ERROR_PAGE)

    def do_GET(self) -> None:
        """Give a value to who has a token."""
        if self._misbehaves():
            return None
        behaviour = self.server.behaviour
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self._answer(401, ERROR_PAGE)
        if behaviour.forget_token:
            behaviour.forget_token = False
            return self._answer(401, ERROR_PAGE)
        value = behaviour.values.get(self.path.removeprefix("/latest/"))
        return (
            self._answer(404, ERROR_PAGE) if value is None else self._answer(200, value)
        )

    def _misbehaves(self) -> bool:
        behaviour = self.server.behaviour
        behaviour.asked.append(f"{self.command} {self.path}")
        if behaviour.never or behaviour.delay:
            behaviour.ended.wait(None if behaviour.never else behaviour.delay)
        if behaviour.fail_first > 0:
            behaviour.fail_first -= 1
            self._answer(503, ERROR_PAGE)
            return True
        if behaviour.status:
            self._answer(behaviour.status, ERROR_PAGE)
            return True
        return behaviour.never

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Service(ThreadingHTTPServer):
    """The server with its behaviour."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], behaviour: Behaviour) -> None:
        super().__init__(address, Handler)
        self.behaviour = behaviour

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[Service]:
    """Serve on a free loopback port until the block ends."""
    service = Service(("127.0.0.1", 0), behaviour)
    thread = threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        behaviour.ended.set()
        service.shutdown()
        service.server_close()
        thread.join()


def values(mapping: Mapping[str, str]) -> dict[str, bytes]:
    """Encode values given as text."""
    return {path: text.encode() for path, text in mapping.items()}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[3]).read_text())
    Service((sys.argv[1], int(sys.argv[2])), Behaviour(values(given))).serve_forever()
