"""Reading one rpm repository: its list of packages, and what stands there.

The format is createrepo_c's: ``repodata/repomd.xml`` names the list of packages by its
hash. Signatures are not checked here: what is read only decides whether to bake, and
dnf on the builder checks what it installs.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast
from xml.etree import ElementTree

from annexkit.bake.fetch import Cache, FetchError, fetch_text, opened, scratch
from annexkit.bake.repository import Answer
from annexkit.bake.rpm_version import RpmVersion
from annexkit.process import CommandError, run

REPOMD_LIMIT = 1 << 20  # bytes; EPEL's is 5 KiB
PRIMARY_LIMIT = 64 << 20  # compressed; EPEL's is 3 MiB
PLAIN_LIMIT = 256 << 20
UNPACK_SECONDS = 120
T = TypeVar("T")
REPO = "{http://linux.duke.edu/metadata/repo}"
# A list is read in pieces that know nothing of its namespaces any more.
ENVELOPE = '<list xmlns:rpm="rpm">{}</list>'


@dataclass(frozen=True)
class Primary:
    """A list of packages, as ``repomd.xml`` names it; ``size`` in bytes."""

    url: str
    sha256: str
    size: int

    @property
    def extension(self) -> str:
        """How it is packed, by the end of its name."""
        return Path(self.url).suffix


def ask(root: str, package: str, arch: str, cache: Cache) -> Answer:
    """Ask a repository for the newest version of a package.

    A list is read once; after that it is one conditional request.

    :param root: the folder that holds ``repodata``.
    :param arch: rpm's name of it; packages for ``noarch`` count, too.
    :raises FetchError: it cannot be read, or its list is not the one it names.
    """
    primary = find_list(root, cache)
    key = f"{package} for {arch} in {primary.sha256}"
    kept = cache.get(key)
    if "version" not in kept:
        newest = read_list(primary, lambda plain: _newest(plain, package, arch))
        kept = {"version": newest}
        cache.put(key, kept)
    return Answer(True, str(kept["version"]), primary.sha256)


def find_list(root: str, cache: Cache) -> Primary:
    """Return a repository's list of packages, by one request that may be conditional.

    :param root: the folder that holds ``repodata``.
    :raises FetchError: it cannot be read, or names no list.
    """
    folder = root if root.endswith("/") else f"{root}/"
    url = f"{folder}repodata/repomd.xml"
    return _primary(folder, fetch_text(url, cache, limit=REPOMD_LIMIT), url)


def read_list(primary: Primary, reader: Callable[[IO[bytes]], T]) -> T:
    """Fetch a list of packages, hold it against its hash, and read it unpacked.

    :raises FetchError: it cannot be fetched, is not the one named, or not readable.
    """
    with scratch(primary.url) as file:
        _download(primary, file)
        file.flush()
        try:
            with _unpacked(Path(file.name), primary.extension) as plain:
                return reader(plain)
        except (
            *(OSError, EOFError, ValueError, lzma.LZMAError),
            *(ElementTree.ParseError, CommandError),
        ) as error:
            what = f"not a list of packages: {error}"
            raise FetchError(primary.url, what) from None


def all_newest(plain: IO[bytes], arch: str) -> dict[str, str]:
    """Return the newest version of every package for an architecture, or for any.

    :param plain: an unpacked list.
    :raises ValueError: it is none, or grows too large.
    """
    found: dict[str, RpmVersion] = {}
    for text in _packages(plain, b"<name>"):
        for name, version in _version(_parsed(ENVELOPE.format(text)), arch):
            if name not in found or found[name] < version:
                found[name] = version
    return {name: str(version) for name, version in found.items()}


def _primary(folder: str, text: str, url: str) -> Primary:
    try:
        for data in _parsed(text).iter(f"{REPO}data"):
            if data.get("type") == "primary":
                return _named(folder, data)
    except (ElementTree.ParseError, ValueError) as error:
        raise FetchError(url, f"not a repository's index: {error}") from None
    raise FetchError(url, "it names no list of packages")


def _named(folder: str, data: ElementTree.Element) -> Primary:
    checksum, location = data.find(f"{REPO}checksum"), data.find(f"{REPO}location")
    if checksum is None or location is None or checksum.get("type") != "sha256":
        raise ValueError("its list of packages has no SHA-256")
    href = location.get("href", "")
    if "://" in href or ".." in href or href.startswith("/"):
        raise ValueError(f"its list of packages lies elsewhere: {href}")
    size = int(data.findtext(f"{REPO}size") or PRIMARY_LIMIT)
    return Primary(folder + href, (checksum.text or "").strip(), size)


def _parsed(text: str) -> ElementTree.Element:
    # Bounded, and without the entities that make a small text grow.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it defines entities")
    return ElementTree.fromstring(text)  # noqa: S314


def _download(primary: Primary, file: IO[bytes]) -> None:
    if primary.size > PRIMARY_LIMIT:
        raise FetchError(primary.url, f"larger than {PRIMARY_LIMIT} bytes")
    digest, left = hashlib.sha256(), PRIMARY_LIMIT
    with opened(primary.url) as answer:
        while left > 0 and (block := answer.read(1 << 16)):
            left -= len(block)
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != primary.sha256:
        raise FetchError(primary.url, "it is not what repomd.xml names (its hash)")


def _unpacked(path: Path, extension: str) -> IO[bytes]:
    match extension:
        case ".gz":
            return cast(IO[bytes], gzip.open(path))
        case ".xz":
            return lzma.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".zst":
            return _zstandard(path)
        case ".xml":
            return path.open("rb")
    raise ValueError(f"packed as '{extension}'")


def _zstandard(path: Path) -> IO[bytes]:
    # Python has it since 3.14 only.
    if not shutil.which("zstd"):
        raise ValueError("it takes the program zstd to read it")
    run("zstd", "--test", "--quiet", path, timeout=UNPACK_SECONDS)
    script = f'zstd --decompress --stdout --quiet "$1" | head --bytes={PLAIN_LIMIT + 1}'
    done = run("sh", "-c", script, "sh", path, timeout=UNPACK_SECONDS)
    return io.BytesIO(done.stdout.encode())


def _newest(plain: IO[bytes], package: str, arch: str) -> str:
    found = [
        version
        for text in _packages(plain, f"<name>{package}</name>".encode())
        for name, version in _version(_parsed(ENVELOPE.format(text)), arch)
        if name == package
    ]
    return str(max(found)) if found else ""


def _version(
    envelope: ElementTree.Element, arch: str
) -> Iterator[tuple[str, RpmVersion]]:
    """Yield name and version of an entry, if it is for this architecture."""
    found = envelope.find("package")
    version = None if found is None else found.find("version")
    if found is None or version is None:
        return
    if found.findtext("arch") in (arch, "noarch"):
        fields = (version.get(field, "") for field in ("epoch", "ver", "rel"))
        yield found.findtext("name") or "", RpmVersion(*fields)


def _packages(plain: IO[bytes], needle: bytes) -> Iterator[str]:
    """Yield the entries that have *needle*; parsing all of EPEL takes seconds."""
    end = b"</package>"
    rest, read = b"", 0
    while block := plain.read(1 << 20):
        read += len(block)
        if read > PLAIN_LIMIT:
            raise ValueError(f"larger than {PLAIN_LIMIT} bytes unpacked")
        *whole, rest = (rest + block).split(end)
        for entry in whole:
            if needle in entry:
                yield (entry[entry.rindex(b"<package ") :] + end).decode()
