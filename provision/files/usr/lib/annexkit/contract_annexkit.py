#!/usr/bin/env python3
"""Contract "annexkit": make this node what /etc/annexkit/annex.json says.

The order matters: first the lease, which needs nothing but the file, so that the
node ends by itself whatever fails after it; then HTCondor's configuration; last
/run/annexkit/ready, without which condor.service does not start.

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imds import Imds, MetadataError

ROOT = os.environ.get("ANNEXKIT_ROOT", "")
ANNEX = Path(f"{ROOT}/etc/annexkit/annex.json")
READY = Path(f"{ROOT}/run/annexkit/ready")
CONFIG = Path(f"{ROOT}/etc/condor/config.d")
LEASE_TIMER = Path(f"{ROOT}/etc/systemd/system/annexkit-lease.timer")
SHUTDOWN_SCRIPT = "/etc/condor/master_shutdown_script.sh"

# What may stand between quotes in HTCondor's configuration. The name of an annex
# is also upstream's client token, cut at 27 characters and at an underscore.
ANNEX_NAME = re.compile(r"[A-Za-z0-9-]{1,27}")
OWNER = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")

# Attribute in the ads -> where the metadata service keeps it.
INSTANCE = {
    "EC2InstanceID": "meta-data/instance-id",
    "EC2InstanceType": "meta-data/instance-type",
    "EC2AMIID": "meta-data/ami-id",
    "EC2AvailabilityZone": "meta-data/placement/availability-zone",
    "EC2PublicIP": "meta-data/public-ipv4",
}

ONE_NODE = """\
# A pool of its own on this node alone: nothing listens beyond the loopback
# interface, and who may speak is decided by the local file system.
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
CONDOR_HOST = 127.0.0.1
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
SEC_CLIENT_AUTHENTICATION_METHODS = FS
# No token is ever issued here, so no key that signs tokens, and no certificate.
SEC_TOKEN_POOL_SIGNING_KEY_FILE =
COLLECTOR_BOOTSTRAP_SSL_CERTIFICATE = False
# One machine: look often, so that a proof takes seconds.
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
MASTER_UPDATE_INTERVAL = 5
"""


class ContractError(Exception):
    """The annex cannot be set up as asked; says what to correct."""


@dataclass(frozen=True)
class Annex:
    """What annex.json says, checked. Times in seconds, the lease since the epoch."""

    name: str
    owner: str
    mode: str
    lease_expires: int
    idle_seconds: int


def read_annex(path: Path) -> Annex:
    """Read and check annex.json.

    :raises ContractError: missing, not JSON, of another version, or a bad value.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}; user data writes it") from error
    except ValueError as error:
        raise ContractError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != 1:
        raise ContractError(f"{path}: this image reads version 1 only")
    return Annex(
        name=_matching(data, "annex", ANNEX_NAME),
        owner=_matching(data, "owner", OWNER),
        mode=_matching(data, "mode", PLAIN),
        lease_expires=_whole(data, "lease_expires", 1),
        idle_seconds=_whole(data, "idle_seconds", 0),
    )


