"""Host keys of nodes: read from the console, kept by instance id.

The console is the source nobody on the network path can forge. Our image prints the
keys there before SSH answers, and once more at the end of boot, between the markers of
cloud-init (its documentation, "Keys to Console").
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from annexkit.errors import AnnexkitError
from annexkit.files import write_beside
from annexkit.ssh import HostKey, HostKeyError

__all__ = ["HostKey", "KnownHosts", "KnownHostsError", "by_hand", "parse_console"]

BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
END = "-----END SSH HOST KEY KEYS-----"
# Anywhere in a line: the console prefixes lines with times and program names.
KEY = re.compile(
    r"(?:^|[^\w-])(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) "
    r"(AAAA[A-Za-z0-9+/]{20,}={0,2})(?=\s|$)"
)
NAME = re.compile(r"[A-Za-z0-9._-]+")


class KnownHostsError(AnnexkitError):
    """A known_hosts file of ours holds something else."""


def parse_console(text: str) -> list[HostKey]:
    """Return the host keys in the last complete block; none while there is no such.

    A block without its end is still being written, one without its beginning was cut
    off by the 64 KB that EC2 keeps: neither counts. A key into which the kernel printed
    its own line is no key any more and is left out; the block before takes its place
    only when no key is left.
    """
    for block in reversed(_blocks(text)):
        if keys := _keys(block):
            return keys
    return []


def _blocks(text: str) -> list[list[str]]:
    found: list[list[str]] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if BEGIN in line:
            block = []
        elif END in line and block is not None:
            found.append(block)
            block = None
        elif block is not None:
            block.append(line)
    return found


def _keys(lines: Iterable[str]) -> list[HostKey]:
    found: dict[str, HostKey] = {}
    for line in lines:
        if match := KEY.search(line):
            try:
                key = HostKey.parse(" ".join(match.groups()))
            except HostKeyError:
                continue
            found[key.type] = key
    return sorted(found.values(), key=lambda key: key.type != "ssh-ed25519")


@dataclass(frozen=True)
class KnownHosts:
    """The known_hosts file of one annex, in OpenSSH's format (sshd(8)).

    Hosts are named by instance id, never by address: EC2 gives addresses to others.
    """

    path: Path

    def read(self) -> dict[str, list[HostKey]]:
        """Return the keys of each instance; nothing when there is no file yet.

        :raises KnownHostsError: a line is not ours.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        found: dict[str, list[HostKey]] = {}
        for number, line in enumerate(lines, 1):
            name, _, key = line.partition(" ")
            try:
                found.setdefault(name, []).append(HostKey.parse(key, str(self.path)))
            except HostKeyError as error:
                raise KnownHostsError(
                    error.what,
                    where=f"{self.path}:{number}",
                    mend="delete the file; the keys are read from the consoles again",
                ) from error
        return found

    def pin(self, keys: Mapping[str, Iterable[HostKey]]) -> None:
        """Pin each instance to its keys, in place of those it had.

        :param keys: by instance id; many at once, for the file is written anew.
        :raises KnownHostsError: an id could not stand in a known_hosts file.
        """
        for name in keys:
            if not NAME.fullmatch(name):
                raise KnownHostsError(
                    f"'{name}' is no instance id", where=str(self.path)
                )
        self._change({name: list(found) for name, found in keys.items()})

    def _change(self, new: dict[str, list[HostKey]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            kept = self.read() | new
            lines = [f"{name} {k.line}\n" for name in sorted(kept) for k in kept[name]]
            write_beside(self.path, "".join(lines), mode=0o600)


def by_hand(
    instance_id: str, user: str, address: str, *, key: Path, known: KnownHosts
) -> str:
    """Return the command by which a person logs in with the same pinned keys."""
    return (
        f"ssh -i {shlex.quote(str(key))} -o IdentitiesOnly=yes "
        f"-o UserKnownHostsFile={shlex.quote(str(known.path))} "
        f"-o StrictHostKeyChecking=yes -o HostKeyAlias={instance_id} {user}@{address}"
    )
