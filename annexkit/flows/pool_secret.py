"""``invoke pool.secret``: store the pool password on this host, for HTCondor."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path

from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.files import FileError, write_beside
from annexkit.flows.site import Site
from annexkit.pool import password

MOST = 4096  # bytes that are read; a password has 255 at most


class SecretError(AnnexkitError):
    """The password was not stored; what was there before is as it was."""


def store(site: Site, *, replace: bool) -> Exit:
    """Read the pool password from standard input and store it, root's alone.

    On a terminal it is asked for twice and not shown. Central manager and access points
    need the same one, each.

    :raises UsageError: not root, or no password to use.
    :raises SecretError: there is another one, and *replace* is not set.
    """
    path = Path(site.settings.pool.password_file).expanduser()
    if os.geteuid() != 0:
        raise UsageError(
            "only root may store the pool password",
            where=str(path),
            mend="sudo invoke pool.secret",
        )
    text = read()
    data = password.scrambled(text)
    old = _old(path)
    changed = old != data
    if changed and old is not None and not replace:
        raise SecretError(
            "there is another password, by which nodes are known now",
            where=str(path),
            mend="invoke pool.secret --replace, on every host of the pool; nodes that "
            "run now cannot talk to the pool any more",
        )
    _write(path, data)  # the same password again mends owner and mode
    site.console.result({"path": str(path), "changed": changed})
    site.console.step(f"{path}: {'stored' if changed else 'nothing to do'}")
    if changed:
        site.console.detail("now, as root: condor_restart (after invoke pool.config)")
    return Exit.DONE


def read() -> str:
    """Return the password from standard input, checked.

    :raises UsageError: it is none that HTCondor could use, or two differ.
    """
    text = _typed() if sys.stdin.isatty() else _piped()
    if said := password.problem(text):
        raise UsageError(
            said,
            where="standard input",
            mend="openssl rand -base64 32 | invoke pool.secret, or type it",
        )
    return text


def _typed() -> str:
    try:
        first = getpass("Pool password: ")
        again = getpass("Once more: ")
    except EOFError:
        return ""
    if first != again:
        raise UsageError(
            "the two differ", where="standard input", mend="type the same twice"
        )
    return first


def _piped() -> str:
    data = sys.stdin.buffer.read(MOST)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(
            "the password holds characters that are no plain ASCII",
            where="standard input",
            mend="pipe the password itself, not a file of condor_store_cred",
        ) from None


def _old(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, error.strerror or str(error)) from error


def _write(path: Path, data: bytes) -> None:
    """Write the file for its owner alone; its folder is HTCondor's to make."""
    if not path.parent.is_dir():
        raise _failed(path, "its folder does not exist")
    write_beside(path, data, mode=0o600)


def _failed(path: Path, reason: str) -> FileError:
    return FileError(
        f"the password could not be stored: {reason}",
        where=str(path),
        mend=f"is HTCondor installed here? ls -ld {path.parent}",
    )
