#!/usr/bin/env python3
"""Contract "annexkit": make this node what /etc/annexkit/annex.json says.

The order matters: first the lease, which needs nothing but files, so that the node
ends by itself whatever fails after it; then HTCondor's configuration and the pool's
secret; last /run/annexkit/ready, without which condor.service does not start.

What fails is written to /run/annexkit/failed: one word for the kind, then a sentence.

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from annex_file import (
    Annex,
    AnnexFileError,
    checked,
    lease_expires,
    leased,
    read,
)
from contract import (
    CONFIG,
    FAILED,
    READY,
    ROOT,
    ContractError,
    instance,
    tell,
)
from htcondor_config import annex_config, config, lease_config
from imds import Imds, MetadataError
from lease import LeaseError, arm, systemctl, write

ANNEX = Path(f"{ROOT}/etc/annexkit/annex.json")
# The end of the lease as the watch last heard it (annexkit-watch.service).
REMEMBERED = Path(f"{ROOT}/var/lib/annexkit/lease")
# Which node fetched the pool's secret that is there, and from where.
SECRET_OF = Path(f"{ROOT}/var/lib/annexkit/secret")
TAG = "meta-data/tags/instance/annexkit:expires"


def lease_end(told: int) -> int:
    """Return the end of the lease: as last heard, or as *told* at first."""
    try:
        return int(REMEMBERED.read_text())
    except (OSError, ValueError):
        return told


def extended(imds: Imds) -> int:
    """Return the end of the lease as the instance's tag has it; 0 without a tag."""
    try:
        said = imds.text(TAG) or ""
    except MetadataError:
        return 0
    return int(said) if re.fullmatch(r"\d{1,11}", said) else 0


def arm_lease(told: int) -> int:
    """Arm the timer and return the end of the lease.

    A node that was down while its lease was prolonged asks before it gives up.

    :raises ContractError: the lease is over; the node is powering off.
    :raises LeaseError: systemd did not take the timer.
    """
    expires = lease_end(told)
    if expires <= time.time():
        ended, expires = expires, extended(Imds.from_environment())
        if expires <= time.time():
            systemctl("start", "--no-block", "annexkit-lease.service")
            ago = time.time() - ended
            raise ContractError("lease", f"the lease ended {ago:.0f} s ago")
    arm(ROOT, expires)
    return expires


def set_up() -> None:
    """Do all of it, in the order that the module's text gives reasons for."""
    for path in (READY, FAILED):
        path.unlink(missing_ok=True)
    data = read(ANNEX)
    expires = arm_lease(lease_expires(data))
    annex = checked(data)
    values = instance(Imds.from_environment())
    write(CONFIG / "49-annexkit-instance.config", config(values, ""), 0o644)
    body = annex_config(annex, values.get("EC2PublicIP", ""))
    write(CONFIG / "50-annex.config", body, 0o644)
    granted = leased(annex, expires)
    lease = lease_config(expires, annex.drain_seconds, leased=granted)
    write(CONFIG / "51-annex-lease.config", lease, 0o644)
    if annex.secret is not None:
        fetch_secret(annex, annex.secret.ssm, values["EC2InstanceID"])
    FAILED.unlink(missing_ok=True)
    write(READY, "", 0o644)
    print(
        f"annexkit: annex {annex.name} of {annex.owner}, mode {annex.mode}, "
        f"lease ends in {expires - time.time():.0f} s, "
        f"idle limit {annex.idle_seconds} s"
    )


def fetch_secret(annex: Annex, source: str, node: str) -> None:
    """Put the pool's secret in its place, unless this node has it from an earlier boot.

    A launch takes its parameter away once its nodes are verified: after a reboot there
    is nothing to fetch. Whose secret it is stands beside, because an image that
    somebody makes of a node would have it, too.

    :raises ContractError: it cannot be had.
    """
    # Only where they are needed: they cost time at boot.
    from aws_call import AwsError  # noqa: PLC0415
    from pool_secret import fetch, outlives, store  # noqa: PLC0415

    origin = f"{node} {source}\n"
    if _said(SECRET_OF) == origin and outlives(ROOT, annex, int(time.time())):
        return
    try:
        store(ROOT, annex, fetch(annex, lambda error: tell(error.kind, str(error))))
    except AwsError as error:
        raise ContractError(error.kind, str(error)) from error
    write(SECRET_OF, origin, 0o644)


def _said(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def main() -> int:
    """Set the node up; exit code 1 and the reason when it cannot be."""
    try:
        set_up()
    except ContractError as error:
        tell(error.kind, str(error))
    except AnnexFileError as error:
        tell("annex-file", str(error))
    except MetadataError as error:
        tell("metadata", str(error))
    except LeaseError as error:
        tell("lease", str(error))
    except OSError as error:
        tell("node", str(error))
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
