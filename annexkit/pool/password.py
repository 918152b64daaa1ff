"""The pool password's file, in the form that HTCondor keeps it.

``condor_store_cred -f`` writes the password XORed with four fixed bytes, and every
daemon undoes that when it reads the file: against a glance, not against anybody. Files
of HTCondor 8 are filled up with zeros. Seen with 23.9.6 and 25.14.1.
"""

from __future__ import annotations

import stat
from itertools import cycle
from pathlib import Path

from annexkit.errors import UsageError

MASK = bytes.fromhex("deadbeef")
SHORTEST = 12
LONGEST = 255  # HTCondor's MAX_PASSWORD_LENGTH
KEY = "annexkit.pool.password_file"


def scrambled(password: str) -> bytes:
    """Return what a password file of HTCondor holds for this password."""
    return _masked(password.encode("ascii"))


def unscrambled(data: bytes) -> str | None:
    """Return the password that HTCondor reads from such a file, None if it is no text.

    HTCondor takes what stands before the first zero byte.
    """
    return _text(_masked(data).partition(b"\0")[0])


def _masked(data: bytes) -> bytes:
    return bytes(byte ^ mask for byte, mask in zip(data, cycle(MASK), strict=False))


def problem(password: str) -> str:
    """Say why this cannot be a pool password, or ``""``."""
    wrong = {
        "is empty": not password,
        "holds a zero byte: HTCondor would stop reading there": "\0" in password,
        "has more than one line": "\n" in password or "\r" in password,
        "holds characters that are no plain ASCII": not (
            password.isascii() and password.replace("\0", "").isprintable()
        ),
        f"is shorter than {SHORTEST} characters": len(password) < SHORTEST,
        f"is longer than {LONGEST} characters": len(password) > LONGEST,
    }
    return next((f"the password {say}" for say, true in wrong.items() if true), "")


def read_file(path: Path) -> str:
    """Return the pool password, from HTCondor's own file or a plain one.

    :raises UsageError: missing, readable by others, or no password in it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except FileNotFoundError:
        mend = "invoke pool.secret stores it on this host, or set pool.method: idtokens"
        raise UsageError(
            f"{path}: there is no pool password", where=KEY, mend=mend
        ) from None
    except OSError as error:
        mend = "run as the user who may read it (root, on a pool's host)"
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", where=KEY, mend=mend
        ) from None
    if mode & 0o077:
        raise UsageError(
            f"{path} has mode {mode:04o}: others can reach the pool password",
            where=KEY,
            mend=f"chmod 0600 {path}; if somebody may have read it, make a new one",
        )
    password = _text(data.removesuffix(b"\n")) or unscrambled(data)
    if not password:
        raise UsageError(
            f"{path} holds no pool password that annexkit can read",
            where=KEY,
            mend="store it anew: invoke pool.secret --replace",
        )
    return password


def is_plain(data: bytes) -> bool:
    """Say whether a file holds the password as it was typed: HTCondor misreads it."""
    return _text(data.removesuffix(b"\n")) is not None


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None
