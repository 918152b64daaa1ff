"""All checks that a node runs on itself, as root: is it what was baked, does it work?

The modules ``node_*`` go to the node over standard input, as one program, and get what
is expected as Base64 of JSON in an argument (:class:`annexkit.verify.checks.Expected`).
They print one JSON object: ``checks`` is a list of ``{name, ok, detail, seconds}``,
``identity`` what must differ between nodes, and ``boot_seconds``. The exit code is 0
whatever was found. No secret goes in or comes out.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from annexkit.verify import (
    node_base,
    node_condor,
    node_imds,
    node_pool,
    node_system,
)
from annexkit.verify.node_base import Node, Wrong

Check = Callable[[Node], str]

# HTCondor needs some seconds from its start to its first ads: what does not wait for
# it comes before.
CHECKS: tuple[Check, ...] = (
    node_system.clock,
    node_system.boot,
    node_system.cloud_init,
    node_condor.contract,
    node_condor.description,
    node_condor.condor_service,
    node_condor.condor_version,
    node_condor.condor_config,
    node_system.files,
    node_system.units,
    node_system.hygiene,
    node_system.identity,
    node_system.lease,
    node_system.deadline,
    node_system.disk,
    node_imds.imds_token_required,
    node_imds.imds_for_root,
    node_imds.imds_for_users,
    node_condor.condor_ads,
    node_condor.job,
    node_system.failed_units,
)

# In a pool the collector says the rest, and the boot goes on beside us: what costs
# the node a tenth of a second, or waits for the end of its boot, is left out. What the
# contract writes is looked for once HTCondor runs, which the contract starts last.
POOL_CHECKS: tuple[Check, ...] = (
    node_system.clock,
    node_system.boot_so_far,
    node_system.cloud_init_so_far,
    node_condor.contract,
    node_condor.description,
    node_system.hygiene,
    node_system.identity,
    node_system.disk,
    node_imds.imds_token_required,
    node_imds.imds_for_root,
    node_imds.imds_for_users,
    node_pool.role,
    node_condor.condor_service,
    node_system.files,
    node_condor.condor_version,
    node_pool.pool_config,
    node_pool.secret,
    node_system.lease,
    node_system.deadline,
    node_system.failed_units,
)
NAMES = {"boot-so-far": "boot", "cloud-init-so-far": "cloud-init"}


def name_of(check: Check) -> str:
    """Return a check's name as reports show it."""
    name = check.__name__.replace("_", "-")
    return NAMES.get(name, name)


def run(check: Check, node: Node) -> dict[str, Any]:
    """Run one check and return its outcome."""
    begin = time.monotonic()
    try:
        ok, detail = True, check(node)
    except Wrong as error:
        ok, detail = False, str(error)
    except Exception as error:  # a check that breaks must not hide the others
        ok, detail = False, f"the check broke: {type(error).__name__}: {error}"
    seconds = round(time.monotonic() - begin, 3)
    return {"name": name_of(check), "ok": ok, "detail": detail, "seconds": seconds}


def report(want: dict[str, Any]) -> dict[str, Any]:
    """Run all checks but those that ``skip`` names, and return the whole outcome."""
    node = node_base.Node(want)
    skip = want.get("skip", ())
    checks = POOL_CHECKS if want.get("mode") == "pool" else CHECKS
    outcomes = [run(check, node) for check in checks if name_of(check) not in skip]
    return {
        "checks": outcomes,
        "identity": node.identity,
        "boot_seconds": node.boot_seconds,
    }


def main(argument: str) -> None:
    """Print the outcome for what is expected, Base64 of JSON."""
    json.dump(report(json.loads(base64.b64decode(argument))), sys.stdout)
    sys.stdout.write("\n")
