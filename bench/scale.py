"""What an annex of 1,000 and of 10,000 nodes costs annexkit itself.

Run by ``make bench``, or alone: ``.venv-bench/bin/python bench/scale.py``. The code of
``invoke launch``, ``status``, ``extend`` and ``terminate`` works against an API alone
(bench/scale_cloud.py), without a machine: nothing is verified, no pool is asked over
the network. What the collector would say is made here as ClassAds, and read as real
ones are. Each size runs in a process of its own, which counts CPU, calls and memory.

Figures and their reading stand in bench/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import ROOT, peak_mb, table, write_json
from scale_annex import ANNEX, REGION, Pretended, make_ready, make_site
from ssh_clients import cpu

from annexkit import annexes
from annexkit.flows import (
    annex_extend,
    annex_status,
    annex_terminate,
    launch_run,
    launch_start,
    lease,
)
from annexkit.flows.launch_plan import Ready
from annexkit.flows.site import Site
from annexkit.launch import longlived
from annexkit.pool.collector import Collector

STATUS_BAR = 5.0  # seconds of CPU for 10,000 nodes
HEAD = (
    "step",
    "nodes",
    "CPU s",
    "calls",
    "calls per 100 nodes",
    "kB per node",
    "grows",
)


class Laps:
    """Counts CPU, calls and memory of each step."""

    def __init__(self, site: Site, count: int, pretended: Pretended) -> None:
        self.site = site
        self.count = count
        self.pretended = pretended
        self.rows: list[dict[str, Any]] = []

    def step(self, name: str, action: Callable[[], object]) -> None:
        """Do one step and note what it took; what it prints is thrown away."""
        before = dict(self.site.cloud.calls)
        used, began = cpu(), time.monotonic()
        self.pretended.asked = 0
        with contextlib.redirect_stdout(io.StringIO()):
            action()
        after = self.site.cloud.calls
        made = {
            f"{call[1]}": after[call] - before.get(call, 0)
            for call in after
            if after[call] > before.get(call, 0)
        }
        self.rows.append(
            {
                "step": name,
                "nodes": self.count,
                "cpu": cpu() - used + self.pretended.asked * self.pretended.cpu,
                "wall": time.monotonic() - began,
                "calls": made,
                "peak_mb": peak_mb(),
            }
        )
        line = self.rows[-1]
        print(f"{self.count} nodes, {name}: {line['cpu']:.2f} s", file=sys.stderr)


def live(count: int, memory: bool) -> list[dict[str, Any]]:
    """Let one annex of *count* nodes live from launch to end; return its steps."""
    gc.freeze()  # as every command does (annexkit.commands.shared)
    gc.set_threshold(100_000, 20, 100)
    with tempfile.TemporaryDirectory(prefix="annexkit-scale-") as name:
        site = make_site(Path(name))
        pretended = Pretended(count)
        Collector._run = pretended.run  # type: ignore[assignment,method-assign]
        ready = make_ready(site, count)
        if memory:
            return [_memory(site, ready, count)]
        laps = Laps(site, count, pretended)
        run = launch_run.begin(site, ready)
        run.needs = longlived.ensure(site.cloud, ready.wants, poll=0.05)
        laps.step("launch", lambda: launch_start.start(run, count))
        ids = run.ids
        if len(ids) != count:
            raise SystemExit(f"{len(ids)} of {count} nodes: {run.waves[0].findings()}")
        ends = run.lease_ends
        laps.step(
            "lease",
            lambda: lease.grant(site, REGION, ANNEX, run.id, ids, expires=ends),
        )
        laps.step("status", lambda: annex_status.show_status(site))
        laps.step("status of one", lambda: annex_status.show_status(site, ANNEX))
        site.console.as_json = False
        laps.step("its table", lambda: annex_status.show_status(site, ANNEX))
        site.console.as_json = True
        pretended.expires = int(time.time()) + 14400
        until = datetime.fromtimestamp(pretended.expires, UTC).isoformat()
        request = annex_extend.ExtendRequest(ANNEX, until=until)
        laps.step("extend", lambda: annex_extend.extend(site, request))
        site.journal.close(run.entry.id)
        end = annex_terminate.TerminateRequest(ANNEX, yes=True)
        laps.step("terminate", lambda: annex_terminate.terminate(site, end))
        left = annexes.find(site.cloud, REGION, ANNEX).nodes
        if left:
            raise SystemExit(f"{len(left)} nodes were not terminated")
        return laps.rows


def _memory(site: Site, ready: Ready, count: int) -> dict[str, Any]:
    """Return what Python holds at most, by step, in bytes a node."""
    run = launch_run.begin(site, ready)
    run.needs = longlived.ensure(site.cloud, ready.wants, poll=0.05)
    peaks = {}
    steps: dict[str, Callable[[], object]] = {
        "launch": lambda: launch_start.start(run, count),
        "status": lambda: annex_status.show_status(site),
        "status of one": lambda: annex_status.show_status(site, ANNEX),
    }
    for name, action in steps.items():
        tracemalloc.start()
        with contextlib.redirect_stdout(io.StringIO()):
            action()
        peaks[name] = tracemalloc.get_traced_memory()[1] / count
        tracemalloc.stop()
    return {"nodes": count, "bytes": peaks}


@contextlib.contextmanager
def api() -> Iterator[dict[str, str]]:
    """Serve the API in a process of its own; yield the environment that finds it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, ROOT / "bench" / "scale_cloud.py", str(port)],
        stdout=subprocess.DEVNULL,
    )
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
    }
    try:
        _wait_for(env["AWS_ENDPOINT_URL"], server)
        yield env
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, whatever it says
        except OSError:
            if server.poll() is not None:
                raise SystemExit("the API did not start") from None
            time.sleep(0.1)
    raise SystemExit("the API does not answer")


