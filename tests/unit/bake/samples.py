"""What several tests of the bake need: real recipes, a base AMI, values of one run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from annexkit.bake.base import BaseAmi
from annexkit.bake.image import load_image
from annexkit.bake.recipe import Image
from annexkit.bake.variables import RunVariables

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "packer" / "images"
RECIPES = (
    *("al2023", "alma9", "alma9-osg"),
    *("debian13", "debian13-c25", "debian13-cfn", "ubuntu2404"),
)
STEPS = (
    *("10-system", "15-repositories", "20-htcondor", "25-packages", "30-cloud-init"),
    *("40-contracts", "50-imds", "60-advertise"),
    *("80-record", "90-hygiene", "95-validate"),
)
PLUGIN = "1.8.0"
BASE = BaseAmi(
    id="ami-0123456789abcdef0",
    name="debian-13-amd64-20260101-0001",
    owner="136693071363",
    creation_date="2026-01-01T00:00:00.000Z",
    root_device="/dev/xvda",
    root_size=8,
)
# What trips quoting: HCL, Packer's templates, Go formats, the shell, Unicode.
FRAGMENTS = (
    *('"', "'", "`", "\\", "\\n", "\\u0041", "\\b", "\n", "\r\n", "\t", " ", "  "),
    *("${", "$${", "${var.region}", "%{", "%%{", "%{ if true }", "}", "}}", "$", "%"),
    *("{", "$(id)", "$HOME", ";", "&&", "|", "*", "#", "//", "/*", "<<EOT", "=", ","),
    *("%s", "%!(PACKER_COMMA)", "é", "ß", "日本", "🎉", "\u202e", "\u2028", "\u0085"),
    *("\ufeff", "\x7f", "\xa0", "a", "Z", "0", "-", "_", ".", ":", "[", "]", "~", "!"),
)
# Things that Packer cannot carry, or EC2 cannot hand back.
REFUSED = ("{{", "{{ .Vars }}", "e\u0301", "\u212b", "\ud800", "\0", "\x01", "\x1b")


def recipe(name: str = "debian13", **changed: Any) -> Image:
    image = load_image(IMAGES, name)
    return image.model_copy(update=changed)


def run_values(**changed: Any) -> RunVariables:
    values: dict[str, Any] = {
        "region": "us-west-2",
        "endpoint": "",
        "max_retries": 0,
        "build_id": "20260102T030405-0a1b2c",
        "build_date": "2026-01-02T03:04:05Z",
        "digest": "d" * 64,
        "expires": 1_800_000_000,
        "owner": "alice",
        "ami_name": "annexkit-debian13-x86_64-20260102T030405-0a1b2c",
        "manifest": "manifest.json",
        "packages": "packages.tsv",
        "ssh_interface": "public_ip",
        "subnet_id": "",
        "ssh_cidrs": ("203.0.113.7/32",),
        "user_data": "#cloud-config\n",
        "poll_seconds": 30,
        "poll_attempts": 120,
    }
    return RunVariables(**{**values, **changed})


def strings(count: int, seed: int = 20260102) -> list[str]:
    """Generate texts full of what trips quoting; one in twenty has what is refused."""
    source = random.Random(seed)
    return [_string(source) for _ in range(count)]


def _string(source: random.Random) -> str:
    parts = source.choices(FRAGMENTS, k=source.randint(1, 12))
    if source.random() < 0.05:
        parts.insert(source.randint(0, len(parts)), source.choice(REFUSED))
    return "".join(parts)
