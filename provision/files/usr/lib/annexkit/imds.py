"""The instance metadata service, version 2 only, for what runs at boot.

A missing value (404) is an answer; an error page never becomes data; and every
question ends, because the whole conversation has one deadline. Source: EC2 User
Guide, "Use the Instance Metadata Service to access instance metadata".

ANNEXKIT_IMDS and ANNEXKIT_IMDS_PATIENCE (base URL; seconds for all questions
together) are seams for tests; nothing sets them on a node.
"""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request

BASE = "http://169.254.169.254"
PATIENCE = 60.0
ONE_TRY = 5.0
TOKEN_SECONDS = 300
LARGEST = 1 << 20


class MetadataError(Exception):
    """The metadata service did not answer, or refused."""


class Imds:
    """Asks the metadata service, with a token and until one deadline."""

    def __init__(self, base: str, patience: float) -> None:
        self._base = base.rstrip("/")
        self._patience = patience
        self._end = time.monotonic() + patience
        self._token = ""
        # The address is link-local: a proxy in the environment is never right.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def from_environment(cls) -> Imds:
        """The node's own service, unless a test says otherwise."""
        return cls(
            os.environ.get("ANNEXKIT_IMDS", BASE),
            float(os.environ.get("ANNEXKIT_IMDS_PATIENCE", PATIENCE)),
        )

    def get(self, path: str) -> bytes | None:
        """Return what is at ``/latest/<path>``, or None where nothing is (404).

        :raises MetadataError: refused, or no usable answer before the deadline.
        """
        pause, last = 0.25, "no time left to ask"
        while self._left() > 0:
            try:
                return self._once(path)
            except (OSError, http.client.HTTPException) as error:
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
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(  # noqa: S310
            f"{self._base}/latest/{path}", method=method, headers=headers
        )
        timeout = max(0.1, min(ONE_TRY, self._left()))
        with self._opener.open(request, timeout=timeout) as answer:
            data: bytes = answer.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise MetadataError(
                f"the answer to '{path}' is larger than {LARGEST} bytes"
            )
        return data

    def _judge(self, error: Exception) -> str:
        """Say what went wrong, or raise when asking again cannot help."""
        if isinstance(error, urllib.error.HTTPError):
            said = f"HTTP {error.code}"
            if error.code == 401:  # the token ran out, or is not known here
                self._token = ""
            elif error.code != 429 and error.code < 500:
                raise MetadataError(f"the metadata service refuses: {said}") from error
            return said
        return str(error) or type(error).__name__

    def _left(self) -> float:
        return self._end - time.monotonic()
