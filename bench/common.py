"""What the measurements share: medians, tables, and who costs what."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = os.sysconf("SC_PAGE_SIZE")


def middle(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; numbers as they come, already rounded."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(c) for c in line)} |" for line in lines)


def write_json(path: Path | None, value: Any) -> None:
    """Write the raw figures, when a file was asked for."""
    if path:
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def peak_mb() -> float:
    """Return the most memory this process ever held, in MB.

    VmHWM and not ``ru_maxrss``: the latter starts with what the parent held at fork.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def family_mb(pid: int) -> float:
    """Return what a process and its descendants hold now, shared pages once, in MB."""
    own = shared = 0
    for member in _family(pid):
        try:
            words = Path(f"/proc/{member}/statm").read_text(encoding="ascii").split()
        except OSError:  # it has just ended
            continue
        own += int(words[1]) - int(words[2])
        shared = max(shared, int(words[2]))
    return (own + shared) * PAGE / 2**20


def _family(pid: int) -> list[int]:
    found, look = [], [pid]
    while look:
        found.append(look.pop())
        for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                look += [int(word) for word in path.read_text(encoding="ascii").split()]
            except OSError:  # the thread has just ended
                continue
    return found
