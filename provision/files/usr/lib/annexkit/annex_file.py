"""What /etc/annexkit/annex.json says: the contract "annexkit", version 1, checked.

Whoever writes the file (cloud-init/annexkit.yaml) and whoever reads it may be of
different versions; so a key that this image does not know is refused, not ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

# What may stand between quotes in HTCondor's configuration. The name of an annex
# is also upstream's client token, cut at 27 characters and at an underscore.
ANNEX_NAME = re.compile(r"[A-Za-z0-9-]{1,27}")
OWNER = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
DOMAIN = re.compile(r"[A-Za-z0-9_.-]{1,253}")
COLLECTOR = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
REGION = re.compile(r"[a-z0-9-]{1,32}")
PARAMETER = re.compile(r"/annexkit/[A-Za-z0-9-]{1,27}/[0-9a-f]{12}")
USER = re.compile(r"[A-Za-z0-9_.@-]{1,64}|\*")
METHODS = ("idtokens", "password")
MODES = ("one-node", "pool")

KEYS = {
    *("version", "annex", "owner", "mode", "lease_expires", "idle_seconds"),
    *("lease_poll_seconds", "drain_seconds", "probation", "pool", "secret"),
}
POOL_KEYS = {
    *("collector", "method", "trust_domain", "uid_domain", "ccb", "users"),
    "update_seconds",
}
SECRET_KEYS = {"ssm", "region"}


class AnnexFileError(Exception):
    """annex.json does not say what it has to; the text says what to correct."""


@dataclass(frozen=True)
class Pool:
    """The pool to join; *users* are whose jobs may run, ``*`` means everybody's."""

    collector: str
    method: str
    trust_domain: str
    uid_domain: str
    ccb: bool
    users: tuple[str, ...]
    update_seconds: int


@dataclass(frozen=True)
class Secret:
    """Where the pool's secret lies: the name of an SSM parameter, and its region."""

    ssm: str
    region: str

    @property
    def launch(self) -> str:
        """The launch that the parameter belongs to: the last part of its name."""
        return self.ssm.rpartition("/")[2]


@dataclass(frozen=True)
class Annex:
    """What annex.json says, checked. Times in seconds, the lease since the epoch.

    *pool* and *secret* are given in mode "pool" and in no other. On *probation* the
    node takes no job before its lease was prolonged: whoever launched it verifies it.
    """

    name: str
    owner: str
    mode: str
    lease_expires: int
    idle_seconds: int
    lease_poll_seconds: int = 60
    drain_seconds: int = 0
    probation: bool = False
    pool: Optional[Pool] = None  # noqa: UP045  (Python 3.9)
    secret: Optional[Secret] = None  # noqa: UP045


def leased(annex: Annex, expires: int) -> bool:
    """Say whether a lease that ends at *expires* is one that jobs may rely on."""
    return not annex.probation or expires > annex.lease_expires


def read_annex(path: Path) -> Annex:
    """Read and check annex.json.

    :raises AnnexFileError: missing, not JSON, of another version, or a bad value.
    """
    return checked(read(path))


def read(path: Path) -> dict[str, Any]:
    """Read annex.json, and check no more than its version.

    :raises AnnexFileError: missing, not JSON, or of another version.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise AnnexFileError(
            f"{path}: {error.strerror}; user data writes it"
        ) from error
    except ValueError as error:
        raise AnnexFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != 1:
        raise AnnexFileError(f"{path}: this image reads version 1 only")
    return data


def lease_expires(data: dict[str, Any]) -> int:
    """Return when the lease ends, whatever else is wrong with the file.

    :raises AnnexFileError: that is wrong, too.
    """
    return _whole(data, "lease_expires", 1)


def checked(data: dict[str, Any]) -> Annex:
    """Return what annex.json says.

    :raises AnnexFileError: a bad value, or a key that this image does not know.
    """
    _only(data, KEYS, "")
    mode = _matching(data, "mode", PLAIN)
    if mode not in MODES:
        raise AnnexFileError(
            f"annex.json: mode '{mode}' is not supported by this image; "
            f"it knows {' and '.join(MODES)}"
        )
    return Annex(
        name=_matching(data, "annex", ANNEX_NAME),
        owner=_matching(data, "owner", OWNER),
        mode=mode,
        lease_expires=lease_expires(data),
        idle_seconds=_whole(data, "idle_seconds", 0),
        lease_poll_seconds=_whole(data, "lease_poll_seconds", 1, 60),
        drain_seconds=_whole(data, "drain_seconds", 0, 0),
        probation=_truth(data, "probation", False),
        pool=_pool(_part(data, "pool", POOL_KEYS)) if mode == "pool" else None,
        secret=_secret(_part(data, "secret", SECRET_KEYS)) if mode == "pool" else None,
    )


def _pool(data: dict[str, Any]) -> Pool:
    method = _matching(data, "method", PLAIN)
    if method not in METHODS:
        known = " or ".join(METHODS)
        raise AnnexFileError(f"annex.json: pool: 'method' is {method!r}, not {known}")
    users = data.get("users")
    if not isinstance(users, list) or not users:
        raise AnnexFileError("annex.json: pool: 'users' is no list of names")
    if not all(isinstance(user, str) and USER.fullmatch(user) for user in users):
        raise AnnexFileError(
            f"annex.json: pool: a name in 'users' does not match {USER.pattern}"
        )
    return Pool(
        collector=_matching(data, "collector", COLLECTOR),
        method=method,
        trust_domain=_matching(data, "trust_domain", DOMAIN),
        uid_domain=_matching(data, "uid_domain", DOMAIN),
        ccb=_truth(data, "ccb"),
        users=tuple(users),
        update_seconds=_whole(data, "update_seconds", 1, 300),
    )


def _secret(data: dict[str, Any]) -> Secret:
    return Secret(_matching(data, "ssm", PARAMETER), _matching(data, "region", REGION))


def _part(data: dict[str, Any], key: str, keys: set[str]) -> dict[str, Any]:
    part = data.get(key)
    if not isinstance(part, dict):
        raise AnnexFileError(f"annex.json: mode 'pool' needs '{key}'")
    _only(part, keys, f"{key}: ")
    return part


def _only(data: dict[str, Any], keys: set[str], where: str) -> None:
    unknown = ", ".join(f"'{key}'" for key in sorted(set(data) - keys))
    if unknown:
        raise AnnexFileError(f"annex.json: {where}this image does not know {unknown}")


def _matching(data: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise AnnexFileError(f"annex.json: '{key}' does not match {pattern.pattern}")
    return value


def _truth(
    data: dict[str, Any],
    key: str,
    otherwise: Optional[bool] = None,  # noqa: UP045
) -> bool:
    value = data.get(key, otherwise)
    if not isinstance(value, bool):
        raise AnnexFileError(f"annex.json: '{key}' is neither true nor false")
    return value


def _whole(
    data: dict[str, Any],
    key: str,
    least: int,
    otherwise: Optional[int] = None,  # noqa: UP045
) -> int:
    value = data.get(key, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise AnnexFileError(f"annex.json: '{key}' is no whole number from {least}")
    return value
