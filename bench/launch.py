"""How long a launch takes until its nodes are in the pool, and how long it must take.

Run by ``make bench``, or alone: ``.venv-bench/bin/python bench/launch.py``, in the
rehearsal, which it brings up, with a pool and an AMI, where they are missing. Beside
``invoke launch`` stands a floor: the same AMI, as many instances by one RunInstances
from a warm client, with HTCondor's configuration and a token already in their user
data (bench/floor.yaml). The floor verifies nothing, leases nothing, keeps no secret. It
comes in two kinds, which differ in how HTCondor is started:

- ``runcmd``: at the end of cloud-init, as people write it;
- ``bootcmd``: as early as cloud-init can, so that nothing else is waited for.

All take turns. Both sides are seen by the same eyes: this program asks the collector
every quarter of a second how many nodes of the annex it knows. The clock starts with
the command, or with the call; what a launch says of itself stands beside.

Figures and their reading stand in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from bake import INVOKE, rehearsal, run
from common import ROOT, middle, table, write_json
from launch_floor import FLOORS, user_data

from annexkit import settings
from annexkit.pool.target import Pool
from annexkit.waiting import wait_for

REGION = "us-west-2"
TYPE = "t3.small"
LONGEST = 300.0
LOOK = 0.25  # seconds between two questions to the collector
BAR, PLUS, AIM = 1.5, 3.0, 1.2
OURS = "invoke launch"
# Longer than what the rehearsal sets for tests, for a machine with two processors; and
# a pace of looking at the lease as in earnest.
SLOWER = {
    "INVOKE_ANNEXKIT_LAUNCH_BOOT_TIMEOUT": "200s",
    "INVOKE_ANNEXKIT_LAUNCH_JOIN_TIMEOUT": "200s",
    "INVOKE_ANNEXKIT_LAUNCH_LEASE_POLL": "60s",
    "INVOKE_ANNEXKIT_LAUNCH_INSTANCE_TYPES": TYPE,
}
HEAD = (
    "nodes",
    "floor: first / all in the pool",
    "ours: verified",
    "ours: first / all in the pool",
    "ours: command ended",
    "of the floor",
    "bar",
)


@dataclass(frozen=True)
class Turn:
    """One start of some nodes; all times in seconds since the command or the call.

    ``first`` and ``all`` are when the collector knew one node, and all of them. The
    rest is what a launch says of itself.
    """

    first: float
    all: float
    called: float = 0.0
    verified: float = 0.0
    said_joined: float = 0.0
    ended: float = 0.0


class Eyes:
    """Asks the collector, always in the same way."""

    def __init__(self, collector: str) -> None:
        import htcondor2  # noqa: PLC0415 - reads CONDOR_CONFIG, which is set by now

        self._kind = htcondor2.AdType.Startd
        self._collector = htcondor2.Collector(collector)

    def nodes(self, annex: str) -> set[str]:
        """Return the machines of an annex that the collector knows."""
        where = f'AnnexName =?= "{annex}"'
        found = self._collector.query(self._kind, where, projection=["Machine"])
        return {str(ad["Machine"]) for ad in found}

    def watch(self, annex: str, count: int, began: float) -> tuple[float, float]:
        """Wait for all; return when the first one and the last one were there."""
        seen: list[float] = []

        def there() -> bool:
            known = len(self.nodes(annex))
            seen.extend([time.monotonic() - began] * (known - len(seen)))
            return known >= count

        wait_for(there, what=f"{annex} in the pool", timeout=LONGEST, poll=LOOK)
        return seen[0], seen[-1]


class Bench:
    """The rehearsal, its pool and its AMI, and the two ways to start nodes."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        section = {k: self.env[f"INVOKE_ANNEXKIT_POOL_{k.upper()}"] for k in POOL_KEYS}
        self.pool = Pool.of(settings.load({"pool": section}).pool)
        self.eyes = Eyes(self.pool.collector)
        self.ami = ""

    def ours(self, count: int) -> Turn:
        """Launch by the command line; end the annex afterwards."""
        annex = f"bench-{uuid4().hex[:8]}"
        named = ("--annex-name", annex)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            began, epoch = time.monotonic(), time.time()
            process = subprocess.Popen(
                [str(INVOKE), "launch", *named, "--count", str(count), "--json"],
                cwd=ROOT,
                env=self.env,
                stdout=out,
                stderr=err,
            )
            try:
                first, last = self.eyes.watch(annex, count, began)
                code = process.wait(LONGEST)
                ended = time.monotonic() - began
                begun = self._begun(annex) - epoch
            finally:
                process.kill()
                process.wait()
                run([INVOKE, "terminate", *named, "--yes"], self.env)
            out.seek(0)
            err.seek(0)
            if code:
                raise SystemExit(f"launch failed:\n{err.read()}")
            said = json.load(out)
        self.ami = said["ami"]
        return Turn(
            first,
            last,
            called=begun,
            verified=begun + said["seconds"]["checks"],
            said_joined=begun + said["seconds"]["joined"],
            ended=ended,
        )

    def _begun(self, annex: str) -> float:
        state = Path(self.env["INVOKE_ANNEXKIT_STATE_DIR"])
        text = (state / "annexes" / annex / "record.json").read_text(encoding="utf-8")
        return float(json.loads(text)["launches"][0]["created"])

    def floor(self, kind: str, count: int) -> Turn:
        """Start bare instances of the same AMI, and end them afterwards."""
        annex = f"floor-{uuid4().hex[:8]}"
        request = {
            "ImageId": self.ami,
            "InstanceType": TYPE,
            "MinCount": count,
            "MaxCount": count,
            "UserData": user_data(self.pool, kind, annex),
            "MetadataOptions": {"HttpTokens": "required"},
            "InstanceInitiatedShutdownBehavior": "terminate",
        }
        ec2 = self._ec2()
        began = time.monotonic()
        made = ec2.run_instances(**request)["Instances"]
        try:
            return Turn(*self.eyes.watch(annex, count, began))
        finally:
            ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in made])

    def settle(self) -> None:
        """Wait until no machine of the turn before is left: it would cost the next."""
        ec2 = self._ec2()
        alive = ["pending", "running", "shutting-down", "stopping"]
        filters = [{"Name": "instance-state-name", "Values": alive}]

        def gone() -> bool:
            return not ec2.describe_instances(Filters=filters)["Reservations"]

        wait_for(gone, what="the machines to be gone", timeout=LONGEST, poll=LOOK)

    def _ec2(self) -> Any:
        import boto3  # noqa: PLC0415 - reads the environment, which is set by now

        return boto3.client("ec2", region_name=REGION)


