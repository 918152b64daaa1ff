"""Pool hosts: each a central manager and an access point in one machine.

They stand in the rehearsal's network below the addresses of its instances, and go with
the rehearsal. What HTCondor is told there is the caller's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from annexkit.errors import UsageError
from annexkit.files import make_folder, write_beside
from annexkit.rehearsal import control, firmware, pool_host, pool_image
from annexkit.rehearsal.podman import POWER_SWITCH, MachineSpec, Podman
from annexkit.rehearsal.pool_host import DEFAULT, DOMAIN, PoolHost
from annexkit.rehearsal.site import FIRST_HOST, fix_bridge
from annexkit.rehearsal.state import Rehearsal
from annexkit.sections import RehearsalSettings
from annexkit.waiting import wait_for

Progress = Callable[[str], None]
Mount = tuple[Path, str, str]  # as of podman.MachineSpec
FIRST_POOL = 4  # of the subnet's addresses; below are those that EC2 keeps for itself
START_SECONDS = 90
# What a pool that is ready shows (MyType of its ads).
DAEMONS = {"Collector", "DaemonMaster", "Negotiator", "Scheduler"}
READER = "annexkit"

CONFIG = """\
# How this machine asks the rehearsal's pool; nothing of it runs here.
COLLECTOR_HOST = {collector}
TRUST_DOMAIN = {domain}
UID_DOMAIN = {domain}
ENABLE_IPV6 = False
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_CLIENT_AUTHENTICATION = REQUIRED
SEC_CLIENT_ENCRYPTION = REQUIRED
SEC_CLIENT_INTEGRITY = REQUIRED
SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS
SEC_TOKEN_DIRECTORY = {folder}/tokens.d
SEC_TOKEN_SYSTEM_DIRECTORY = {folder}/tokens.d
LOCAL_DIR = {folder}
LOG = {folder}
"""


def pool_up(
    settings: RehearsalSettings,
    root: Path,
    *,
    cache: Path,
    htcondor: str,
    files: Mapping[str, str],
    secrets: Mapping[str, str | bytes] | None = None,
    method: str = "idtokens",
    name: str = DEFAULT,
    mounts: Sequence[Mount] = (),
    progress: Progress = lambda _: None,
) -> PoolHost:
    """Bring a pool host up; does nothing when it is up as it is asked for.

    :param htcondor: which version, ``23.9`` or ``25.14``.
    :param files: path on the host and text of each file of its configuration.
    :param secrets: the same for files that only root may read.
    :param method: how annexes of this pool prove who they are (``pool.method``).
    :param mounts: what of this host shows there: (path here, path inside, options).
    :raises UsageError: no rehearsal is up, or the version is not one of these.
    :raises Deadline: HTCondor does not come up.
    """
    rehearsal = control.running(settings, root)
    if htcondor not in pool_image.INSTALLS:
        raise UsageError(
            f"the rehearsal has no HTCondor '{htcondor}'",
            mend=f"take one of: {', '.join(pool_image.INSTALLS)}",
        )
    folder = make_folder(pool_host.folder_of(rehearsal.dir, name))
    hidden = {path: _bytes(text) for path, text in (secrets or {}).items()}
    digest = _digest(htcondor, method, files, hidden, mounts)
    with FileLock(rehearsal.dir / "pool.lock"):
        podman = Podman(rehearsal.id, rehearsal.runtime)
        there = pool_host.load(folder)
        if there and there.digest == digest and _is_on(podman, there.container):
            return there
        image = pool_image.ensure(htcondor, rehearsal.base, cache, podman, progress)
        host = PoolHost(
            name=name,
            hostname=f"cm.{DOMAIN}" if name == DEFAULT else f"cm-{name}.{DOMAIN}",
            address=there.address if there else _address(rehearsal),
            container=f"{rehearsal.network}-pool-{name}",
            htcondor=htcondor,
            version="",
            method=method,
            users=(pool_image.USER,),
            folder=folder,
            digest=digest,
        )
        progress(f"pool host: starting HTCondor {htcondor}")
        _start(rehearsal, podman, host, image, mounts)
        _configure(host, files, hidden)
        return _finish(host)


def pool_down(settings: RehearsalSettings, root: Path, name: str = DEFAULT) -> bool:
    """Remove a pool host; whether there was one."""
    rehearsal = control.running(settings, root)
    host = pool_host.load(pool_host.folder_of(rehearsal.dir, name))
    if host is None:
        return False
    Podman(rehearsal.id, rehearsal.runtime).remove(host.container)
    shutil.rmtree(host.folder)
    return True


def standing(settings: RehearsalSettings, root: Path, name: str = DEFAULT) -> PoolHost:
    """Return the pool host that is up.

    :raises UsageError: there is none.
    """
    rehearsal = control.running(settings, root)
    host = pool_host.load(pool_host.folder_of(rehearsal.dir, name))
    if host is None:
        raise UsageError(
            "the rehearsal has no pool",
            where=str(rehearsal.dir),
            mend="invoke rehearsal.pool",
        )
    return host


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _digest(
    htcondor: str,
    method: str,
    files: Mapping[str, str],
    hidden: Mapping[str, bytes],
    mounts: Sequence[Mount],
) -> str:
    kept = {path: data.hex() for path, data in hidden.items()}
    shown = [[str(here), inside, options] for here, inside, options in mounts]
    text = json.dumps([htcondor, method, dict(files), kept, shown], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_on(podman: Podman, container: str) -> bool:
    there = podman.call("ps", "--quiet", "--filter", f"name=^{container}$")
    return bool(there.strip())


def _address(rehearsal: Rehearsal) -> str:
    """Choose an address that neither an instance nor another pool host gets."""
    network = ipaddress.ip_network(rehearsal.subnet)
    taken = {host.address for host in pool_host.standing(rehearsal.dir)}
    for number in range(FIRST_POOL, FIRST_HOST):
        if (address := str(network[number])) not in taken:
            return address
    raise UsageError(
        f"{FIRST_HOST - FIRST_POOL} pool hosts are up, there is room for no other",
        mend="invoke rehearsal.down",
    )


def _start(
    rehearsal: Rehearsal,
    podman: Podman,
    host: PoolHost,
    image: str,
    mounts: Sequence[Mount],
) -> None:
    """Start the machine; its power is off, but files can be put into it."""
    podman.remove(host.container)
    last = int(host.address.rpartition(".")[2])
    hosts = firmware.hosts_file(host.folder, host.address, host.hostname)
    spec = MachineSpec(
        name=host.container,
        image=image,
        address=host.address,
        mac=f"02:fd:{rehearsal.id[:2]}:{rehearsal.id[2:4]}:{rehearsal.id[4:6]}:{last:02x}",
        hostname=host.hostname,
        labels=(("annexkit.pool", host.name),),
        mounts=(hosts, *mounts),
    )
    podman.create(spec, rehearsal.network)
    fix_bridge(rehearsal.id, podman.bridge(rehearsal.network))


def _configure(
    host: PoolHost, files: Mapping[str, str], hidden: Mapping[str, bytes]
) -> None:
    """Write the configuration and switch the machine on."""
    write = 'umask "$2" && mkdir -p "${1%/*}" && rm -f "$1" && cat >"$1"'
    for path, text in files.items():
        host.run("root", "sh", "-c", write, "sh", path, "022", stdin=text)
    kept = pool_host.secrets_of(host.folder)
    shutil.rmtree(kept, ignore_errors=True)
    for path, data in hidden.items():
        host.run("root", "sh", "-c", write, "sh", path, "077", stdin=data)
        make_folder(kept).chmod(0o700)
        copy = kept / Path(path).name
        copy.touch(mode=0o600)
        copy.write_bytes(data)
    host.run("root", "touch", POWER_SWITCH)


def _finish(host: PoolHost) -> PoolHost:
    """Wait until the pool answers, and make it known to this host."""
    asked = ("condor_status", "-any", "-af", "MyType")

    def shown() -> bool:
        return set(host.run("root", *asked, check=False).stdout.split()) >= DAEMONS

    wait_for(
        shown,
        what=f"the daemons of {host.hostname}",
        timeout=START_SECONDS,
        poll=0.2,
        mend=f"podman exec {host.container} tail /var/log/condor/MasterLog",
    )
    said = host.run("root", "condor_version").stdout.split()
    found = host.model_copy(update={"version": said[1] if len(said) > 1 else ""})
    token = host.issue_token(f"{READER}@{DOMAIN}", ["READ"])
    tokens = make_folder(host.folder / "tokens.d")
    tokens.chmod(0o700)
    write_beside(tokens / READER, f"{token}\n", mode=0o600)
    text = CONFIG.format(collector=found.collector, domain=DOMAIN, folder=found.folder)
    write_beside(host.folder / "condor_config", text)
    pool_host.save(found)
    return found
