"""What the contracts share: where things lie, what the node is, how a failure is said.

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from annex_file import PLAIN
from imds import Imds
from lease import write

ROOT = os.environ.get("ANNEXKIT_ROOT", "")
READY = Path(f"{ROOT}/run/annexkit/ready")
FAILED = Path(f"{ROOT}/run/annexkit/failed")
CONFIG = Path(f"{ROOT}/etc/condor/config.d")

# Attribute in the ads -> where the metadata service keeps it.
INSTANCE = {
    "EC2InstanceID": "meta-data/instance-id",
    "EC2InstanceType": "meta-data/instance-type",
    "EC2AMIID": "meta-data/ami-id",
    "EC2AvailabilityZone": "meta-data/placement/availability-zone",
    "EC2PublicIP": "meta-data/public-ipv4",
}


class ContractError(Exception):
    """The annex cannot be set up as asked: a kind, and what to correct."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def instance(imds: Imds) -> dict[str, str]:
    """Ask what the node is in EC2. No public address is a normal answer.

    :raises MetadataError: the metadata service did not answer.
    :raises ContractError: it gave no instance id, or what no EC2 service would say.
    """
    found = {name: imds.text(path) for name, path in INSTANCE.items()}
    values = {name: value for name, value in found.items() if value}
    if "EC2InstanceID" not in values:
        raise ContractError("metadata", "the metadata service names no instance id")
    for name, value in values.items():
        if not PLAIN.fullmatch(value):
            raise ContractError(
                "metadata", f"the metadata service says {value!r} for {name}"
            )
    return values


def tell(kind: str, text: str) -> None:
    """Say what is wrong, in the journal and where checks look for it."""
    line = " ".join(text.split())
    print(
        f"annexkit: error: {line}; HTCondor stays stopped", file=sys.stderr, flush=True
    )
    write(FAILED, f"{kind} {line}\n", 0o644)
