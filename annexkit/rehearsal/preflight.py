"""Whether this machine can rehearse, and if not, what it needs."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from annexkit.errors import Finding, Level

DEBIAN = 12
GIB = 1024**3
ROOM_COLD = 3 * GIB
ROOM_WARM = 1 * GIB
# What a booted machine keeps open of inotify instances, with some room.
INOTIFY_EACH = 6
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# program or file, and the Debian package that has it
NEEDED = {
    "podman": "podman",
    "/usr/lib/podman/netavark": "netavark",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


@dataclass(frozen=True)
class Host:
    """What is asked about this machine, so that tests can say otherwise."""

    system: str
    release: Mapping[str, str]
    uid: int
    path: str

    @classmethod
    def here(cls) -> Host:
        """Describe this machine."""
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            release = {}
        # /usr/sbin is not on an ordinary user's path, and is where iptables lies
        path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        return cls(platform.system(), release, os.geteuid(), path)


def check(host: Host, folders: Mapping[Path, int], machines: int) -> Iterator[Finding]:
    """Find what is missing.

    :param folders: folders that will be written to, with the bytes they need.
    :param machines: the most machines that are to run.
    """
    yield from _system(host)
    if host.system != "Linux":
        return
    if host.uid != 0:
        yield _error("the rehearsal needs root for now", mend="run it with sudo")
    yield from _programs(host)
    for folder, needed in folders.items():
        yield from room(folder, needed)
    yield from _inotify(machines)


def room(folder: Path, needed: int) -> Iterator[Finding]:
    """Find whether the file system of *folder* has *needed* bytes free."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        yield _error(
            f"{free / GIB:.1f} GiB are free, {needed / GIB:.1f} GiB are needed",
            where=str(folder),
            mend="make room on that file system",
        )


def port_is_free(port: int) -> bool:
    """Whether a server could listen there on loopback."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _system(host: Host) -> Iterator[Finding]:
    if host.system != "Linux":
        yield _error(
            f"the rehearsal runs on Linux, this is {host.system or 'unknown'}",
            mend=f"use a virtual machine with Debian {DEBIAN} or newer",
        )
        return
    name = host.release.get("PRETTY_NAME", "an unknown distribution")
    version = host.release.get("VERSION_ID", "")
    # Debian's testing has no VERSION_ID
    old = version.isdecimal() and int(version) < DEBIAN
    if host.release.get("ID") != "debian" or old:
        yield _error(
            f"the rehearsal needs Debian {DEBIAN} or newer, this is {name}",
            where="/etc/os-release",
            mend=f"install Debian {DEBIAN} or newer, a virtual machine will do",
        )


def _programs(host: Host) -> Iterator[Finding]:
    missing = [
        package for program, package in NEEDED.items() if not _has(host, program)
    ]
    if not (_has(host, "runc") or _has(host, "crun")):
        missing.append("runc")
    if missing:
        yield _error(
            f"not installed: {', '.join(missing)}",
            mend=f"apt-get install --no-install-recommends {' '.join(missing)}",
        )


def _has(host: Host, program: str) -> bool:
    return shutil.which(program, path=host.path) is not None


def _inotify(machines: int) -> Iterator[Finding]:
    try:
        most = int(INOTIFY.read_text())
    except (OSError, ValueError):
        return
    if machines * INOTIFY_EACH > most:
        yield _error(
            f"{machines} machines need {machines * INOTIFY_EACH} inotify instances, "
            f"the kernel allows {most}",
            where="rehearsal.machines",
            mend=f"set it to {most // INOTIFY_EACH} or less, or type: "
            "sysctl fs.inotify.max_user_instances=4096",
        )


def _error(what: str, *, where: str = "", mend: str = "") -> Finding:
    return Finding(Level.ERROR, what, where, mend)
