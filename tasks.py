"""The command line: each task calls one function of annexkit and shows its result.

The tasks stand in ``annexkit/commands``, by what they are about.
"""

from __future__ import annotations

import sys
from pathlib import Path

from invoke import Collection

from annexkit.commands import (
    account,
    annexes,
    doctor,
    images,
    network,
    nightly,
    pool,
    registry,
    rehearse,
    shared,
)

# The checkout that is worked on is the one that this file lies in.
shared.ROOT = Path(__file__).resolve().parent
sys.excepthook = shared.say_settings_error

ns = Collection(
    doctor.doctor,
    images.bake,
    images.copy,
    images.smoke,
    nightly.nightly,
    nightly.nightly_step,
    annexes.launch,
    annexes.verify,
    annexes.why,
    annexes.status,
    annexes.extend,
    annexes.terminate,
    annexes.watch,
    annexes.receipt,
    annexes.teardown,
    images.reap,
    images.retire,
    account.regions,
    account.keypair,
    network.security_group,
    account.iam,
)
ns.add_collection(
    Collection("pool", pool.pool_config, pool.pool_secret, pool.pool_check)
)
ns.add_collection(
    Collection(
        "registry",
        images.registry_list,
        images.registry_show,
        images.registry_check,
        images.registry_export,
        registry.registry_promote,
        registry.registry_rollback,
        registry.registry_verify,
        registry.registry_diff,
        registry.registry_updates,
    )
)
ns.add_collection(
    Collection(
        "rehearsal",
        rehearse.rehearsal_up,
        rehearse.rehearsal_pool,
        rehearse.rehearsal_jobs,
        rehearse.rehearsal_down,
        rehearse.rehearsal_status,
        rehearse.rehearsal_env,
        rehearse.rehearsal_console,
        rehearse.rehearsal_shell,
    )
)
