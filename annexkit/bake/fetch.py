"""Fetching from a package repository: bounded, conditional, cached."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from annexkit.errors import AnnexkitError
from annexkit.files import FileError, write_beside

TIMEOUT = 10.0  # seconds without a byte
VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


class FetchError(AnnexkitError):
    """Something could not be fetched; ``missing`` when the server says it is not there.

    The message never holds a password that stands in the address.
    """

    def __init__(self, url: str, reason: str, *, missing: bool = False) -> None:
        super().__init__(f"cannot fetch {redacted(url)}: {reason}")
        self.missing = missing


class Cache:
    """A folder of small JSON files, each named by a hash of its key.

    What cannot be read is not there; what cannot be written is not kept.

    :param packed: compress them: for values of megabytes.
    """

    def __init__(self, folder: Path, *, packed: bool = False) -> None:
        self.folder = folder
        self.packed = packed

    def get(self, key: str) -> dict[str, Any]:
        """Return what is kept under *key*, or ``{}``."""
        try:
            data = self._path(key).read_bytes()
            kept = json.loads(gzip.decompress(data) if self.packed else data)
        except (OSError, EOFError, zlib.error, ValueError):
            return {}
        return kept if isinstance(kept, dict) and kept.get("key") == key else {}

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keep *value* under *key*."""
        data = json.dumps({**value, "key": key}).encode()
        try:
            write_beside(self._path(key), gzip.compress(data) if self.packed else data)
        except FileError:
            return

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        return self.folder / f"{name}.json{'.gz' if self.packed else ''}"


def fetch_text(url: str, cache: Cache, *, limit: int) -> str:
    """Return a text file, asking only whether it changed when it is cached.

    :param limit: bytes it may have.
    :raises FetchError: not there, not reachable, or too large.
    """
    key = redacted(url)
    kept = cache.get(key)
    headers = {
        question: str(kept[validator])
        for validator, question in VALIDATORS.items()
        if kept.get(validator)
    }
    try:
        with opened(url, headers) as answer:
            text = bounded(answer, url, limit).decode("utf-8", errors="replace")
            fresh = {name: answer.headers.get(name) for name in VALIDATORS}
    except NotChanged:
        return str(kept["text"])
    if kept.get("text") != text:
        cache.put(key, {**fresh, "text": text})
    return text


class NotChanged(Exception):
    """The server says that the cached copy is current (HTTP 304)."""


@contextmanager
def opened(url: str, headers: dict[str, str] | None = None) -> Iterator[Any]:
    """Open an address for reading.

    :raises NotChanged: the answer to a conditional request.
    :raises FetchError: anything else that keeps it from being read, now or later.
    """
    try:
        asked = _request(url, headers or {})
        with urllib.request.urlopen(asked, timeout=TIMEOUT) as answer:  # noqa: S310
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304:
            raise NotChanged from None
        missing = error.code in {404, 410}
        raise FetchError(url, f"HTTP {error.code}", missing=missing) from None
    except urllib.error.URLError as error:
        missing = isinstance(error.reason, FileNotFoundError)
        raise FetchError(url, str(error.reason), missing=missing) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FetchError(url, str(error) or type(error).__name__) from None


@contextmanager
def scratch(url: str) -> Iterator[IO[bytes]]:
    """Yield a nameable file for what an address holds; gone when the block ends.

    :raises FetchError: the disk has no room for it.
    """
    try:
        with tempfile.NamedTemporaryFile() as file:
            yield file
    except OSError as error:
        raise FetchError(url, f"no room for it on this disk: {error}") from None


def bounded(answer: Any, url: str, limit: int) -> bytes:
    """Read all of it, but no more than *limit* bytes.

    :raises FetchError: there is more, or less than announced.
    """
    data: bytes = answer.read(limit + 1)
    if len(data) > limit:
        raise FetchError(url, f"larger than {limit} bytes")
    # Reading a given number of bytes hides a connection that broke off.
    announced = answer.headers.get("Content-Length")
    if announced is not None and int(announced) != len(data):
        raise FetchError(url, f"broke off after {len(data)} of {announced} bytes")
    return data


def redacted(url: str) -> str:
    """Return an address without user name and password."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an address that is none"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    user = urllib.parse.urlsplit(url).netloc.rpartition("@")[0]
    if user:
        secret = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        headers = {**headers, "Authorization": f"Basic {secret}"}
    # The schemes are those of sources.py and the recipe model.
    return urllib.request.Request(redacted(url), headers=headers)  # noqa: S310
