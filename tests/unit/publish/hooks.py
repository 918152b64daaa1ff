"""A webhook on this machine, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SECRET = "T0AA/B0BB/very-secret"


@dataclass
class Hook:
    """A webhook on this machine; ``answers``: the codes that come next, else 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.got.append((self.command, self.path, body))
            found.headers = dict(self.headers)
            code = found.answers.pop(0) if found.answers else 200
            self.send_response(code)
            if code in (301, 302, 303, 307, 308):
                self.send_header("Location", f"/elsewhere/{SECRET}")
            self.send_header("Content-Length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())  # as many servers tell of an error

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
        yield found
        server.shutdown()
