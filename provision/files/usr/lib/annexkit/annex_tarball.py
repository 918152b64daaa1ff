"""The tarball by which upstream's condor_annex hands a pool over, taken apart.

Two layouts. HTCondor to 24.10 packs configuration and pool password flat, for
config.d; from 24.11 on a tree of config.d, tokens.d and passwords.d. Either is read
here, whichever HTCondor the image has. Nothing is unpacked in place: what is not
expected is refused as a whole, before anything is written.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from dataclasses import dataclass

ETC = "/etc/condor"
FOLDERS = ("config.d", "tokens.d", "passwords.d")
LARGEST = 1 << 20
MOST = 100
# What HTCondor's user must read is told from what only root may: a pool password lies
# flat among the configuration, named password_file.pl.
CONFIGURATION = re.compile(r"\d\d.*|.*\.conf(ig)?")
# A token is named ANNEX.USER@DOMAIN; a name never hides, nor climbs.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=:,%~-]{0,199}")
# The image's own files, and those that the contract writes.
OURS = re.compile(r"\d\d-annexkit-.*|50-annex\.config|51-annex-lease\.config")


class TarballError(Exception):
    """The tarball is none that condor_annex makes; the text says why."""


@dataclass(frozen=True, repr=False)
class File:
    """A file to be written: where, with which mode, and what it holds."""

    path: str
    mode: int
    data: bytes


@dataclass(frozen=True)
class Contents:
    """What a tarball holds, and in which *layout*, flat or tree."""

    layout: str
    files: tuple[File, ...]


def read(packed: bytes) -> Contents:
    """Take a gzipped tarball apart.

    :raises TarballError: it is broken, too large, or holds what it should not.
    """
    found: dict[str, File] = {}
    layout = "flat"
    try:
        with tarfile.open(fileobj=io.BytesIO(_unpacked(packed)), mode="r:") as tar:
            for number, member in enumerate(tar):
                if number >= MOST:
                    raise TarballError(f"it holds more than {MOST} files")
                parts = _parts(member)
                if parts[:1] and parts[0] in FOLDERS:
                    layout = "tree"
                if not member.isdir():
                    file = _file(tar, member, parts)
                    if file.path in found:
                        raise TarballError(f"it holds {file.path} twice")
                    found[file.path] = file
    except (tarfile.TarError, EOFError, UnicodeError, OSError) as error:
        raise TarballError(f"it is broken: {error}") from error
    if not found:
        raise TarballError("it holds no file")
    return Contents(layout, tuple(found.values()))


def _unpacked(packed: bytes) -> bytes:
    """Unpack no more than may be: a few bytes can claim to be many."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(packed, LARGEST)
    except zlib.error as error:
        raise TarballError(f"it is no gzip file: {error}") from error
    if unpacker.unconsumed_tail:
        raise TarballError(f"it unpacks to more than {LARGEST} bytes")
    if not unpacker.eof:
        raise TarballError("it is cut off")
    return data


def _parts(member: tarfile.TarInfo) -> list[str]:
    """Return the folder, if any, and the name; tar writes "./a" for "a" at times."""
    name = member.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise TarballError(f"{name!r} leads out of {ETC}")
    if not (member.isreg() or member.isdir()):
        raise TarballError(f"{name!r} is neither a file nor a folder")
    wrong = [part for part in parts if not NAME.fullmatch(part)]
    if wrong:
        raise TarballError(f"{name!r} is no name that is expected")
    if parts and OURS.fullmatch(parts[-1]):
        raise TarballError(f"{name!r} would take the place of the image's own file")
    folders = parts if member.isdir() else parts[:-1]
    if folders and (len(folders) > 1 or folders[0] not in FOLDERS):
        known = ", ".join(FOLDERS)
        raise TarballError(f"{name!r} lies in none of {known}")
    return parts


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> File:
    """Return a member as the file it becomes; at the top it is configuration."""
    source = tar.extractfile(member)
    if source is None or not parts:
        raise TarballError(f"{member.name!r} cannot be read")
    folder, name = parts if len(parts) > 1 else ["config.d", parts[0]]
    readable = folder == "config.d" and CONFIGURATION.fullmatch(name)
    return File(f"{ETC}/{folder}/{name}", 0o644 if readable else 0o600, source.read())
