"""Host keys of nodes, read from the console.

The console is the source nobody on the network path can forge: cloud-init prints the
keys there between two markers (cloud-init documentation, "Keys to Console"), and our
image prints them once more at the end of boot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from annexkit.ssh import HostKey, HostKeyError

__all__ = ["HostKey", "parse_console"]

BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
END = "-----END SSH HOST KEY KEYS-----"
# Anywhere in a line: the console prefixes lines with times and program names.
KEY = re.compile(
    r"(?:^|[^\w-])(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) "
    r"(AAAA[A-Za-z0-9+/]{20,}={0,2})(?=\s|$)"
)


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
