"""A build's copies in 16 regions at once, beside each of these regions alone.

Run by hand: ``.venv/bin/python bench/copies.py``, in the rehearsal, which it brings up.
No machine is booted. Every call of a region is answered late, each region's by a time
of its own, and a copy is pending for a while, as in EC2. A turn copies one build to all
regions by one ``invoke copy``, and another one to each region by a command of its own:
the longest of these is the slowest region. The file bench/README.md holds the figures.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bake import INVOKE, REGION, rehearsal, run, timed
from common import ROOT, middle, table, write_json

from annexkit import tags
from annexkit.instances import as_tags
from annexkit.publish.standing import root_snapshot
from annexkit.registry import BaseImage, Build, RegionBuild, State
from annexkit.registry.edits import promote, put_build
from annexkit.registry.store import RegistryFile
from annexkit.waiting import wait_for

sys.path.insert(0, str(ROOT))  # the tests' own way to a rehearsal that is up

from tests.rehearsal.upstream import standing
from tests.stage import SESSION, Stage

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "ca-central-1", "sa-east-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"),
    *("ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
)
IMAGE = "bench-copy"
LEAST, MOST = 0.05, 0.5  # seconds that a call's answer is late
BAR = 1.3
HEAD = ("regions", "all at once", "slowest alone", "one by one", "ratio", "bar")


def slow_down(stage: Stage, pending: float) -> None:
    """Make every region late by a time of its own, and copies pending for a while."""
    step = (MOST - LEAST) / (len(REGIONS) - 1)
    late = [
        {"action": "*", "region": region, "delay_seconds": round(LEAST + n * step, 3)}
        for n, region in enumerate(REGIONS)
    ]
    stage.calm()
    stage.ask("faults", "POST", late)
    stage.ask("knobs", "POST", {"image_pending_seconds": pending})


def a_build(stage: Stage, registry: RegistryFile, account: str) -> str:
    """Put a proved build into the registry: the base image, with a build's tags."""
    now = datetime.now(UTC).replace(microsecond=0)
    build_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    ec2, base = stage.ec2(), stage.rehearsal.base.ami_id
    own = as_tags({tags.BUILD: build_id, tags.IMAGE: IMAGE})
    ami = ec2.copy_image(
        SourceImageId=base,
        SourceRegion=REGION,
        Name=f"{IMAGE}-{build_id}",
        TagSpecifications=[{"ResourceType": "image", "Tags": own}],
    )["ImageId"]

    def available() -> dict[str, Any] | None:
        (said,) = ec2.describe_images(ImageIds=[ami])["Images"]
        return dict(said) if said["State"] == "available" else None

    said = wait_for(available, what=f"{ami} to be available", timeout=120, poll=0.5)
    ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    build = Build(
        created=now,
        arch="x86_64",
        digest=secrets.token_hex(32),
        base_ami=BaseImage(id=base, name="base", owner=account),
        regions={
            REGION: RegionBuild(
                ami=ami,
                snapshot=root_snapshot(said),
                state=State.READY,
                verified_at=now,
            )
        },
    )
    registry.update(registry.claim(account, stage.rehearsal.endpoint))
    registry.update(lambda found: put_build(found, IMAGE, build_id, build))
    registry.update(lambda found: promote(found, IMAGE, build_id, REGION))
    return build_id


def copied(env: dict[str, str], build_id: str, *regions: str) -> float:
    """Copy a build by the command; return its seconds."""
    asked = ("--image", IMAGE, "--build", build_id, "--region", ",".join(regions))
    return timed(lambda: run([INVOKE, "copy", *asked], env))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure copies to many regions.")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--pending", type=float, default=10, help="seconds of a copy")
    parser.add_argument("--json", type=Path, help="write every turn to this file")
    given = parser.parse_args()
    env = rehearsal()
    os.environ.update(env)
    folder = Path(env["INVOKE_ANNEXKIT_STATE_DIR"]).parent
    stage = Stage(standing(folder), ROOT)
    url = stage.rehearsal.endpoint
    sts: Any = SESSION.client("sts", region_name=REGION, endpoint_url=url)
    account = sts.get_caller_identity()["Account"]
    registry = RegistryFile(folder / "bench-copies.json")
    env["INVOKE_ANNEXKIT_REGISTRY"] = str(registry.path)
    turns = []
    try:
        for turn in range(given.turns):
            both = [a_build(stage, registry, account) for _ in range(2)]
            slow_down(stage, given.pending)
            whole = copied(env, both[0], *REGIONS)
            alone = {region: copied(env, both[1], region) for region in REGIONS}
            turns.append({"all": whole, "alone": alone})
            slowest = max(alone.values())
            print(
                f"turn {turn + 1}: all {whole:.1f} s, slowest alone {slowest:.1f} s",
                file=sys.stderr,
            )
            stage.calm()
    finally:
        stage.calm()
    print(report(turns))
    write_json(given.json, turns)


def report(turns: list[dict[str, Any]]) -> str:
    """Return the table of medians."""
    whole = middle(turn["all"] for turn in turns)
    slowest = middle(max(turn["alone"].values()) for turn in turns)
    ratio = middle(turn["all"] / max(turn["alone"].values()) for turn in turns)
    row = (
        len(REGIONS),
        f"{whole:.1f} s",
        f"{slowest:.1f} s",
        f"{middle(sum(turn['alone'].values()) for turn in turns):.0f} s",
        f"{ratio:.2f}",
        f"{BAR}: {'kept' if ratio <= BAR else 'MISSED'}",
    )
    return table(HEAD, [row])


if __name__ == "__main__":
    main()
