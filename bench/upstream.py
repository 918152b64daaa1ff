"""From the command to a slot in the pool: annexkit beside upstream's condor_annex.

Run by hand: ``.venv/bin/python bench/upstream.py``, in the rehearsal, which it brings
up; 8 nodes need ``INVOKE_ANNEXKIT_REHEARSAL_MACHINES=9``. Three ways take turns, in one
pool of HTCondor 23.9, with the pool password:

- ``invoke launch`` on our AMI: each node verified over SSH, leased, its end scheduled;
- upstream's unmodified client on an AMI with upstream's stock boot package, on the base
  that ours starts from, which lets its instances ask without tokens (IMDSv1);
- upstream's client on our AMI, which requires tokens.

The clock starts with the command. This program asks the collector four times a second,
in the same way for all, and counts the API calls that were answered until the last slot
was there: those of the command and those of the nodes. The file bench/README.md holds
the figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from uuid import uuid4

from bake import INVOKE, ROOT, calls, rehearsal, run
from common import middle, table, write_json
from launch import REGION, SLOWER, Bench, Eyes

sys.path.insert(0, str(ROOT))  # the tests' own way to run upstream's client

from tests.rehearsal.upstream import Upstream, standing, upstream
from tests.rehearsal.upstream_stock import stock_image

POOL = "23.9"
OURS, STOCK, CLIENT = "invoke launch", "upstream, stock", "upstream, our AMI"
BAR, AIM = 0.7, 0.5
HEAD = ("nodes", "way", "first slot", "all slots", "API calls", "of stock", "bar")


@dataclass(frozen=True)
class Took:
    """One start: seconds until the first and the last slot, API calls until then."""

    first: float
    all: float
    calls: float


Figures = dict[tuple[str, int], list[Took]]


class CountingEyes(Eyes):
    """Counts the API calls that were answered until all was seen."""

    def __init__(self, collector: str, env: Mapping[str, str]) -> None:
        super().__init__(collector)
        self._env = dict(env)
        self.calls = 0

    def watch(self, annex: str, count: int, began: float) -> tuple[float, float]:
        """Wait for all, and keep how many calls it took."""
        seen = super().watch(annex, count, began)
        self.calls = calls(self._env).total()
        return seen


class Sides(Bench):
    """The three ways to start nodes in one pool."""

    def __init__(self, env: Mapping[str, str], client: Upstream, stock: str) -> None:
        super().__init__(env)
        self.counting = CountingEyes(self.pool.collector, env)
        self.eyes = self.counting
        self.client = client
        self.stock = stock

    def took(self, way: str, count: int) -> Took:
        """Start nodes in one way, end them, and return what it took."""
        self.settle()
        self._forget_calls()
        if way == OURS:
            turn = self.ours(count)
            return Took(turn.first, turn.all, self.counting.calls)
        first, last = self._by_client(self.stock if way == STOCK else self.ami, count)
        return Took(first, last, self.counting.calls)

    def _by_client(self, ami: str, count: int) -> tuple[float, float]:
        annex = f"bench-{uuid4().hex[:8]}"
        flags = ("-aws-on-demand-ami-id", ami)
        began = time.monotonic()
        said: list[str] = []

        def start() -> None:
            said.append(self.client.start(annex, count, *flags).stdout)

        running = Thread(target=start)
        running.start()
        try:
            seen = self.eyes.watch(annex, count, began)
        finally:
            running.join()
            self._end(annex)
        if "Annex started." not in said[0]:
            raise SystemExit(f"upstream's client started nothing:\n{said[0]}")
        return seen

    def _end(self, annex: str) -> None:
        ec2 = self._ec2()
        wanted = [{"Name": "tag:htcondor:AnnexName", "Values": [annex]}]
        found = ec2.describe_instances(Filters=wanted)["Reservations"]
        ids = [one["InstanceId"] for each in found for one in each["Instances"]]
        if ids:
            ec2.terminate_instances(InstanceIds=ids)

    def _forget_calls(self) -> None:
        import urllib.request  # noqa: PLC0415

        url = f"{self.env['AWS_ENDPOINT_URL']}/_rehearsal/calls"
        asked = urllib.request.Request(url, method="DELETE")
        urllib.request.urlopen(asked, timeout=30).close()


@contextmanager
def sides() -> Iterator[Sides]:
    """Bring up what is missing: rehearsal, pool, both AMIs."""
    env = rehearsal()
    folder = env["INVOKE_ANNEXKIT_STATE_DIR"]
    up = standing(Path(folder).parent)
    with upstream(up, POOL) as client:
        env |= client.host.environment() | SLOWER
        run([INVOKE, "bake"], env)
        os.environ.update(env)
        yield Sides(env, client, stock_image(up, REGION))


def take_turns(found: Sides, sizes: list[int], turns: int) -> Figures:
    """Start nodes in every way and number, round robin."""
    figures: Figures = defaultdict(list)
    found.took(OURS, 1)  # not counted: makes the long-lived set, warms all caches
    for turn in range(turns):
        for size in sizes:
            for way in (OURS, STOCK, CLIENT):
                took = found.took(way, size)
                figures[way, size].append(took)
                said = f"{took.first:.1f} to {took.all:.1f} s, {took.calls} calls"
                print(f"turn {turn + 1}, {size} nodes, {way}: {said}", file=sys.stderr)
    found.settle()
    return figures


def median(turns: list[Took]) -> Took:
    """Return the medians of some turns, figure by figure."""
    names = Took.__dataclass_fields__
    return Took(*(middle(getattr(took, name) for took in turns) for name in names))


def report(figures: Figures) -> str:
    """Return the table; a way is held against upstream's stock package."""
    rows = []
    for way, size in sorted(figures, key=lambda one: (one[1], one[0])):
        took = median(figures[way, size])
        ratio = took.all / median(figures[STOCK, size]).all
        kept = "kept" if ratio <= BAR else "MISSED"
        rows.append(
            (
                *(size, way, f"{took.first:.1f} s", f"{took.all:.1f} s"),
                *(f"{took.calls:.0f}", f"{ratio:.2f}"),
                f"{BAR}: {kept}" if way == OURS else "–",
            )
        )
    return table(HEAD, rows)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure beside upstream's client.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every turn to this file")
    given = parser.parse_args()
    with sides() as found:
        figures = take_turns(found, given.sizes, given.turns)
    print(report(figures))
    print(f"aim {AIM}")
    raw = [
        {"way": way, "nodes": size, "turns": [vars(took) for took in turns]}
        for (way, size), turns in figures.items()
    ]
    write_json(given.json, raw)


if __name__ == "__main__":
    main()
