"""No secret of a bake is in what it leaves: image, log, registry, journal, list.

Looked for are the secrets that were used in this very run, as they are and in base64,
and what looks like one: private keys, password hashes, tokens.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from annexkit.rehearsal.podman import Podman
from tests.conftest import Baked
from tests.stage import Place, Stage

pytestmark = pytest.mark.machines

BLOCK = 1 << 20
# Every kind of private key in PEM (RFC 7468) and OpenSSH's own; with a body, because
# programs that read keys hold the bare header as text.
PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n(?:[A-Za-z-]+: .*\r?\n)*\r?\n?"
    rb"[A-Za-z0-9+/=]{16,}"
)
# crypt(5): $id$salt$hash of a user's line in shadow(5).
HASH = re.compile(rb"^[^:]+:\$?[0-9A-Za-z./$][^:!*]{12,}:", re.MULTILINE)
TOKEN = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}")  # a JWT, as IDTOKENS are
ACCESS_KEY = re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
OF_THIS_RUN = "a secret of this run"
EMPTY = (
    "etc/condor/tokens.d/",
    "etc/condor/passwords.d/",
    "root/.condor/",
    "etc/ssh/ssh_host_",
)


@dataclass(frozen=True)
class Found:
    """A secret, and where it is."""

    where: str
    what: str


def spellings(secret: str) -> Iterator[bytes]:
    """Yield what a secret may look like in a file."""
    raw = secret.strip().encode()
    yield raw
    yield base64.b64encode(raw)
    lines = [line for line in raw.splitlines() if not line.startswith(b"-----")]
    if len(lines) > 1:  # a key: its body, and its first full line
        yield b"".join(lines)
        yield max(lines, key=len)


def pattern(secrets: list[str]) -> re.Pattern[bytes]:
    words = {word for secret in secrets for word in spellings(secret)}
    assert all(len(word) >= 16 for word in words), "too short to be looked for"
    return re.compile(b"|".join(re.escape(word) for word in sorted(words)))


def scan_file(where: str, file: IO[bytes], known: re.Pattern[bytes]) -> set[Found]:
    """Look through one file, block by block with some overlap."""
    found, rest = set(), b""
    while block := file.read(BLOCK):
        data = rest + block
        if known.search(data):
            found.add(Found(where, OF_THIS_RUN))
        if PRIVATE_KEY.search(data):
            found.add(Found(where, "a private key"))
        if TOKEN.search(data):
            found.add(Found(where, "a token"))
        if ACCESS_KEY.search(data):
            found.add(Found(where, "an access key"))
        rest = data[-8192:]
    return found


def scan_image(tarball: Path, known: re.Pattern[bytes]) -> set[Found]:
    """Look through every file of an image, and at those that must not be there.

    A file that still is as its Debian package has it may hold what looks like a secret
    (examples in documents, self-tests of libraries), though none of this run.
    """
    found: set[Found] = set()
    with tarfile.open(tarball) as archive:
        members = [member for member in archive if member.isreg()]
        assert len(members) > 5000, "this is not a whole system"
        shipped = packaged(archive, members)
        for member in members:
            for one in scan_member(archive, member, known):
                if one.what == OF_THIS_RUN or digest(archive, member) not in shipped:
                    found.add(one)
    return found


def scan_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, known: re.Pattern[bytes]
) -> set[Found]:
    file = archive.extractfile(member)
    assert file
    found = scan_file(member.name, file, known)
    if member.name.startswith(EMPTY) or "authorized_keys" in member.name:
        found.add(Found(member.name, "must not be there"))
    if member.name in ("etc/shadow", "etc/shadow-"):
        file.seek(0)
        found |= (
            {Found(member.name, "a password")} if HASH.search(file.read()) else set()
        )
    return found


def packaged(
    archive: tarfile.TarFile, members: list[tarfile.TarInfo]
) -> set[tuple[str, str]]:
    """Return (path, MD5) of every file as its package has it (deb-md5sums(5))."""
    found = set()
    for member in members:
        if re.fullmatch(r"var/lib/dpkg/info/.*\.md5sums", member.name):
            file = archive.extractfile(member)
            assert file
            for line in file.read().decode().splitlines():
                md5, _, path = line.partition("  ")
                found.add((path, md5))
    return found


def digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, str]:
    file = archive.extractfile(member)
    assert file
    return member.name, hashlib.md5(file.read()).hexdigest()


def scan_folder(folder: Path, known: re.Pattern[bytes]) -> set[Found]:
    found: set[Found] = set()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                found |= scan_file(str(path.relative_to(folder)), file, known)
    return found


@pytest.fixture(scope="module")
def known(stage: Stage, baked: Baked) -> re.Pattern[bytes]:
    """What was secret in this run: ours, and what the cloud handed out in it."""
    assert baked.done.exit_code == 0, baked.done.stderr
    given = baked.handed_out
    assert any("PRIVATE KEY" in secret for secret in given), (
        "Packer's key to the builder"
    )
    assert sum("PRIVATE KEY" not in secret for secret in given) >= 3, (
        "a metadata token for the builder and for each fresh instance"
    )
    return pattern([*baked.secrets.values(), *given])


@pytest.fixture(scope="module")
def image(
    stage: Stage, baked: Baked, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The file system of the AMI as a tarball."""
    (ref,) = [i["ref"] for i in stage.images() if i["ami"] == baked.there.ami]
    podman = Podman(stage.rehearsal.id, stage.rehearsal.runtime)
    label = f"--label=annexkit.rehearsal={stage.rehearsal.id}"
    container = podman.call("create", "--network=none", label, ref, "/bin/true").strip()
    tarball = tmp_path_factory.mktemp("image") / "image.tar"
    try:
        podman.call("export", "--output", tarball, container, timeout=300)
    finally:
        podman.remove(container)
    yield tarball
    tarball.unlink()


