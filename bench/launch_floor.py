"""The floor of bench/launch.py: what makes an instance a node with nothing of ours.

The configuration is the very one that the image's contract writes on a node, made here
by the same modules, and given to cloud-init as files (bench/floor.yaml).
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from uuid import uuid4

from common import ROOT

from annexkit import userdata
from annexkit.pool.credentials import new_secret
from annexkit.pool.target import Pool

NODE = ROOT / "provision" / "files" / "usr" / "lib" / "annexkit"
REGION = "us-west-2"
LEASE = 3600
IDLE = 900
FLOORS = ("bootcmd", "runcmd")
START = ("systemctl", "start", "--no-block", "condor.service")


def user_data(pool: Pool, kind: str, annex: str) -> str:
    """Return the floor's user data: the contract's own configuration, and a token.

    :param kind: one of FLOORS: where HTCondor is started.
    """
    if str(NODE) not in sys.path:
        sys.path.insert(0, str(NODE))  # the image's modules, by their names there
    annex_file = import_module("annex_file")
    htcondor_config = import_module("htcondor_config")
    expires = int(time.time()) + LEASE
    wanted = annex_file.Annex(
        annex,
        "alice",
        "pool",
        expires,
        IDLE,
        pool=annex_file.Pool(
            collector=pool.collector,
            method="idtokens",
            trust_domain=pool.trust_domain,
            uid_domain=pool.uid_domain,
            ccb=pool.ccb,
            users=("alice",),
            update_seconds=pool.update_interval,
        ),
        secret=annex_file.Secret(f"/annexkit/{annex}/{uuid4().hex[:12]}", REGION),
    )
    values = {
        "config": htcondor_config.annex_config(wanted),
        "lease": htcondor_config.lease_config(expires, 0),
        "token": new_secret(pool, LEASE).text + "\n",
        **{name: [list(START)] if name == kind else [] for name in FLOORS},
    }
    return userdata.render(ROOT / "bench" / "floor.yaml", values)
