"""What every check on a node stands on: what is expected, and doors to the node.

This module and its siblings ``node_*`` run on the node itself, on its own Python (3.9
or newer, standard library only); see :mod:`annexkit.verify.node_check`.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Optional, TypeVar

T = TypeVar("T")

METADATA = "http://169.254.169.254"
POLL = 0.25
PATIENCE = 120.0  # seconds that all waiting together may take


class Wrong(Exception):
    """A check failed; the text says what is wrong."""


class Node:
    """The node, what is expected of it, and what it tells for comparison.

    Two keys of *want* are seams for tests alone: ``root`` is a prefix of every path,
    ``imds`` the address of the metadata service.
    """

    def __init__(self, want: dict[str, Any]) -> None:
        self.want = want
        self.root: str = want.get("root", "")
        self.imds: str = want.get("imds", METADATA)
        self.patience: float = want.get("patience", PATIENCE)
        self.started = time.time()
        self.end = time.monotonic() + self.patience
        self.identity: dict[str, list[str]] = {}
        self.boot_seconds: Optional[float] = None  # noqa: UP045

    def path(self, path: str) -> Path:
        """Return where a path of the node is."""
        return Path(self.root + path)

    def inside(self, path: Path) -> str:
        """Return what the node calls a path."""
        return str(path)[len(self.root) :]

    def read(self, path: str) -> str:
        """Return a file's text.

        :raises Wrong: it cannot be read.
        """
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Wrong(f"{path}: {error.strerror}") from error

    def json(self, path: str) -> dict[str, Any]:
        """Return what a JSON file holds.

        :raises Wrong: it cannot be read, or holds no JSON object.
        """
        try:
            found = json.loads(self.read(path))
        except ValueError as error:
            raise Wrong(f"{path} is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise Wrong(f"{path} is no JSON object")
        return found

    def rows(self, table: str) -> list[list[str]]:
        """Return the rows of one of provision/'s tab-separated tables."""
        lines = self.want.get(table, "").splitlines()
        return [line.split("\t") for line in lines if line and not line.startswith("#")]

    def applies(self, only: str) -> bool:
        """Say whether a row of files.tsv or units.tsv is meant for this image."""
        kind, _, name = only.partition("=")
        if kind in ("contract", "package"):
            return name in self.want.get(f"{kind}s", ())
        return kind != "family" or name == self.want["family"]

    def wait(self, condition: Callable[[], Optional[T]], what: str) -> T:  # noqa: UP045
        """Return the first true answer before the deadline that all checks share.

        :raises Wrong: there was none.
        """
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() >= self.end:
                raise Wrong(f"{what}, still after {self.patience:g} s")
            time.sleep(POLL)


def command(*args: str, check: bool = True, timeout: float = 60, **options: Any) -> str:
    """Return what a program prints, both outputs together.

    :raises Wrong: not there, too slow, or failed while *check* is set.
    """
    try:
        done = subprocess.run(
            args,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            **options,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Wrong(f"{' '.join(args)}: {error}") from error
    said = str(done.stdout).strip()
    if check and done.returncode:
        raise Wrong(f"{' '.join(args)}: exit code {done.returncode}: {said[-500:]}")
    return said


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit, or of systemd itself when *unit* is empty."""
    asked = [f"--property={name}" for name in names]
    shown = command(
        "systemctl", "show", "--timestamp=unix", *asked, *([unit] if unit else [])
    )
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value for name, _, value in pairs}


def expect(ok: object, detail: str, what: str = "") -> str:
    """Return *detail* when all is well.

    :raises Wrong: it is not; says *what*, or *detail* when that is enough.
    """
    if not ok:
        raise Wrong(what or detail)
    return detail


def differing(pairs: Iterable[tuple[str, object, object]]) -> str:
    """Say which of (name, found, expected) differ; empty when none does."""
    return "; ".join(
        f"{name} is {found!r}, expected {wanted!r}"
        for name, found, wanted in pairs
        if found != wanted
    )
