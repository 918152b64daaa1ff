"""The instance metadata service, version 2 only, for what runs at boot.

A missing value (404) is an answer; an error page never becomes data; and every
question ends, because the whole conversation has one deadline. Source: EC2 User
Guide, "Use the Instance Metadata Service to access instance metadata".

Spoken over a socket: Python's own HTTP modules, with the TLS that nobody needs here,
take a tenth of a second of every boot to load. The address is link-local, so a proxy
in the environment is never right and is not looked at.

ANNEXKIT_IMDS and ANNEXKIT_IMDS_PATIENCE (base URL; seconds for all questions
together) are seams for tests; nothing sets them on a node.
"""

from __future__ import annotations

import os
import socket
import time

BASE = "http://169.254.169.254"
PATIENCE = 60.0
ONE_TRY = 5.0
TOKEN_SECONDS = 300
LARGEST = 1 << 20


class MetadataError(Exception):
    """The metadata service did not answer, or refused."""


class Status(Exception):
    """An answer that is neither the value nor "not there"; *code* is its status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code


class Imds:
    """Asks the metadata service, with a token and until one deadline."""

    def __init__(self, base: str, patience: float) -> None:
        self._base = base.rstrip("/")
        self._patience = patience
        self._end = time.monotonic() + patience
        self._token = ""

    @classmethod
    def from_environment(cls, patience: float = PATIENCE) -> Imds:
        """The node's own service, unless a test says otherwise."""
        return cls(
            os.environ.get("ANNEXKIT_IMDS", BASE),
            float(os.environ.get("ANNEXKIT_IMDS_PATIENCE", patience)),
        )

    def get(self, path: str) -> bytes | None:
        """Return what is at ``/latest/<path>``, or None where nothing is (404).

        :raises MetadataError: refused, or no usable answer before the deadline.
        """
        pause, last = 0.25, "no time left to ask"
        while self._left() > 0:
            try:
                return self._once(path)
            except (OSError, Status) as error:
                last = self._judge(error)
            time.sleep(max(0.0, min(pause, self._left())))
            pause = min(pause * 2, 4.0)
        raise MetadataError(
            f"no answer to '{path}' within {self._patience:g} s: {last}"
        )

    def text(self, path: str) -> str | None:
        """Return a value as text, without blanks around it; None where nothing is."""
        data = self.get(path)
        return None if data is None else data.decode("utf-8", "replace").strip()

    def _once(self, path: str) -> bytes | None:
        if not self._token:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            token = self._ask("PUT", "api/token", ttl)
            self._token = token.decode("ascii", "replace").strip()
        try:
            return self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
        except Status as error:
            if error.code == 404:
                return None
            raise

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        timeout = max(0.1, min(ONE_TRY, self._left()))
        host, _, port = self._base.partition("://")[2].partition(":")
        lines = {"Host": host, "Connection": "close", "Content-Length": "0", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with socket.create_connection((host, int(port or 80)), timeout) as door:
            door.sendall(f"{method} /latest/{path} HTTP/1.1\r\n{head}\r\n".encode())
            return _body(path, self._heard(door))

    def _heard(self, door: socket.socket) -> bytes:
        """Read until the service closes the connection."""
        data = b""
        while len(data) <= 2 * LARGEST:
            if self._left() <= 0:
                raise TimeoutError("timed out")
            part = door.recv(1 << 16)
            if not part:
                break
            data += part
        return data

    def _judge(self, error: Exception) -> str:
        """Say what went wrong, or raise when asking again cannot help."""
        if isinstance(error, Status):
            said = str(error)
            if error.code == 401:  # the token ran out, or is not known here
                self._token = ""
            elif error.code != 429 and error.code < 500:
                raise MetadataError(f"the metadata service refuses: {said}") from error
            return said
        return str(error) or type(error).__name__

    def _left(self) -> float:
        return self._end - time.monotonic()


def _body(path: str, data: bytes) -> bytes:
    """Take an answer apart (RFC 9112); the service closes after each.

    :raises Status: its status is another than 200.
    :raises OSError: it was cut off, or is none.
    :raises MetadataError: it is larger than anything we ask for.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise OSError("the answer is no HTTP")
    if words[1] != "200":
        raise Status(int(words[1]))
    fields = {
        name.lower(): value for name, _, value in (x.partition(":") for x in lines)
    }
    length = int(fields.get("content-length", len(body)))
    if length > LARGEST or len(body) > LARGEST:
        raise MetadataError(f"the answer to '{path}' is larger than {LARGEST} bytes")
    if len(body) < length or "transfer-encoding" in fields:
        raise OSError("the answer was cut off")
    return body[:length]
