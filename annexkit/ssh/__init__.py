"""The one door to nodes over SSH: pinned host keys, every wait under a deadline.

A connection is made only when the host keys are known beforehand; nothing in here can
add one (docs/architecture.md, law 8).
"""

import logging

from annexkit.ssh.connection import Connection, SshError
from annexkit.ssh.errors import Kind
from annexkit.ssh.keys import HostKey, HostKeyError, Key, load_key, new_key
from annexkit.ssh.login import PORT, connect
from annexkit.ssh.probe import listening

__all__ = [
    "PORT",
    "Connection",
    "HostKey",
    "HostKeyError",
    "Key",
    "Kind",
    "SshError",
    "connect",
    "listening",
    "load_key",
    "new_key",
]

# paramiko logs a traceback for every refused attempt while a node boots.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)
