"""Keys for tests, made once: RSA takes its time."""

from __future__ import annotations

from functools import cache

import paramiko

from annexkit.ssh import HostKey, Key, new_key

CLIENT = new_key()


@cache
def server_key(kind: str = "ed25519") -> paramiko.PKey:
    if kind == "rsa":
        return paramiko.RSAKey.generate(2048)
    if kind == "ecdsa":
        return paramiko.ECDSAKey.generate()
    return new_key().pkey


def host_key(kind: str = "ed25519") -> HostKey:
    return HostKey.of(server_key(kind), "console output")


def other_key() -> Key:
    return new_key()
