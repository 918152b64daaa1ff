"""What the pool's own hosts need in their configuration so that annexes can join.

Tried with HTCondor 23.9.6 and 25.14.1; docs/pool.md says what each line is for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from annexkit.errors import UsageError
from annexkit.pool.target import Pool

Role = Literal["cm", "ap"]
PATH = "/etc/condor/config.d/80-annexkit-pool.config"
METHODS = ("FS", "IDTOKENS", "PASSWORD")
OLDEST = (9, 0)  # the first release line with IDTOKENS by default
HEAD = """\
# Written by annexkit (invoke pool.config) for HTCondor {version}: {roles}.
# annexkit replaces this file as a whole; put changes of your own into a later one.
"""
# What was allowed before stays allowed. A list that is not set follows DAEMON's, and
# would no longer once it is set.
ADVERTISE = """
# Annexes may advertise slots and masters by a token, and nothing else.
TRUST_DOMAIN = {trust}
if defined ALLOW_ADVERTISE_STARTD
    ALLOW_ADVERTISE_STARTD = $(ALLOW_ADVERTISE_STARTD) {identity}
else
    ALLOW_ADVERTISE_STARTD = $(ALLOW_DAEMON) {identity}
endif
if defined ALLOW_ADVERTISE_MASTER
    ALLOW_ADVERTISE_MASTER = $(ALLOW_ADVERTISE_MASTER) {identity}
else
    ALLOW_ADVERTISE_MASTER = $(ALLOW_DAEMON) {identity}
endif
"""
SHARED = """
# Annexes know the pool password. Tools and users still need FS or IDTOKENS.
SEC_PASSWORD_FILE = {file}
SEC_DEFAULT_AUTHENTICATION_METHODS = {methods}
# Who knows the password must not be able to sign tokens with it.
SEC_TOKEN_POOL_SIGNING_KEY_FILE = $(SEC_PASSWORD_DIRECTORY)/POOL
# The name by which it is known: since 23.9.0, and before.
ALLOW_DAEMON = $(ALLOW_DAEMON) condor@password condor_pool@{uid_domain}
# Left out on purpose: condor@* and condor_pool@*, which hold those two.
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN) {local}
# By default daemons lay a key to their administration into their private ads, which
# whoever may negotiate can read: condor_off would work without ALLOW_ADMINISTRATOR.
SEC_ENABLE_REMOTE_ADMINISTRATION = False
"""
LOCAL = "condor@family condor@child condor@parent"  # daemons of the same host


def render(
    version: str,
    roles: Collection[Role],
    pool: Pool,
    *,
    methods: Sequence[str] = METHODS,
    fast: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the files that a host of the pool needs, by their paths.

    Empty where nothing is needed: an access point, when annexes come with tokens.

    :param version: the host's HTCondor, such as 25.14.1.
    :param methods: with PASSWORD, all methods that the pool uses.
    :param fast: settings to add as they are; the rehearsal has shorter intervals.
    :raises UsageError: that HTCondor is too old, or is no version.
    """
    _check_version(version)
    parts = []
    if pool.method == "password":
        parts.append(
            SHARED.format(
                file=pool.password_file,
                methods=", ".join(dict.fromkeys([*methods, "PASSWORD"])),
                uid_domain=pool.uid_domain,
                local=LOCAL,
            )
        )
    elif "cm" in roles:
        parts.append(ADVERTISE.format(trust=pool.trust_domain, identity=pool.identity))
    if fast:
        parts.append("\n" + "".join(f"{k} = {v}\n" for k, v in sorted(fast.items())))
    if not parts:
        return {}
    names = {"cm": "central manager", "ap": "access point"}
    what = " and ".join(name for role, name in names.items() if role in roles)
    return {PATH: HEAD.format(version=version, roles=what) + "".join(parts)}


def remaining(pool: Pool) -> str:
    """Say what an annex can do to the pool when root on a node is hostile."""
    if pool.method == "password":
        return (
            "the pool password lets root on any node act as a daemon of the pool: "
            "advertise slots and schedulers that are not there, replace the ads of "
            "others, negotiate with access points, and hold or remove everybody's "
            "jobs. It is no administrator, and makes no tokens. It never expires: "
            "after a break-in, make a new one"
        )
    return (
        "a token lets root on a node advertise slots and masters under any name until "
        "it expires, and read what the collector knows; nothing else"
    )


def _check_version(version: str) -> None:
    match = re.match(r"(\d+)\.(\d+)(\.\d+)?$", version)
    if not match:
        raise UsageError(
            f"{version!r} is no version of HTCondor",
            where="--htcondor",
            mend="write it as condor_version does: 25.14.1",
        )
    if (int(match[1]), int(match[2])) < OLDEST:
        raise UsageError(
            f"HTCondor {version} is too old: annexes need tokens or AES",
            where="--htcondor",
            mend="upgrade the pool to 23.x or later",
        )
