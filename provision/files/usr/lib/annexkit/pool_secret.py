"""Fetch the pool's secret and put it where HTCondor looks for it, for root alone.

A token goes to /etc/condor/tokens.d/annex, a pool password to
/etc/condor/condor_pool_password, scrambled as condor_store_cred does it: the XOR with
four fixed bytes hides it from a glance and from nobody else.
"""

from __future__ import annotations

import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from annex_file import Annex
from aws_ssm import SsmError, get_parameter
from htcondor_config import PASSWORD_FILE, TOKEN_FILE

# JSON Web Token: three parts of URL-safe Base64 (RFC 7519, 7515).
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
SCRAMBLE = b"\xde\xad\xbe\xef"


def fetch(annex: Annex, tell: Callable[[SsmError], None] = lambda error: None) -> bytes:
    """Return the secret as its file holds it.

    :raises SsmError: it cannot be had, or is no secret of the wanted kind.
    """
    if annex.secret is None or annex.pool is None:
        raise ValueError("only an annex of mode 'pool' has a secret")
    text = get_parameter(annex.secret.ssm, annex.secret.region, tell=tell).strip()
    if annex.pool.method == "password":
        return scrambled(text.encode())
    if not TOKEN.fullmatch(text):
        raise SsmError("refused", f"what {annex.secret.ssm} holds is no token")
    return text.encode() + b"\n"


def store(root: str, annex: Annex, data: bytes) -> bool:
    """Put the secret in its place; say whether it changed anything."""
    password = annex.pool is not None and annex.pool.method == "password"
    path = Path(root + (PASSWORD_FILE if password else TOKEN_FILE))
    if path.exists() and path.read_bytes() == data:
        return False
    path.parent.mkdir(mode=0o755 if password else 0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.annexkit-new")
    beside.unlink(missing_ok=True)
    # Never readable to others, not even for a moment.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.replace(path)
    return True


def outlives(root: str, annex: Annex, when: int) -> bool:
    """Say whether the secret that is there holds beyond *when*, a Unix time.

    A password has no end; a token says its own (RFC 7519, exp).
    """
    if annex.pool is not None and annex.pool.method == "password":
        return Path(root + PASSWORD_FILE).exists()
    try:
        body = Path(root + TOKEN_FILE).read_text().split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return bool(claims["exp"] > when)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def scrambled(password: bytes) -> bytes:
    """Scramble a password as HTCondor's own tools do (condor_store_cred)."""
    return bytes(byte ^ mask for byte, mask in zip(password, cycle(SCRAMBLE)))
