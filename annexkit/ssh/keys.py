"""Keys: the user's, which we hold, and a node's, which identify it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import stat
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.pkey import UnknownKeyType

from annexkit.errors import AnnexkitError, UsageError
from annexkit.files import write_beside, write_new

TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
NO_KEY = (paramiko.SSHException, UnknownKeyType)


@dataclass(frozen=True)
class Key:
    """A user's key, loaded once for all nodes."""

    pkey: paramiko.PKey

    @property
    def public_line(self) -> str:
        """The line for authorized_keys."""
        return f"{self.pkey.get_name()} {self.pkey.get_base64()} annexkit"


def new_key(keep_at: Path | None = None, *, never_replace: bool = False) -> Key:
    """Make an ed25519 key.

    :param keep_at: where its private file goes, mode 0400; None: in memory only.
    :param never_replace: refuse when something has this name by then.
    :raises FileError: the disk refused.
    """
    text = (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        .decode()
    )
    if keep_at is not None:
        write = write_new if never_replace else write_beside
        write(keep_at, text, mode=0o400)
    return Key(paramiko.Ed25519Key.from_private_key(io.StringIO(text)))


def load_key(path: Path) -> Key:
    """Read a private key file.

    :raises UsageError: not there, open to others, not a private key, or encrypted.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:  # as ssh(1) does
            raise UsageError(
                f"others may read this SSH private key: its mode is {mode:04o}",
                where=str(path),
                mend=f"chmod 0400 {path}; a key that others saw is better replaced",
            )
        return Key(paramiko.PKey.from_path(path))
    # TypeError is what cryptography raises for a key with a passphrase.
    except (OSError, TypeError, ValueError, *NO_KEY) as bad:
        said = bad.strerror if isinstance(bad, OSError) else _unreadable(bad)
        raise UsageError(
            f"this SSH private key cannot be read: {said}",
            where=str(path),
            mend="name a private key without a passphrase; ssh-keygen -t ed25519",
        ) from bad


def _unreadable(bad: Exception) -> str:
    """Say it shorter than the libraries, whose messages speak to programmers."""
    locked = isinstance(bad, TypeError) or "password" in str(bad).lower()
    return "it has a passphrase" if locked else "it is damaged, or no private key"


class HostKeyError(AnnexkitError):
    """A text is not an SSH public key."""


@dataclass(frozen=True)
class HostKey:
    """A node's public host key, and where we have it from.

    :param type: key type, such as ``ssh-ed25519`` (RFC 4253, section 6.6).
    :param blob: the key in Base64, as in known_hosts.
    :param source: for people, when the key does not match.
    """

    type: str
    blob: str
    source: str = "console output"

    @classmethod
    def parse(cls, line: str, source: str = "console output") -> HostKey:
        """Read a public key line: type, Base64, and a comment that is dropped.

        :raises HostKeyError: no such line, or the Base64 is not a key of that type.
        """
        words = line.split()
        if len(words) < 2 or words[0] not in TYPES:
            raise HostKeyError("this is no line of an SSH public key", where=source)
        key = cls(words[0], words[1], source)
        try:
            # paramiko fills up what is missing at the end, so compare what it read.
            if key.pkey().get_base64() != key.blob:
                raise ValueError("cut off or damaged")
        except (ValueError, IndexError, paramiko.SSHException, binascii.Error) as bad:
            raise HostKeyError(
                f"this is no {words[0]} key: {bad}", where=source
            ) from bad
        return key

    @classmethod
    def of(cls, pkey: paramiko.PKey, source: str) -> HostKey:
        """Take a key that paramiko holds."""
        return cls(pkey.get_name(), pkey.get_base64(), source)

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` as OpenSSH prints it (ssh-keygen(1), option -l)."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def line(self) -> str:
        """The key as in known_hosts, without a host name."""
        return f"{self.type} {self.blob}"

    def pkey(self) -> paramiko.PKey:
        """Return it as paramiko wants it."""
        blob = base64.b64decode(self.blob, validate=True)
        return paramiko.PKey.from_type_string(self.type, blob)
