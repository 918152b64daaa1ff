"""A thousand OpenSSH servers on loopback, each with its own address and host key.

They live in name spaces of their own (network, mounts, processes): nothing outside can
reach them, the account they let in exists nowhere else, and they end with the program
that made them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

INSIDE = "ANNEXKIT_BENCH_INSIDE"
SSHD = "ANNEXKIT_BENCH_SSHD"
LIBRARIES = "ANNEXKIT_BENCH_SSHD_LIBRARIES"
USER = "bench"
ANSWER = 4096  # bytes, about what the checks of one node print
CONFIG = """\
Port 22
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {folder}/authorized_keys
MaxStartups 1000
PerSourceMaxStartups none
PidFile none
PrintMotd no
PrintLastLog no
LogLevel ERROR
"""
ACCOUNTS = """\
sshd:x:64998:64998::/run/sshd:/usr/sbin/nologin
{user}:x:64999:64999::{folder}:/bin/sh
"""


def enter() -> None:
    """Go on inside name spaces of our own; does not return when not yet there."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        Path("/run/sshd").mkdir()
        return
    if os.geteuid():
        raise SystemExit("name spaces and sshd need root")
    with tempfile.TemporaryDirectory(prefix="annexkit-sshd-") as folder:
        sshd, libraries = _find_sshd(Path(folder))
        env = {**os.environ, INSIDE: "1", SSHD: str(sshd), LIBRARIES: libraries}
        unshare = "unshare --net --mount --pid --fork --mount-proc --kill-child"
        done = subprocess.run(
            [*unshare.split(), sys.executable, *sys.argv], env=env, check=False
        )
    raise SystemExit(done.returncode)


def _find_sshd(folder: Path) -> tuple[Path, str]:
    """Return sshd and its LD_LIBRARY_PATH: the system's, or one only unpacked here.

    Installing the package would start a server on port 22 of this machine.
    """
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found:
        return Path(found), ""
    command = ["apt-get", "-qq", "download", "openssh-server", "libwrap0"]
    folder.chmod(0o777)  # apt downloads as a user of its own
    subprocess.run(command, cwd=folder, check=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    folder.chmod(0o755)
    libraries = [str(path.parent) for path in folder.glob("root/**/libwrap.so.0")]
    return folder / "root" / "usr" / "sbin" / "sshd", ":".join(libraries)


@dataclass(frozen=True)
class Target:
    """One server: its address and the public host key it shows."""

    address: str
    host_key: str


class Farm:
    """Servers on 127.1.x.y, port 22; a context manager."""

    def __init__(self, size: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="annexkit-bench-"))
        self.folder.chmod(0o755)
        self.answer = self.folder / "answer"
        self.key = self.folder / "id_ed25519"
        self.targets: list[Target] = []
        self._servers: list[subprocess.Popen[bytes]] = []
        self._size = size

    def __enter__(self) -> Self:
        """Start all servers and wait until each one listens."""
        self.answer.write_text("a" * (ANSWER - 1) + "\n", encoding="ascii")
        self.answer.chmod(0o644)
        public = new_key(self.key)
        self._write("authorized_keys", public)
        self._write("sshd_config", CONFIG.format(folder=self.folder))
        known = Path("/etc/passwd").read_text(encoding="utf-8")
        accounts = ACCOUNTS.format(user=USER, folder=self.folder)
        self._write("passwd", known + accounts)
        mount = ["mount", "--bind", str(self.folder / "passwd"), "/etc/passwd"]
        subprocess.run(mount, check=True)
        for number in range(self._size):
            self._start(f"127.1.{number // 250}.{number % 250 + 1}", number)
        for target in self.targets:
            _wait_for(target.address)
        return self

    def __exit__(self, *_: object) -> None:
        """End the servers and remove the folder."""
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            server.wait()
        subprocess.run(["umount", "/etc/passwd"], check=True)
        shutil.rmtree(self.folder)

    def known_hosts(self, targets: list[Target]) -> Path:
        """Write known_hosts for some of them and return where it lies."""
        lines = [f"{target.address} {target.host_key}" for target in targets]
        return self._write(f"known_hosts-{len(targets)}", "\n".join(lines))

    def _start(self, address: str, number: int) -> None:
        host_key = self.folder / f"host-{number}"
        self.targets.append(Target(address, new_key(host_key)))
        command = [os.environ[SSHD], "-D", "-f", str(self.folder / "sshd_config")]
        own = ["-h", str(host_key), "-o", f"ListenAddress={address}"]
        env = {**os.environ, "LD_LIBRARY_PATH": os.environ[LIBRARIES]}
        self._servers.append(
            subprocess.Popen([*command, *own], stderr=subprocess.DEVNULL, env=env)
        )

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(f"{text.rstrip()}\n", encoding="utf-8")
        path.chmod(0o644)
        return path


def new_key(path: Path) -> str:
    """Make an ed25519 key pair; return the public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(private)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode()


def _wait_for(address: str, timeout: float = 60) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((address, 22), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"sshd on {address} does not listen") from None
            time.sleep(0.05)