def _matching(data: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ContractError(f"annex.json: '{key}' does not match {pattern.pattern}")
    return value


def _whole(data: dict[str, Any], key: str, least: int) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ContractError(f"annex.json: '{key}' is no whole number from {least}")
    return value


def lease_timer(expires: int) -> str:
    """The unit that ends the node at *expires*, a Unix time.

    Absolute, so that neither a reboot nor a slow boot moves it; persistent, so that
    a lease that ran out while the node was down ends it at the next boot; without
    default dependencies, so that a boot that hangs does not keep it from starting
    (systemd.timer(5)).
    """
    when = datetime.fromtimestamp(expires, timezone.utc)  # noqa: UP017  (Python 3.9)
    return (
        "# Written at boot by annexkit from /etc/annexkit/annex.json.\n"
        "[Unit]\nDescription=End of the annex's lease\nDefaultDependencies=no\n"
        "After=local-fs.target\nConflicts=shutdown.target\nBefore=shutdown.target\n\n"
        f"[Timer]\nOnCalendar={when:%Y-%m-%d %H:%M:%S} UTC\n"
        "AccuracySec=1s\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def instance_config(imds: Imds) -> str:
    """Render what the node is in EC2; rewritten, never appended, at each boot.

    No public address is a normal answer. Ids stand in quotes: they are ClassAd
    strings.

    :raises MetadataError: the metadata service did not answer.
    :raises ContractError: it gave no instance id, or what no EC2 service would say.
    """
    found = {name: imds.text(path) for name, path in INSTANCE.items()}
    values = {name: value for name, value in found.items() if value}
    if "EC2InstanceID" not in values:
        raise ContractError("the metadata service names no instance id")
    for name, value in values.items():
        if not PLAIN.fullmatch(value):
            raise ContractError(f"the metadata service says {value!r} for {name}")
    return _config(values, "")


def annex_config(annex: Annex) -> str:
    """Render HTCondor's configuration for this annex.

    :raises ContractError: this image has no such mode.
    """
    if annex.mode != "one-node":
        raise ContractError(
            f"annex.json: mode '{annex.mode}' is not supported by this image; "
            "it knows one-node"
        )
    values = {"AnnexName": annex.name, "AnnexOwner": annex.owner}
    return _config(values, ONE_NODE + ending(annex.idle_seconds), "IsAnnex")


def ending(idle_seconds: int) -> str:
    """Render how HTCondor ends the node: when idle too long, when its master ends."""
    lines = [f"DEFAULT_MASTER_SHUTDOWN_SCRIPT = {SHUTDOWN_SCRIPT}"]
    if idle_seconds:
        lines += [
            f"STARTD_NOCLAIM_SHUTDOWN = {idle_seconds}",
            "MASTER.DAEMON_SHUTDOWN_FAST = "
            "(STARTD_StartTime == 0) && ((time() - DaemonStartTime) > 60)",
        ]
    return "\n".join(lines) + "\n"


def _config(values: dict[str, str], body: str, *true: str) -> str:
    names = " ".join([*values, *true])
    return "\n".join(
        [
            "# Written at each boot by annexkit; changes here do not last.",
            *(f'{name} = "{value}"' for name, value in values.items()),
            *(f"{name} = True" for name in true),
            f"STARTD_ATTRS = $(STARTD_ATTRS) {names}",
            f"MASTER_ATTRS = $(MASTER_ATTRS) {names}",
            body,
        ]
    )


def arm_lease(expires: int) -> None:
    """Write the timer, and let systemd know it now and at each later boot.

    :raises ContractError: systemd did not take it.
    """
    write(LEASE_TIMER, lease_timer(expires), 0o644)
    _systemctl("enable", LEASE_TIMER.name)  # reads the changed unit, too
    _systemctl("restart", LEASE_TIMER.name)


def _systemctl(*args: str) -> None:
    done = subprocess.run(
        ["systemctl", *args], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ContractError(f"systemctl {' '.join(args)}: {done.stderr.strip()}")


def write(path: Path, text: str, mode: int) -> None:
    """Write all of a file or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.annexkit-new")
    beside.write_text(text)
    beside.chmod(mode)
    beside.replace(path)


def set_up() -> None:
    """Do all of it, in the order that the module's text gives reasons for."""
    READY.unlink(missing_ok=True)
    annex = read_annex(ANNEX)
    left = annex.lease_expires - time.time()
    if left <= 0:
        _systemctl("start", "--no-block", "annexkit-lease.service")
        raise ContractError(f"the lease ended {-left:.0f} s ago")
    arm_lease(annex.lease_expires)
    body = annex_config(annex)
    write(CONFIG / "49-annexkit-instance.config", _instance(), 0o644)
    write(CONFIG / "50-annex.config", body, 0o644)
    write(READY, "", 0o644)
    print(
        f"annexkit: annex {annex.name} of {annex.owner}, mode {annex.mode}, "
        f"lease ends in {left:.0f} s, idle limit {annex.idle_seconds} s"
    )


def _instance() -> str:
    return instance_config(Imds.from_environment())


def main() -> int:
    """Set the node up; exit code 1 and the reason when it cannot be."""
    try:
        set_up()
    except (ContractError, MetadataError, OSError) as error:
        print(f"annexkit: error: {error}; HTCondor stays stopped", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
