"""Package repositories for tests: made on disk, served over HTTP on loopback."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.compress,
    ".gz": gzip.compress,
    "": bytes,
}


@dataclass
class Repo:
    """A Debian repository below a folder."""

    root: Path

    @property
    def uri(self) -> str:
        return f"file:{self.root}/"

    def publish(
        self,
        suite: str,
        *versions: str,
        arch: str = "amd64",
        origin: str = "Debian",
        extension: str = ".xz",
        by_hash: bool = True,
        release: str = "InRelease",
    ) -> Path:
        """Write a suite whose index has these versions of condor; return the index."""
        text = _packages(versions)
        return self._write(
            *(suite, text, extension),
            arch=arch,
            origin=origin,
            by_hash=by_hash,
            release=release,
        )

    def offer(
        self,
        suite: str,
        packages: Iterable[tuple[str, str]] = (),
        *,
        arch: str = "amd64",
        origin: str = "Debian",
        component: str = "main",
        valid_until: str = "",
        more: str = "",
    ) -> Path:
        """Write a suite that has these packages by name and version, none else.

        :param more: further lines of each package.
        """
        text = _stanzas(packages, more)
        index = self._write(
            suite, text, ".xz", arch=arch, origin=origin, component=component
        )
        if valid_until:
            release = self.root / "dists" / suite / "InRelease"
            release.write_text(f"Valid-Until: {valid_until}\n{release.read_text()}")
        return index

    def _write(
        self,
        suite: str,
        text: str,
        extension: str,
        *,
        arch: str,
        origin: str,
        component: str = "main",
        by_hash: bool = True,
        release: str = "InRelease",
    ) -> Path:
        dists = self.root / "dists" / suite
        index = dists / component / f"binary-{arch}" / f"Packages{extension}"
        index.parent.mkdir(parents=True, exist_ok=True)
        data = PACKERS[extension](text.encode())
        index.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        if by_hash:
            shadow = index.parent / "by-hash" / "SHA256" / digest
            shadow.parent.mkdir(parents=True, exist_ok=True)
            shadow.write_bytes(data)
        path = index.relative_to(dists).as_posix()
        (dists / release).write_text(
            f"Origin: {origin}\nSuite: {suite}\n"
            f"{'Acquire-By-Hash: yes' if by_hash else 'Date: now'}\n"
            f"MD5Sum:\n {'0' * 32} {len(data)} {path}\n"
            f"SHA256:\n {'0' * 64} 12 main/binary-all/Packages.xz\n"
            f" {digest} {len(data):>8} {path}\n"
        )
        return index


def _packages(versions: tuple[str, ...]) -> str:
    others = ("condor-doc", "aaa", "zzz")
    named = [(name, "1") for name in others[:2]]
    named += [("condor", version) for version in versions]
    named.append((others[2], "2"))
    return _stanzas(named)


def _stanzas(packages: Iterable[tuple[str, str]], more: str = "") -> str:
    return "\n".join(
        f"Package: {name}\nVersion: {version}\n{more}Description: Package: condor\n"
        for name, version in packages
    )


@dataclass
class Served:
    """A folder over HTTP: its address, and what was asked for, with the answers."""

    port: int
    asked: list[tuple[str, int]] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    answer: int = 0  # an HTTP code to answer with, whatever is asked for

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def serve(root: Path) -> Iterator[Served]:
    """Serve a folder with ETags on loopback for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.authorization.append(self.headers.get("Authorization"))
            path = root / self.path.lstrip("/")
            data = path.read_bytes() if path.is_file() else None
            etag = f'"{hashlib.sha256(data or b"").hexdigest()}"'
            code = served.answer or (404 if data is None else 200)
            if code == 200 and self.headers.get("If-None-Match") == etag:
                code = 304
            served.asked.append((self.path, code))
            self.send_response(code)
            self.send_header("ETag", etag)
            body = data if code == 200 and data is not None else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
