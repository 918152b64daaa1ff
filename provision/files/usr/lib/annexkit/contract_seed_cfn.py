#!/usr/bin/env python3
"""Contract "seed-cfn": let what the 2016 condor_annex tool's stack brings work here.

User data runs /opt/aws/bin/cfn-init, which writes HTCondor's configuration, fetches the
pool password from S3 and restarts HTCondor. Ours is what lies around it:

``prepare``  early in every boot: what ends the node is armed, then HTCondor may start,
             which it does when cfn-init says so. At later boots, which cfn-init takes
             no part in, HTCondor is started here.
``settle``   before each start of HTCondor: the password for root alone, and a file that
             corrects what the stack has written for the HTCondor and the metadata
             service of its time.

What fails is written to /run/annexkit/failed: one word for the kind, then a sentence.

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from contract import CONFIG, FAILED, READY, ROOT, ContractError, instance, tell
from htcondor_config import config
from imds import Imds, MetadataError
from lease import LeaseError, arm, systemctl, write

# The tool takes leases of up to a day, which may be prolonged. Whoever deletes the
# stack ends the node then; this is for stacks that nobody deletes.
LONGEST = 7 * 24 * 3600
IDLE_TIMER = "annexkit-seed-cfn-idle.timer"
IDLE_SECONDS = 900
SHUTDOWN = "/usr/lib/annexkit/seed-cfn-shutdown"

PASSWORD = Path(f"{ROOT}/etc/condor/password")
# The file that the stack's commands append to; it is read after the stack's "annex".
CORRECTED = CONFIG / "ec2.local"
# Which node this is, and when it ends; and whether cfn-init had come to the end.
END_OF = Path(f"{ROOT}/var/lib/annexkit/seed-cfn-end")
SETTLED = Path(f"{ROOT}/var/lib/annexkit/seed-cfn-settled")

CORRECTIONS = f"""\
# The stack turns it on; where the kernel cannot do it, every job dies without a hold.
ENCRYPT_EXECUTE_DIRECTORY = False
# The stack's script knows no token for the metadata service; this one runs it with one.
MASTER_SHUTDOWN_SHUTDOWN = {SHUTDOWN}
DEFAULT_MASTER_SHUTDOWN_SCRIPT = {SHUTDOWN}
if ! defined STARTD_NOCLAIM_SHUTDOWN
  STARTD_NOCLAIM_SHUTDOWN = {IDLE_SECONDS}
endif
MASTER.DAEMON_SHUTDOWN_FAST = \
(STARTD_StartTime == 0) && ((time() - DaemonStartTime) > 60)
# Since HTCondor 9, daemons have to authenticate, and who knows the pool password is
# condor@password from 23.9 on.
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_DAEMON_AUTHENTICATION_METHODS = FS, PASSWORD
ALLOW_DAEMON = condor@$(UID_DOMAIN) condor_pool@* condor@password
# Root of this node alone, by the file system: not root of another one.
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
# Who knows the password could read the keys of other nodes in their private ads.
SEC_ENABLE_REMOTE_ADMINISTRATION = False
# No token is ever issued here, so no key that signs tokens.
SEC_TOKEN_POOL_SIGNING_KEY_FILE =
# Whoever's job it is, this node has no account of that name: jobs run as nobody.
STARTER_ALLOW_RUNAS_OWNER = False
"""
NO_WAY_IN = """\
# No public address: who wants to speak to this node asks the collector.
TCP_FORWARDING_HOST =
CONDOR_HOST = $(FULL_HOSTNAME)
CCB_ADDRESS = $(COLLECTOR_HOST)
"""


def prepare() -> None:
    """Arm what ends the node, then let HTCondor start.

    :raises ContractError: the node's time is over; it is powering off.
    :raises MetadataError: the metadata service did not answer.
    :raises LeaseError: systemd did not take a timer.
    """
    for path in (READY, FAILED):
        path.unlink(missing_ok=True)
    # First what needs nothing: a node on which HTCondor does not run ends.
    systemctl("start", IDLE_TIMER)
    node = instance(Imds.from_environment())["EC2InstanceID"]
    expires = end(node)
    if expires <= time.time():
        systemctl("start", "--no-block", "annexkit-lease.service")
        raise ContractError("lease", f"the node's {LONGEST} s are over")
    arm(ROOT, expires)
    write(READY, "", 0o644)
    doing = "waiting for cfn-init"
    if _said(SETTLED) == [node]:
        doing = "cfn-init has been here, starting HTCondor"
        systemctl("start", "--no-block", "condor.service")
    left = expires - time.time()
    print(f"annexkit: {doing}; the node ends in {left:.0f} s at the latest")


def end(node: str) -> int:
    """Return when this node ends: as it was set at its first boot.

    Whose end it is stands beside, because an image that somebody makes of a node would
    have it, too.
    """
    said = _said(END_OF)
    if said[:1] == [node] and said[1:] and said[1].isdigit():
        return int(said[1])
    expires = int(time.time()) + LONGEST
    write(END_OF, f"{node} {expires}\n", 0o644)
    return expires


def settle() -> None:
    """Correct what the stack has written, before HTCondor reads it.

    :raises ContractError: cfn-init has not brought the password.
    :raises MetadataError: the metadata service did not answer.
    """
    if not PASSWORD.is_file():
        raise ContractError("missing", f"cfn-init has not brought {PASSWORD}")
    PASSWORD.chmod(0o600)
    values = instance(Imds.from_environment())
    write(CORRECTED, corrected(values), 0o644)
    write(SETTLED, f"{values['EC2InstanceID']}\n", 0o644)
    FAILED.unlink(missing_ok=True)


def corrected(values: dict[str, str]) -> str:
    """Render the file that corrects the stack's: what the node is, and how it ends."""
    public = values.get("EC2PublicIP", "")
    way_in = f"TCP_FORWARDING_HOST = {public}\n" if public else NO_WAY_IN
    return config(values, way_in + CORRECTIONS, "IsAnnex")


def _said(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


DO: dict[str, Callable[[], None]] = {"prepare": prepare, "settle": settle}


def main() -> int:
    """Do the one or the other; exit code 1 and the reason when it cannot be done."""
    try:
        DO[sys.argv[1]]()
    except ContractError as error:
        tell(error.kind, str(error))
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
