"""Reading one suite of a Debian package repository for one package.

The format is Debian's (wiki.debian.org/DebianRepository/Format). Signatures are not
checked here: the answer only feeds the digest, and apt on the builder checks what it
installs.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from debian_inspector.debcon import get_paragraph_data
from debian_inspector.version import Version

from annexkit.bake.fetch import Cache, FetchError, fetch_text, opened

RELEASE_LIMIT = 16 << 20  # bytes; Debian's own are 0.2 MiB
INDEX_LIMIT = 128 << 20  # compressed; sid's is 10 MiB
PLAIN_LIMIT = 1 << 30
EXTENSIONS = (".xz", ".gz", "")


@dataclass(frozen=True)
class Repository:
    """One component of one suite, for one Debian architecture.

    ``origin``: what the repository must call itself, when that matters.
    """

    uri: str
    suite: str
    component: str
    arch: str
    origin: str = ""

    @property
    def root(self) -> str:
        """Address of the suite's folder."""
        return f"{self.uri}{'' if self.uri.endswith('/') else '/'}dists/{self.suite}/"


@dataclass(frozen=True)
class Answer:
    """What a repository says about a package.

    ``there``: it has the suite (and is of the wanted origin). ``version`` is the newest
    one, ``""`` when it has none; ``index_sha256`` is the hash of the index read.
    """

    there: bool
    version: str = ""
    index_sha256: str = ""


def ask(repository: Repository, package: str, cache: Cache) -> Answer:
    """Ask a repository for the newest version of a package.

    An index is read once; after that it is one conditional request.

    :raises FetchError: it cannot be read, or its index is not the one it lists.
    """
    release = _release(repository, cache)
    origin = re.search(r"^Origin: *(.*?) *$", release, re.MULTILINE)
    if repository.origin and (not origin or origin[1] != repository.origin):
        return Answer(there=False)
    for extension in EXTENSIONS:
        path = f"{repository.component}/binary-{repository.arch}/Packages{extension}"
        line = rf"^ ([0-9a-f]{{64}}) +(\d+) +{re.escape(path)}$"
        if listed := re.search(line, release, re.MULTILINE):
            by_hash = "Acquire-By-Hash: yes" in release
            index = _Index(repository, path, extension, listed[1], int(listed[2]))
            version = _newest(index, package, cache, by_hash)
            return Answer(True, version, index.sha256)
    return Answer(there=True)


def _release(repository: Repository, cache: Cache) -> str:
    try:
        return fetch_text(repository.root + "InRelease", cache, limit=RELEASE_LIMIT)
    except FetchError as error:
        if not error.missing:
            raise
        return fetch_text(repository.root + "Release", cache, limit=RELEASE_LIMIT)


@dataclass(frozen=True)
class _Index:
    repository: Repository
    path: str
    extension: str
    sha256: str
    size: int

    @property
    def url(self) -> str:
        return self.repository.root + self.path

    @property
    def by_hash(self) -> str:
        return f"{self.url.rpartition('/')[0]}/by-hash/SHA256/{self.sha256}"


def _newest(index: _Index, package: str, cache: Cache, by_hash: bool) -> str:
    key = f"{package} in {index.sha256}"
    kept = cache.get(key)
    if "version" not in kept:
        kept = {"version": _read(index, package, by_hash)}
        cache.put(key, kept)
    return str(kept["version"])


def _read(index: _Index, package: str, by_hash: bool) -> str:
    with tempfile.TemporaryFile() as file:
        try:
            # By hash: a mirror in mid-update still has the index the release names.
            _download(index.by_hash if by_hash else index.url, index, file)
        except FetchError as error:
            if not (by_hash and error.missing):
                raise
            _download(index.url, index, file)
        file.seek(0)
        try:
            return _newest_version(_unpacked(file, index.extension), package)
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise FetchError(index.url, f"not a package index: {error}") from None


def _download(url: str, index: _Index, file: IO[bytes]) -> None:
    if index.size > INDEX_LIMIT:
        raise FetchError(url, f"larger than {INDEX_LIMIT} bytes")
    digest = hashlib.sha256()
    left = index.size
    with opened(url) as answer:
        while block := answer.read(min(1 << 16, left + 1)):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            file.write(block)
    if left or digest.hexdigest() != index.sha256:
        raise FetchError(url, "it is not what the release file lists (hash or size)")


def _unpacked(file: IO[bytes], extension: str) -> IO[bytes]:
    if extension == ".xz":
        return lzma.open(file)
    return cast(IO[bytes], gzip.open(file)) if extension == ".gz" else file


def _newest_version(plain: IO[bytes], package: str) -> str:
    paragraphs = (
        get_paragraph_data(text.decode()) for text in _stanzas(plain, package)
    )
    versions = [str(paragraph["version"]) for paragraph in paragraphs]
    return max(versions, key=Version.from_string, default="")


def _stanzas(plain: IO[bytes], package: str) -> Iterator[bytes]:
    """Yield the package's paragraphs; parsing all 60,000 would take seconds."""
    needle = f"\nPackage: {package}\n".encode()
    rest, read = b"\n", 0
    while block := plain.read(1 << 20):
        read += len(block)
        if read > PLAIN_LIMIT:
            raise ValueError(f"larger than {PLAIN_LIMIT} bytes unpacked")
        *whole, rest = (rest + block).split(b"\n\n")
        yield from (s for s in whole if needle in b"\n" + s + b"\n")
    if needle in b"\n" + rest + b"\n":
        yield rest
