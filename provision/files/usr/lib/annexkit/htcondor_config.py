"""HTCondor's configuration on an annex node, as text; nothing is written here.

Sources: HTCondor manual, "Security" and "Configuration Macros"; the values for
IDTOKENS and PASSWORD were tested with HTCondor 23.9.6 and 25.14.1.
"""

from __future__ import annotations

from typing import Optional

from annex_file import Annex, Pool

SHUTDOWN_SCRIPT = "/etc/condor/master_shutdown_script.sh"
PASSWORD_FILE = "/etc/condor/condor_pool_password"  # noqa: S105  a path
TOKEN_FILE = "/etc/condor/tokens.d/annex"  # noqa: S105  a path

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

POOL = """\
# An execute node of the pool, and nothing else.
DAEMON_LIST = MASTER STARTD
CONDOR_HOST = {host}
COLLECTOR_HOST = {collector}
TRUST_DOMAIN = {trust_domain}
UID_DOMAIN = {uid_domain}
TRUST_UID_DOMAIN = True
# Whoever's job it is, this node has no account of that name: jobs run as nobody.
STARTER_ALLOW_RUNAS_OWNER = False
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = {methods}
SEC_CLIENT_AUTHENTICATION_METHODS = {methods}
SEC_DAEMON_AUTHENTICATION_METHODS = {methods}
# Root of this node alone, by the file system: not root of another one.
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
# No token is ever issued here, so no key that signs tokens.
SEC_TOKEN_POOL_SIGNING_KEY_FILE =
UPDATE_INTERVAL = {update}
MASTER_UPDATE_INTERVAL = {update}
"""

# The startd ends when nobody claimed it for long, and the master must not stay behind.
STARTD_GONE = (
    "MASTER.DAEMON_SHUTDOWN_FAST = "
    "(STARTD_StartTime == 0) && ((time() - DaemonStartTime) > 60)"
)
# Upstream's own limit, for a tarball that names none (ANNEX_DEFAULT_UNCLAIMED_TIMEOUT).
UPSTREAM_IDLE = 900

METHODS = {"idtokens": "FS, IDTOKENS", "password": "FS, PASSWORD"}

# A peer that knows the pool password is condor@password from 23.9 on, and before
# that condor_pool@<UID_DOMAIN>.
PASSWORD = f"""\
SEC_PASSWORD_FILE = {PASSWORD_FILE}
ALLOW_DAEMON = condor@$(UID_DOMAIN) condor_pool@* condor@password
# Who knows the password could read the keys of other nodes in their private ads.
SEC_ENABLE_REMOTE_ADMINISTRATION = False
"""


def annex_config(annex: Annex, public_ip: str = "") -> str:
    """Render the configuration for this annex; *public_ip* is empty without one."""
    values = {"AnnexName": annex.name, "AnnexOwner": annex.owner}
    if annex.pool is None or annex.secret is None:
        return config(values, ONE_NODE + ending(annex.idle_seconds), "IsAnnex")
    values["AnnexLaunch"] = annex.secret.launch
    body = _pool(annex.pool, public_ip) + ending(annex.idle_seconds)
    return config(values, body, "IsAnnex")


def lease_config(
    expires: int,
    drain_seconds: int,
    notice: Optional[int] = None,  # noqa: UP045  (Python 3.9)
    leased: bool = True,
) -> str:
    """Render what changes with the lease, and with a notice of interruption.

    From AnnexDrainAt on no job starts (START), and those that run go on; both follow
    the lease by themselves when it moves.

    :param notice: when EC2 announced that it takes a spot instance back.
    :param leased: False on probation: no job starts before the node was verified.
    """
    drain = expires - drain_seconds if notice is None else notice
    lines = [f"AnnexLeaseExpires = {expires}", f"AnnexDrainAt = {drain}"]
    lines.append(f"AnnexLeased = {leased}")
    names = "AnnexLeaseExpires AnnexDrainAt AnnexLeased"
    if notice is not None:
        lines.append(f"AnnexSpotNotice = {notice}")
        names += " AnnexSpotNotice"
    return "\n".join(
        [
            "# Written by annexkit whenever the lease moves; changes here do not last.",
            *lines,
            f"STARTD_ATTRS = $(STARTD_ATTRS) {names}",
            f"MASTER_ATTRS = $(MASTER_ATTRS) {names}\n",
        ]
    )


def _pool(pool: Pool, public_ip: str) -> str:
    text = POOL.format(
        host=pool.collector.rpartition(":")[0] or pool.collector,
        collector=pool.collector,
        trust_domain=pool.trust_domain,
        uid_domain=pool.uid_domain,
        methods=METHODS[pool.method],
        update=pool.update_seconds,
    )
    if pool.method == "password":
        text += PASSWORD
    if pool.ccb:
        text += "# No way in: who wants to speak to this node asks the collector.\n"
        text += "CCB_ADDRESS = $(COLLECTOR_HOST)\n"
    elif public_ip:
        text += f"TCP_FORWARDING_HOST = {public_ip}\n"
    return text + _start(pool.users)


def _start(users: tuple[str, ...]) -> str:
    whose = "True"
    if "*" not in users:
        whose = f'stringListMember(Owner, "{",".join(users)}")'
    return f"START = ({whose}) && AnnexLeased && (time() < AnnexDrainAt)\n"


def ending(idle_seconds: int) -> str:
    """Render how HTCondor ends the node: when idle too long, when its master ends."""
    lines = [f"DEFAULT_MASTER_SHUTDOWN_SCRIPT = {SHUTDOWN_SCRIPT}"]
    if idle_seconds:
        lines += [
            f"STARTD_NOCLAIM_SHUTDOWN = {idle_seconds}",
            STARTD_GONE,
        ]
    return "\n".join(lines) + "\n"


def upstream_config(public_ip: str = "") -> str:
    """Render what an execute node needs besides upstream's tarball.

    Upstream's package has it as 50ec2.config. The tarball's own file is read before
    this one, and says how long the node may be idle.

    :param public_ip: empty without one; then the node is reached by the collector.
    """
    reached = "CCB_ADDRESS = $(COLLECTOR_HOST)"
    if public_ip:
        reached = f"TCP_FORWARDING_HOST = {public_ip}"
    lines = ["# Written at each boot by annexkit; changes here do not last."]
    lines += ["DAEMON_LIST = MASTER STARTD", reached]
    lines += ["if ! defined STARTD_NOCLAIM_SHUTDOWN"]
    lines += [f"  STARTD_NOCLAIM_SHUTDOWN = {UPSTREAM_IDLE}", "endif"]
    return "\n".join(lines) + "\n" + ending(0) + f"{STARTD_GONE}\n"


def config(values: dict[str, str], body: str, *true: str) -> str:
    """Render attributes as quoted strings, in the ads of startd and master."""
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
