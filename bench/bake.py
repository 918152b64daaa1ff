"""What annexkit adds to Packer, to Invoke, and to doing nothing.

Run by ``make bench`` inside the rehearsal cloud, which it brings up if it must. Three
measurements, each in turns so that a drifting machine speed hits both sides alike:

1. ``invoke bake --force`` against a bare ``packer build`` of the very same files;
2. ``invoke --list`` against the same command in a folder with an empty task file;
3. ``invoke bake`` when nothing changed, with the AWS calls it makes.

Figures and their reading stand in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
REGION = "us-west-2"


def rehearsal() -> dict[str, str]:
    """Bring the rehearsal up and return the environment that points at it."""
    run([INVOKE, "rehearsal.up"], dict(os.environ))
    text = run([INVOKE, "rehearsal.env"], dict(os.environ))
    lines = [line.removeprefix("export ") for line in text.splitlines()]
    given = dict(line.split("=", 1) for line in lines if line)
    return {**os.environ, **{k: v.strip("'") for k, v in given.items()}}


def run(command: list[object], env: dict[str, str], cwd: Path = ROOT) -> str:
    """Run a command to its end and return what it printed; stop when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def timed(action: Callable[[], object]) -> float:
    """Return the seconds of wall time that *action* takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def bake(env: dict[str, str]) -> dict[str, float]:
    """Bake with annexkit; return its seconds by step, the whole, and what it added.

    ``added`` is everything before and during Packer's run that is not Packer's own
    process time and not base lookup, index, rendering: those are reported apart.
    """
    began = time.monotonic()
    said = json.loads(run([INVOKE, "bake", "--force", "--json"], env))
    laps: dict[str, float] = said["seconds"]
    laps["whole"] = time.monotonic() - began
    apart = ("base lookup", "package index", "rendering")
    after = ("registration", "proof")
    laps["apart"] = sum(laps[name] for name in apart)
    laps["added"] = laps["whole"] - sum(
        laps[name] for name in (*apart, *after, "packer process")
    )
    return laps


def bare(env: dict[str, str]) -> float:
    """Run the last rendered template with Packer alone; return its wall time."""
    folder = ROOT / "packer" / "build" / f"debian13-x86_64-{REGION}"
    text = (folder / "run.pkrvars.hcl").read_text(encoding="utf-8")
    stamp = f"bare-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "bare.pkrvars.hcl"
        lines = [
            f'ami_name = "annexkit-{stamp}"' if line.startswith("ami_name") else line
            for line in text.splitlines()
        ]
        copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
        quiet = {**env, "CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
        command = ["packer", "build", f"-var-file={copy}", folder]
        return timed(lambda: run(command, quiet))


def measure_bakes(env: dict[str, str], pairs: int) -> None:
    """Print the medians of annexkit's bakes and of Packer alone, in turns."""
    ours, alone = [], []
    for pair in range(pairs):
        ours.append(bake(env))
        alone.append(bare(env))
        print(
            f"pair {pair + 1}: whole {ours[-1]['whole']:.1f} s, Packer inside "
            f"{ours[-1]['packer process']:.1f} s, bare Packer {alone[-1]:.1f} s",
            flush=True,
        )
    for name in sorted(ours[0]):
        print(f"  {name:<16} {median([lap[name] for lap in ours]):8.2f} s")
    print(f"  {'bare packer':<16} {median(alone):8.2f} s")
    slower = [lap["packer process"] - b for lap, b in zip(ours, alone, strict=True)]
    total = [lap["added"] + more for lap, more in zip(ours, slower, strict=True)]
    print(f"added before and during Packer's run, median: {median(total):.2f} s")


def measure_list(turns: int) -> None:
    """Print the ratio of ``invoke --list`` here to an empty task file."""
    env = dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name)
        text = 'from invoke import task\n\n\n@task\ndef one(c):\n    """One."""\n'
        (empty / "tasks.py").write_text(text, encoding="utf-8")
        pairs = []
        for _ in range(turns):
            ours = timed(lambda: run([INVOKE, "--list"], env))
            theirs = timed(lambda: run([INVOKE, "--list"], env, empty))
            pairs.append((ours, theirs))
    ratio = median([a / b for a, b in pairs])
    print(
        f"invoke --list: {median([a for a, _ in pairs]):.3f} s, empty task file "
        f"{median([b for _, b in pairs]):.3f} s, ratio {ratio:.2f}"
    )


def measure_nothing_to_do(env: dict[str, str], turns: int) -> None:
    """Print the time and the AWS calls of a bake when nothing changed."""
    run([INVOKE, "bake"], env)
    seconds = []
    for _ in range(turns):
        before = calls(env)
        seconds.append(timed(lambda: run([INVOKE, "bake"], env)))
        made = calls(env) - before
    print(f"nothing to do: {median(seconds):.2f} s; calls: {dict(made)}")


def calls(env: dict[str, str]) -> Counter[str]:
    """Return the API calls that the rehearsal has answered so far, by action."""
    url = f"{env['AWS_ENDPOINT_URL']}/_rehearsal/calls"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return Counter(f"{c['action']} {c['region']}" for c in json.load(answer))


def median(values: list[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description="Measure annexkit's bake.")
    parser.add_argument("--pairs", type=int, default=5, help="bakes of each kind")
    parser.add_argument("--turns", type=int, default=9, help="runs of each short one")
    given = parser.parse_args()
    if not shutil.which("packer"):
        raise SystemExit("packer is not installed: apt-get install packer")
    env = rehearsal()
    measure_list(given.turns)
    measure_nothing_to_do(env, given.turns)
    measure_bakes(env, given.pairs)


if __name__ == "__main__":
    main()
