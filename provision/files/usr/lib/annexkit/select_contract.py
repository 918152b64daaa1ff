#!/usr/bin/env python3
"""Select at most one contract at boot, write it down and say why.

Writes one word to /run/annexkit/contract: annexkit, seed-cfn, annex-ec2 or none.
A contract is selected only when the image carries it (/etc/annexkit/image.json).
With none, HTCondor stays stopped.

Upstream's client tags its instances and does not let the metadata service show tags;
so EC2 itself is asked for them, where nothing else was selected and the instance has a
role. Upstream's role may call DescribeInstances, and not DescribeTags.

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imds import LARGEST, Imds, MetadataError

ROOT = os.environ.get("ANNEXKIT_ROOT", "")
IMAGE = Path(f"{ROOT}/etc/annexkit/image.json")
SELECTED = Path(f"{ROOT}/run/annexkit/contract")

MARKER = re.compile(r"^\s*# annexkit: contract=(\S+)\s*$", re.MULTILINE)
CFN_INIT = re.compile(r"^(?!\s*#).*(?<![\w-])cfn-init(?![\w-])", re.MULTILINE)
UPSTREAM = "annex-ec2"
UPSTREAM_TAG = "htcondor:AnnexName"
# How long EC2 is asked, by kind of failure (seconds): less than the unit may take.
PATIENCE = {
    **{"no-role": 20.0, "denied": 20.0, "missing": 20.0, "clock": 20.0},
    **{"unreachable": 120.0, "busy": 120.0, "refused": 0.0},
}


@dataclass(frozen=True)
class Facts:
    """What the metadata service says about this instance, as far as it matters.

    The profile and the tag are looked at only where there is no user data.
    *not_asked* is why EC2 was not asked for the tag, or did not say.
    """

    user_data: str = ""
    has_profile: bool = False
    annex_tag: str = ""
    not_asked: str = ""


@dataclass(frozen=True)
class Choice:
    """A contract, or ``none``, and the reason."""

    contract: str
    why: str


def choose(facts: Facts, carried: frozenset[str]) -> Choice:
    """Select by the rules of docs/contracts.md."""
    wanted = _wanted(facts)
    if wanted.contract == "none" or wanted.contract in carried:
        return wanted
    has = ", ".join(sorted(carried)) or "no contract"
    return Choice(
        "none",
        f"{wanted.why}, but this image does not carry '{wanted.contract}' "
        f"(it carries {has})",
    )


def _wanted(facts: Facts) -> Choice:
    if not facts.user_data.strip():
        return _wanted_without_user_data(facts)
    markers = sorted(set(MARKER.findall(facts.user_data)))
    if len(markers) > 1:
        return Choice("none", f"user data names several contracts: {markers}")
    if markers and markers[0] != "annexkit":
        return Choice("none", f"user data names an unknown contract '{markers[0]}'")
    if markers:
        return Choice("annexkit", "user data carries annexkit's marker")
    if CFN_INIT.search(facts.user_data):
        return Choice("seed-cfn", "user data calls cfn-init")
    return Choice("none", "user data names no contract and does not call cfn-init")


def _wanted_without_user_data(facts: Facts) -> Choice:
    if not facts.has_profile:
        return Choice("none", "there is no user data and no instance profile")
    if not facts.annex_tag:
        return Choice(
            "none",
            f"there is no user data, and no tag {UPSTREAM_TAG}"
            + (f" in the metadata; {facts.not_asked}" if facts.not_asked else ""),
        )
    return Choice(UPSTREAM, f"there is no user data, and the tag {UPSTREAM_TAG} is set")


def plain_text(user_data: bytes) -> str:
    """Read user data as cloud-init does: as it is, gzipped, or in MIME parts.

    Anything that cannot be read so is text without a marker in it.
    """
    data = _gunzipped(user_data)
    head = data[:200].lstrip().lower()
    if not head.startswith((b"content-type:", b"mime-version:")):
        return data.decode("utf-8", "replace")
    import email  # noqa: PLC0415  (costs time at boot, and few need it)
    import email.policy  # noqa: PLC0415

    message = email.message_from_bytes(data, policy=email.policy.compat32)
    parts = (part.get_payload(decode=True) for part in message.walk())
    return "\n".join(
        _gunzipped(part).decode("utf-8", "replace")
        for part in parts
        if isinstance(part, bytes)
    )


def _gunzipped(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return zlib.decompressobj(wbits=31).decompress(data, LARGEST)
    except zlib.error:
        return data


def gather(
    imds: Imds,
    carried: frozenset[str],
    patience: Mapping[str, float] = PATIENCE,
) -> Facts:
    """Ask the metadata service, and EC2, no more than the rules need.

    :raises MetadataError: the metadata service did not answer, or refused.
    """
    user_data = plain_text(imds.get("user-data") or b"")
    if user_data.strip():
        return Facts(user_data)
    if imds.get("meta-data/iam/info") is None:
        return Facts()
    if tag := imds.text(f"meta-data/tags/instance/{UPSTREAM_TAG}"):
        return Facts("", True, tag)
    if UPSTREAM not in carried:
        return Facts("", True, "", f"EC2 is not asked without contract '{UPSTREAM}'")
    return _asked(imds, patience)


def _asked(imds: Imds, patience: Mapping[str, float]) -> Facts:
    """Ask EC2 for the tag."""
    from aws_call import AwsError  # noqa: PLC0415  (costs time, and few need it)
    from aws_own import Aws  # noqa: PLC0415

    instance = imds.text("meta-data/instance-id") or ""
    region = imds.text("meta-data/placement/region") or ""
    try:
        itself = Aws(region, patience=patience).itself(instance)
    except AwsError as error:
        return Facts("", True, "", f"EC2 does not tell: {error}")
    return Facts("", True, itself.tags.get(UPSTREAM_TAG, ""))


def carried_contracts(path: Path) -> frozenset[str]:
    """Read which contracts were baked.

    :raises ValueError: the file is missing or not what provision/80-record.sh writes.
    """
    try:
        contracts = json.loads(path.read_text())["contracts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe this image: {error!r}") from error
    if not isinstance(contracts, list):
        raise ValueError(f"{path} does not describe this image: contracts is no list")
    return frozenset(str(name) for name in contracts)


def main() -> int:
    """Select, write, say; exit code 1 when it could not be found out."""
    code = 0
    try:
        carried = carried_contracts(IMAGE)
        choice = choose(gather(Imds.from_environment(), carried), carried)
    except (MetadataError, ValueError) as error:
        choice, code = Choice("none", f"it could not be found out: {error}"), 1
    SELECTED.parent.mkdir(parents=True, exist_ok=True)
    SELECTED.write_text(f"{choice.contract}\n")
    stopped = "; HTCondor stays stopped" if choice.contract == "none" else ""
    print(f"annexkit: contract={choice.contract} because {choice.why}{stopped}")
    return code


if __name__ == "__main__":
    sys.exit(main())