def test_the_image_holds_no_secret(image: Path, known: re.Pattern[bytes]) -> None:
    assert scan_image(image, known) == set()


def test_registry_log_journal_and_package_list_hold_no_secret(
    baked: Baked, known: re.Pattern[bytes]
) -> None:
    folder = baked.place.folder
    names = {path.name for path in folder.rglob("*")}
    assert {"ami_registry.json", "packer.log", "journal", "stderr"} <= names
    assert any(folder.rglob("*.packages/*/*.tsv"))
    assert scan_folder(folder, known) == set()


def test_what_is_rendered_for_packer_holds_no_secret(
    stage: Stage, known: re.Pattern[bytes]
) -> None:
    folder = stage.checkout / "packer" / "build"
    assert any(folder.rglob("run.pkrvars.hcl"))
    assert scan_folder(folder, known) == set()


def test_a_planted_secret_is_found_in_every_one_of_them(
    baked: Baked, image: Path, known: re.Pattern[bytes], tmp_path: Path, stage: Stage
) -> None:
    key = next(s for s in baked.handed_out if "PRIVATE KEY" in s)
    token = next(s for s in baked.handed_out if "PRIVATE KEY" not in s)
    planted = {
        "etc/condor/tokens.d/pool": b"eyJhbGciOiJIUzI1NiJ9."
        b"eyJzdWIiOiJjb25kb3JAcG9vbCJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
        "root/.ssh/authorized_keys": b"ssh-ed25519 AAAA packer\n",
        "etc/shadow": b"root:$y$j9T$abcdefgh$0123456789abcdefghijklmnop:20000:0:::::\n",
        "var/lib/secret": b"x" * (BLOCK - 10) + token.encode(),
        "opt/key": b"a key:\n" + key.encode(),
        "opt/key.base64": base64.b64encode(baked.secrets["AWS_SESSION_TOKEN"].encode()),
        "opt/access": b"aws_access_key_id="
        + baked.secrets["AWS_ACCESS_KEY_ID"].encode(),
    }
    copy = tmp_path / "copy.tar"
    shutil.copyfile(image, copy)
    with tarfile.open(copy, "a") as archive:
        for name, data in planted.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert {found.where for found in scan_image(copy, known)} == set(planted)
    copy.unlink()
    place = Place(stage, tmp_path / "place")
    shutil.copytree(baked.place.folder, place.folder)
    (log,) = place.state.glob("builds/*/packer.log")
    for path in (log, place.registry_path, next(place.folder.rglob("*.tsv"))):
        with path.open("ab") as file:
            file.write(baked.secrets["AWS_SECRET_ACCESS_KEY"].encode())
    assert len(scan_folder(place.folder, known)) == 3
