"""Fetch the pool's secret and put it where HTCondor looks for it, for root alone.

A token goes to /etc/condor/tokens.d/annex, a pool password to
/etc/condor/condor_pool_password, scrambled as condor_store_cred does it: the XOR with
four fixed bytes hides it from a glance and from nobody else.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from annex_file import Annex
from aws_call import AwsError
from aws_ssm import get_parameter
from htcondor_config import PASSWORD_FILE, TOKEN_FILE
from node_files import put

# JSON Web Token: three parts of URL-safe Base64 (RFC 7519, 7515).
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
SCRAMBLE = b"\xde\xad\xbe\xef"


def fetch(annex: Annex, tell: Callable[[AwsError], None] = lambda error: None) -> bytes:
    """Return the secret as its file holds it.

    :raises AwsError: it cannot be had, or is no secret of the wanted kind.
    """
    if annex.secret is None or annex.pool is None:
        raise ValueError("only an annex of mode 'pool' has a secret")
    text = get_parameter(annex.secret.ssm, annex.secret.region, tell=tell).strip()
    if annex.pool.method == "password":
        return scrambled(text.encode())
    if not TOKEN.fullmatch(text):
        raise AwsError("refused", f"what {annex.secret.ssm} holds is no token")
    return text.encode() + b"\n"


def store(root: str, annex: Annex, data: bytes) -> bool:
    """Put the secret in its place; say whether it changed anything."""
    password = annex.pool is not None and annex.pool.method == "password"
    path = Path(root + (PASSWORD_FILE if password else TOKEN_FILE))
    return put(path, data, 0o600, 0o755 if password else 0o700)


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
