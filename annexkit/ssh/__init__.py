"""The one door to nodes over SSH: pinned host keys, every wait under a deadline.

A connection is made only when the host keys are known beforehand; nothing in here can
add one (docs/architecture.md, law 8).
"""

import logging

from annexkit.ssh.connection import Connection, SshError
from annexkit.ssh.keys import HostKey, HostKeyError, Key, new_key
from annexkit.ssh.login import connect

__all__ = [
    "Connection",
    "HostKey",
    "HostKeyError",
    "Key",
    "SshError",
    "connect",
    "new_key",
]

# paramiko logs a traceback for every refused attempt while a node boots.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)