POOL_KEYS = (
    *("collector", "method", "token_command", "trust_domain", "uid_domain"),
    "update_interval",
)


@contextmanager
def machines(pool: str, pending: float) -> Iterator[Bench]:
    """Bring up what is missing: rehearsal, pool, AMI; set how long all are pending."""
    run([INVOKE, "rehearsal.up"], dict(os.environ))
    run([INVOKE, "rehearsal.pool", "--htcondor", pool], dict(os.environ))
    env = {**rehearsal(), **SLOWER}
    run([INVOKE, "bake"], env)
    os.environ.update(env)
    knobs(env, {"pending_seconds": pending})
    try:
        yield Bench(env)
    finally:
        with suppress(OSError):  # the server may have ended; that is not the news
            knobs(env, {})


def knobs(env: Mapping[str, str], values: Mapping[str, float]) -> None:
    """Set how the rehearsal behaves."""
    import urllib.request  # noqa: PLC0415

    url = f"{env['AWS_ENDPOINT_URL']}/_rehearsal/knobs"
    data = json.dumps(dict(values)).encode()
    sent = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, sent, method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def take_turns(
    bench: Bench, sizes: list[int], kinds: list[str], turns: int
) -> dict[tuple[str, int], list[Turn]]:
    """Start nodes in every way and number, round robin."""
    ways: dict[str, Callable[[int], Turn]] = {OURS: bench.ours}
    for kind in kinds:
        ways[kind] = lambda count, kind=kind: bench.floor(kind, count)  # type: ignore[misc]
    found: dict[tuple[str, int], list[Turn]] = defaultdict(list)
    bench.ours(1)  # not counted: it makes the long-lived set, and warms all caches
    for turn in range(turns):
        for size in sizes:
            for name, start in ways.items():
                bench.settle()
                took = start(size)
                found[name, size].append(took)
                print(
                    f"turn {turn + 1}, {size} nodes, {name}: {said(took)}",
                    file=sys.stderr,
                    flush=True,
                )
    bench.settle()
    return found


def said(turn: Turn) -> str:
    """Say one turn in a line."""
    text = f"in the pool {turn.first:.1f} to {turn.all:.1f} s"
    if turn.ended:
        text += (
            f", begun {turn.called:.1f}, verified {turn.verified:.1f}, says joined "
            f"{turn.said_joined:.1f}, ended {turn.ended:.1f}"
        )
    return text


def median(turns: list[Turn]) -> Turn:
    """Return the medians of some turns, figure by figure."""
    names = Turn.__dataclass_fields__
    figures = {name: middle(getattr(t, name) for t in turns) for name in names}
    return replace(turns[0], **figures)


def report(found: Mapping[tuple[str, int], list[Turn]]) -> str:
    """Return the table; the floor is the faster of its kinds, by size."""
    rows = []
    for size in sorted({size for _, size in found}):
        ours = median(found[OURS, size])
        floors = {
            n: median(t) for (n, s), t in found.items() if s == size and n != OURS
        }
        kind = min(floors, key=lambda name: floors[name].all)
        floor = floors[kind]
        bar = BAR * floor.all + PLUS
        rows.append(
            (
                size,
                f"{floor.first:.1f} / {floor.all:.1f} s ({kind})",
                f"{ours.verified:.1f} s",
                f"{ours.first:.1f} / {ours.all:.1f} s",
                f"{ours.ended:.1f} s",
                f"{ours.all / floor.all:.2f}",
                f"{bar:.1f} s: {'kept' if ours.all <= bar else 'MISSED'}",
            )
        )
    return table(HEAD, rows)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure a launch beside its floor.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--floors", nargs="+", choices=FLOORS, default=list(FLOORS))
    parser.add_argument("--pool", default="25.14", help="the pool's HTCondor")
    parser.add_argument("--pending", type=float, default=0.0, help="seconds at least")
    parser.add_argument("--json", type=Path, help="write every turn to this file")
    given = parser.parse_args()
    with machines(given.pool, given.pending) as bench:
        found = take_turns(bench, given.sizes, given.floors, given.turns)
    print(report(found))
    print(f"all instances pending for {given.pending:g} s at least; aim {AIM}")
    raw = [
        {"way": name, "nodes": size, "turns": [vars(turn) for turn in turns]}
        for (name, size), turns in found.items()
    ]
    write_json(given.json, raw)


if __name__ == "__main__":
    main()
