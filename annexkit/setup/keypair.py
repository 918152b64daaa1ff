"""An SSH key pair in EC2, and the private file here that belongs to it (step 5).

The pair is made here and EC2 is given its public half (ImportKeyPair), although EC2
could make it (CreateKeyPair): so the private half is never on a wire, in an answer or
in a debug log; it is on disk before EC2 knows of the pair, so that no crash can lose
it; and one key serves every region.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from annexkit.aws import AwsError, Cloud
from annexkit.errors import UsageError
from annexkit.instance_values import as_tags
from annexkit.ssh import Key

MISSING = "InvalidKeyPair.NotFound"
DUPLICATE = "InvalidKeyPair.Duplicate"
SET = {"annexkit:set": "key-pair"}
TYPES = ("ssh-ed25519", "ssh-rsa")  # what EC2 imports (ImportKeyPair)
LONGEST = 255  # characters of a key pair's name (CreateKeyPair)


@dataclass(frozen=True)
class Pair:
    """A key pair as EC2 describes it.

    ``public`` is type and Base64 of its public half; empty where EC2 does not give it.
    """

    name: str
    region: str
    id: str
    fingerprint: str
    public: str = ""

    def of(self, key: Key) -> bool:
        """Whether *key* is the private half; False where that cannot be told."""
        if self.public:
            return self.public == public_half(key)
        return self.fingerprint.rstrip("=") == ec2_fingerprint(key).rstrip("=")


def public_half(key: Key) -> str:
    """Return type and Base64 of a key, without the comment."""
    return " ".join(key.public_line.split()[:2])


def ec2_fingerprint(key: Key) -> str:
    """Return an ed25519 key's fingerprint as EC2 writes it; of others, nothing like it.

    Base64 of the SHA-256 of the public key, which is OpenSSH's without its ``SHA256:``
    and with the padding that OpenSSH leaves out (EC2 API reference, KeyPairInfo).
    """
    kind, blob = public_half(key).split()
    if kind != "ssh-ed25519":  # an RSA key's is one of two kinds, by its origin
        return f"no fingerprint of {kind}"
    return base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode()


def place(state: Path, name: str) -> Path | None:
    """Return where the private file of a pair made here is, or would be.

    None when the name, which may hold anything in EC2, is none for a file.
    """
    fits = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}", name)
    return state / "keys" / name if fits else None


def check_name(name: str) -> str:
    """Return the name of a key pair as it was given.

    :raises UsageError: EC2 would not take it.
    """
    bad = not name or len(name) > LONGEST or name != name.strip()
    if bad or not (name.isascii() and name.isprintable()):
        raise UsageError(
            f"{name[:80]!r} is no key pair's name: 1 to {LONGEST} ASCII characters, "
            "no blank at either end",
            where="--key-name",
            mend="name it: --key-name annexkit",
        )
    return name


def check_type(key: Key, path: Path) -> None:
    """Refuse a key of a type that EC2 does not import.

    :raises UsageError: it is.
    """
    kind = key.public_line.split()[0]
    if kind not in TYPES:
        raise UsageError(
            f"EC2 takes ed25519 and RSA keys; this one is {kind}",
            where=str(path),
            mend="leave --import out, and an ed25519 key is made",
        )


def look(cloud: Cloud, region: str, name: str) -> Pair | None:
    """Return the pair of exactly this name; None when EC2 has none.

    :raises AwsError: EC2 refused, or could not be asked.
    """
    try:
        said = cloud.call(
            region, "describe_key_pairs", KeyNames=[name], IncludePublicKey=True
        )
    except AwsError as error:
        if error.code != MISSING:
            raise
        return None
    for pair in said["KeyPairs"]:
        return Pair(
            pair["KeyName"],
            region,
            pair.get("KeyPairId", ""),
            pair.get("KeyFingerprint", ""),
            " ".join(pair.get("PublicKey", "").split()[:2]),
        )
    return None


def give(cloud: Cloud, region: str, name: str, key: Key) -> bool:
    """Give EC2 the public half of a key, under a name that is free.

    :returns: False when the same key is there by now: another run was faster, or the
        answer to an earlier try of this call was lost.
    :raises AwsError: EC2 refused; with ``InvalidKeyPair.Duplicate`` another key has the
        name now, and was not touched.
    """
    try:
        cloud.call(
            region,
            "import_key_pair",
            KeyName=name,
            PublicKeyMaterial=key.public_line.encode(),
            TagSpecifications=[{"ResourceType": "key-pair", "Tags": as_tags(SET)}],
        )
    except AwsError as error:
        if error.code != DUPLICATE:
            raise
        there = look(cloud, region, name)
        if there is None or not there.of(key):
            raise
        return False
    return True
