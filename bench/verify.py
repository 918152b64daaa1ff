"""How fast annexkit runs one command on many nodes, beside other SSH clients.

Run by ``make bench``, or alone: ``.venv-bench/bin/python bench/verify.py``. Targets are
OpenSSH servers on loopback (bench/ssh_farm.py). Each client does the same command with
the same number of hosts at a time, in a process of its own; clients take turns, so
that a drifting machine speed hits all alike; figures are medians. Whether a client
checks host keys is tried, not believed: it is sent to a host with another host's key.

Figures and their reading stand in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import ROOT, family_mb, middle, table, write_json
from ssh_clients import CLIENTS, Job
from ssh_farm import USER, Farm, Target, enter

HEAD = (
    "client",
    "checks host keys",
    "hosts",
    "hosts/s",
    "CPU ms/host",
    "peak MB",
    "of the fastest that checks",
)


def measure(name: str, job: Job) -> dict[str, Any]:
    """Run one client in a process of its own; return its figures."""
    child = subprocess.Popen(
        [sys.executable, ROOT / "bench" / "ssh_clients.py", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    done, held = threading.Event(), [0.0]

    def look() -> None:
        while not done.wait(0.1):
            held[0] = max(held[0], family_mb(child.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    said, _ = child.communicate(job.write())
    done.set()
    watcher.join()
    if child.returncode:
        raise SystemExit(f"{name} failed")
    figures: dict[str, Any] = json.loads(said)
    figures["peak_mb"] = max(figures["peak_mb"], held[0])
    return figures


def order(farm: Farm, targets: list[Target], workers: int) -> Job:
    """Return the job for some targets, all with the key that is really theirs."""
    return Job(
        targets=[(target.address, target.host_key) for target in targets],
        user=USER,
        key=str(farm.key),
        known_hosts=str(farm.known_hosts(targets)),
        command=f"cat {farm.answer}",
        answer=str(farm.answer),
        workers=workers,
    )


def checks_keys(farm: Farm, name: str) -> bool:
    """Send a client to a host under another host's key; True when it refuses."""
    first, second = farm.targets[:2]
    job = order(farm, [Target(first.address, second.host_key)], 1)
    return not measure(name, job)["good"]


def take_turns(
    farm: Farm, names: list[str], sizes: list[int], workers: int, turns: int
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Measure every client at every size, round robin."""
    figures: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for size in sizes:
        job = order(farm, farm.targets[:size], workers)
        for turn in range(turns):
            for name in names:
                got = measure(name, job)
                figures[name, size].append(got)
                if got["good"] != size:
                    print(f"{name}: {size - got['good']} failed: {got['other']}")
                rate = size / got["wall"]
                note(f"turn {turn + 1}, {size} hosts, {name}: {rate:.0f} hosts/s")
    return figures


def report(
    figures: dict[tuple[str, int], list[dict[str, Any]]], checking: dict[str, bool]
) -> str:
    """Return the table: medians over the turns."""
    rate = {
        key: middle(key[1] / turn["wall"] for turn in turns)
        for key, turns in figures.items()
    }
    rows = []
    for (name, size), turns in figures.items():
        best = max(rate[n, s] for n, s in rate if s == size and checking[n])
        per_host = middle(1000 * turn["cpu"] / size for turn in turns)
        peak = max(turn["peak_mb"] for turn in turns)
        rows.append(
            (
                CLIENTS[name].name,
                "yes" if checking[name] else "**no**",
                size,
                f"{rate[name, size]:.0f}",
                f"{per_host:.1f}",
                f"{peak:.0f}",
                f"{rate[name, size] / best:.2f}" if checking[name] else "–",
            )
        )
    return table(HEAD, rows)


def note(text: str) -> None:
    """Say on standard error how far it is; standard output is for the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure SSH clients side by side.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1000])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--workers", type=int, default=64, help="hosts at a time")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--json", type=Path, help="write every turn to this file")
    given = parser.parse_args()
    enter()
    note(f"starting {max(given.sizes)} servers")
    with Farm(max(2, *given.sizes)) as farm:
        checking = {name: checks_keys(farm, name) for name in given.clients}
        figures = take_turns(
            farm, given.clients, given.sizes, given.workers, given.turns
        )
    print(report(figures, checking))
    raw = [
        {"client": name, "hosts": size, "checks": checking[name], "turns": turns}
        for (name, size), turns in figures.items()
    ]
    write_json(given.json, raw)


if __name__ == "__main__":
    main()
