"""Checks of what a node needs to join a pool, run on the node; see node_check."""

from __future__ import annotations

import json
import re
import stat
from typing import Any

from annexkit.verify.node_base import Node, Wrong, command, differing, expect
from annexkit.verify.node_imds import ask_as_root

ROLE = "meta-data/iam/security-credentials/"
METHODS = {"idtokens": "FS, IDTOKENS", "password": "FS, PASSWORD"}
SECRETS = {
    "idtokens": "/etc/condor/tokens.d/annex",
    "password": "/etc/condor/condor_pool_password",
}
REQUIRED = ("AUTHENTICATION", "INTEGRITY", "ENCRYPTION")


def role(node: Node) -> str:
    """The instance has a role whose credentials root gets; they stay on the node."""
    status, found = ask_as_root(node, ROLE)
    name = found.split("\n")[0]
    expect(status == 200 and name, "", "the instance has no role (instance profile)")
    status, found = ask_as_root(node, ROLE + name)
    try:
        ok = status == 200 and json.loads(found)["AccessKeyId"]
    except (ValueError, KeyError, TypeError):
        ok = False
    return expect(ok, name, f"there are no credentials for role {name}: HTTP {status}")


def pool_config(node: Node) -> str:
    """HTCondor's configuration can be read, and is the one that the annex asked for."""
    pool = _pool(node)
    dumped = command("sh", "-c", "condor_config_val -dump 2>&1", check=False)
    found = _values(dumped)
    broken = "" if found else dumped[-300:] or "it is empty"
    expect(not broken, "", f"it cannot be read: {broken}")
    pairs = [
        ("DAEMON_LIST", "MASTER STARTD"),
        ("COLLECTOR_HOST", pool.get("collector")),
        ("SEC_DEFAULT_AUTHENTICATION_METHODS", METHODS.get(pool.get("method", ""))),
        *((f"SEC_DEFAULT_{name}", "REQUIRED") for name in REQUIRED),
    ]
    wrong = differing((name, found.get(name), value) for name, value in pairs)
    expect(not wrong, "", wrong)
    encrypted = found.get("ENCRYPT_EXECUTE_DIRECTORY", "").lower()
    what = "ENCRYPT_EXECUTE_DIRECTORY is TRUE: no job can run"
    return expect(encrypted != "true", f"{pool['collector']}, {pool['method']}", what)


def secret(node: Node) -> str:
    """The pool's secret is there, and root's alone."""
    path = SECRETS.get(_pool(node).get("method", ""), "")
    try:
        found = node.path(path).lstat()
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror}") from error
    owner = node.path("/").stat().st_uid if node.root else 0  # a test's own, else root
    wrong = differing(
        [
            (f"{path}: kind", stat.S_ISREG(found.st_mode), True),
            (f"{path}: mode", f"{stat.S_IMODE(found.st_mode):04o}", "0600"),
            (f"{path}: owner", found.st_uid, owner),
            (f"{path}: empty", found.st_size == 0, False),
        ]
    )
    return expect(not wrong, path, wrong)


def _pool(node: Node) -> dict[str, Any]:
    pool = node.json("/etc/annexkit/annex.json").get("pool")
    if not isinstance(pool, dict):
        raise Wrong("/etc/annexkit/annex.json names no pool")
    return pool


def _values(dumped: str) -> dict[str, str]:
    """Read ``NAME = value`` lines; a name may be written in any case."""
    pairs = re.findall(r"^(\w+) = ?(.*)$", dumped, re.MULTILINE)
    return {name.upper(): value.strip() for name, value in pairs}
