"""Reading one rpm repository for one package.

The format is createrepo_c's: ``repodata/repomd.xml`` names the list of packages by its
hash. Signatures are not checked here: the answer only feeds the digest, and dnf on the
builder checks what it installs.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from annexkit.bake.fetch import Cache, FetchError, fetch_text, opened
from annexkit.bake.repository import Answer
from annexkit.bake.rpm_version import RpmVersion
from annexkit.process import CommandError, run

REPOMD_LIMIT = 1 << 20  # bytes; EPEL's is 5 KiB
PRIMARY_LIMIT = 64 << 20  # compressed; EPEL's is 3 MiB
PLAIN_LIMIT = 256 << 20
UNPACK_SECONDS = 120
REPO = "{http://linux.duke.edu/metadata/repo}"
# A list is read in pieces that know nothing of its namespaces any more.
ENVELOPE = '<list xmlns:rpm="rpm">{}</list>'


@dataclass(frozen=True)
class _Primary:
    url: str
    sha256: str
    size: int

    @property
    def extension(self) -> str:
        return Path(self.url).suffix


def ask(root: str, package: str, arch: str, cache: Cache) -> Answer:
    """Ask a repository for the newest version of a package.

    A list is read once; after that it is one conditional request.

    :param root: the folder that holds ``repodata``.
    :param arch: rpm's name of it; packages for ``noarch`` count, too.
    :raises FetchError: it cannot be read, or its list is not the one it names.
    """
    folder = root if root.endswith("/") else f"{root}/"
    url = f"{folder}repodata/repomd.xml"
    primary = _primary(folder, fetch_text(url, cache, limit=REPOMD_LIMIT), url)
    key = f"{package} for {arch} in {primary.sha256}"
    kept = cache.get(key)
    if "version" not in kept:
        kept = {"version": _read(primary, package, arch)}
        cache.put(key, kept)
    return Answer(True, str(kept["version"]), primary.sha256)


def _primary(folder: str, text: str, url: str) -> _Primary:
    try:
        for data in _parsed(text).iter(f"{REPO}data"):
            if data.get("type") == "primary":
                return _named(folder, data)
    except (ElementTree.ParseError, ValueError) as error:
        raise FetchError(url, f"not a repository's index: {error}") from None
    raise FetchError(url, "it names no list of packages")


def _named(folder: str, data: ElementTree.Element) -> _Primary:
    checksum, location = data.find(f"{REPO}checksum"), data.find(f"{REPO}location")
    if checksum is None or location is None or checksum.get("type") != "sha256":
        raise ValueError("its list of packages has no SHA-256")
    href = location.get("href", "")
    if "://" in href or ".." in href or href.startswith("/"):
        raise ValueError(f"its list of packages lies elsewhere: {href}")
    size = int(data.findtext(f"{REPO}size") or PRIMARY_LIMIT)
    return _Primary(folder + href, (checksum.text or "").strip(), size)


def _parsed(text: str) -> ElementTree.Element:
    # Bounded, and without the entities that make a small text grow.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it defines entities")
    return ElementTree.fromstring(text)  # noqa: S314


def _read(primary: _Primary, package: str, arch: str) -> str:
    with tempfile.NamedTemporaryFile() as file:
        _download(primary, file)
        file.flush()
        try:
            with _unpacked(Path(file.name), primary.extension) as plain:
                return _newest(plain, package, arch)
        except (
            *(OSError, EOFError, ValueError, lzma.LZMAError),
            *(ElementTree.ParseError, CommandError),
        ) as error:
            what = f"not a list of packages: {error}"
            raise FetchError(primary.url, what) from None


def _download(primary: _Primary, file: IO[bytes]) -> None:
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
        for text in _packages(plain, package)
        if (version := _version(_parsed(ENVELOPE.format(text)), package, arch))
    ]
    return str(max(found)) if found else ""


def _version(
    envelope: ElementTree.Element, package: str, arch: str
) -> RpmVersion | None:
    found = envelope.find("package")
    if found is None or found.findtext("name") != package:
        return None
    version = found.find("version")
    if version is None or found.findtext("arch") not in (arch, "noarch"):
        return None
    return RpmVersion(*(version.get(name, "") for name in ("epoch", "ver", "rel")))


def _packages(plain: IO[bytes], package: str) -> Iterator[str]:
    """Yield the entries that name the package; parsing all of EPEL takes seconds."""
    needle, end = f"<name>{package}</name>".encode(), b"</package>"
    rest, read = b"", 0
    while block := plain.read(1 << 20):
        read += len(block)
        if read > PLAIN_LIMIT:
            raise ValueError(f"larger than {PLAIN_LIMIT} bytes unpacked")
        *whole, rest = (rest + block).split(end)
        for entry in whole:
            if needle in entry:
                yield (entry[entry.rindex(b"<package ") :] + end).decode()