def child(count: int, *, memory: bool) -> list[dict[str, Any]]:
    """Measure one size in a process of its own, against an API of its own."""
    with api() as env:
        command = [sys.executable, __file__, "--live", str(count)]
        done = subprocess.run(
            [*command, *(["--memory"] if memory else [])],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def report(rows: list[dict[str, Any]], memory: list[dict[str, Any]]) -> str:
    """Return the table; ``grows`` is the exponent between a size and the one before."""
    held = {row["nodes"]: row["bytes"] for row in memory}
    by_step: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_step.setdefault(row["step"], []).append(row)
    lines = []
    for name, steps in by_step.items():
        before = None
        for row in steps:
            grows = _exponent(before, row) if before else "–"
            before = row
            each = held.get(row["nodes"], {}).get(name)
            calls = sum(row["calls"].values())
            lines.append(
                (
                    name,
                    row["nodes"],
                    f"{row['cpu']:.2f}",
                    calls,
                    f"{100 * calls / row['nodes']:.2f}",
                    f"{each / 1000:.1f}" if each else "–",
                    grows,
                )
            )
    return table(HEAD, lines)


def _exponent(small: dict[str, Any], large: dict[str, Any]) -> str:
    """Return x where CPU grows as n to the x."""
    ratio = large["nodes"] / small["nodes"]
    return f"n^{math.log(large['cpu'] / small['cpu']) / math.log(ratio):.2f}"


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description="Measure annexkit at scale.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--json", type=Path, help="write the raw figures to this file")
    parser.add_argument("--live", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.live:
        print(json.dumps(live(given.live, given.memory)))
        return
    rows = [row for size in given.sizes for row in child(size, memory=False)]
    memory = [row for size in given.sizes for row in child(size, memory=True)]
    print(report(rows, memory))
    status = [r["cpu"] for r in rows if r["step"].startswith("status")]
    verdict = "within" if max(status) < STATUS_BAR else "above"
    print(f"\nstatus: at most {max(status):.1f} s of CPU, {verdict} {STATUS_BAR:g} s")
    write_json(given.json, {"steps": rows, "memory": memory})


if __name__ == "__main__":
    main()
