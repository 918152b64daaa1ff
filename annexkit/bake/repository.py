"""Reading one suite of a Debian package repository: what it names, and its lists.

The format is Debian's (wiki.debian.org/DebianRepository/Format). Signatures are not
checked here: what is read only decides whether to bake, and apt on the builder checks
what it installs.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, TypeVar, cast

from debian_inspector.debcon import get_paragraph_data
from debian_inspector.version import Version

from annexkit.bake.fetch import Cache, FetchError, fetch_text, opened, scratch

RELEASE_LIMIT = 16 << 20  # bytes; Debian's own are 0.2 MiB
INDEX_LIMIT = 128 << 20  # compressed; sid's is 10 MiB
PLAIN_LIMIT = 1 << 30
EXTENSIONS = (".xz", ".gz", "")  # the smallest first
T = TypeVar("T")


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


@dataclass(frozen=True)
class Index:
    """A list of packages, as a suite's release file names it; ``size`` in bytes."""

    repository: Repository
    path: str
    extension: str
    sha256: str
    size: int
    by_hash: bool

    @property
    def url(self) -> str:
        """Where it lies under its own name."""
        return self.repository.root + self.path

    @property
    def url_by_hash(self) -> str:
        """Where a mirror in mid-update still has the one that the release names."""
        return f"{self.url.rpartition('/')[0]}/by-hash/SHA256/{self.sha256}"


def ask(repository: Repository, package: str, cache: Cache) -> Answer:
    """Ask a repository for the newest version of a package.

    An index is read once; after that it is one conditional request.

    :raises FetchError: it cannot be read, or its index is not the one it lists.
    """
    release = read_release(repository, cache)
    if release is None:
        return Answer(there=False)
    index = index_in(release, repository)
    if index is None:
        return Answer(there=True)
    key = f"{package} in {index.sha256}"
    kept = cache.get(key)
    if "version" not in kept:
        newest = read_index(index, lambda plain: _newest_version(plain, package))
        kept = {"version": newest}
        cache.put(key, kept)
    return Answer(True, str(kept["version"]), index.sha256)


def first_there(
    group: Iterable[Repository], ask: Callable[[Repository], T | None]
) -> T | None:
    """Ask repositories that hold the same, one after the other, until one answers.

    :param ask: returns None, or raises a ``missing`` FetchError, if nothing is there.
    :return: the answer; None when none has it.
    :raises FetchError: none answered, and one failed otherwise than by not having it.
    """
    failed: FetchError | None = None
    for repository in group:
        try:
            answer = ask(repository)
        except FetchError as error:
            failed = failed or (None if error.missing else error)
            continue
        if answer is not None:
            return answer
    if failed:
        raise failed
    return None


def read_release(repository: Repository, cache: Cache) -> str | None:
    """Return a suite's release file, by one conditional request when it is cached.

    :return: None when it is of another origin than the wanted one.
    :raises FetchError: it cannot be read.
    """
    try:
        text = fetch_text(repository.root + "InRelease", cache, limit=RELEASE_LIMIT)
    except FetchError as error:
        if not error.missing:
            raise
        text = fetch_text(repository.root + "Release", cache, limit=RELEASE_LIMIT)
    origin = re.search(r"^Origin: *(.*?) *$", text, re.MULTILINE)
    if repository.origin and (not origin or origin[1] != repository.origin):
        return None
    return text


def index_in(release: str, repository: Repository) -> Index | None:
    """Return the smallest list of packages that a release file names, if any."""
    for extension in EXTENSIONS:
        path = f"{repository.component}/binary-{repository.arch}/Packages{extension}"
        line = rf"^ ([0-9a-f]{{64}}) +(\d+) +{re.escape(path)}$"
        if listed := re.search(line, release, re.MULTILINE):
            by_hash = "Acquire-By-Hash: yes" in release
            size = int(listed[2])
            return Index(repository, path, extension, listed[1], size, by_hash)
    return None


def valid_until(release: str) -> datetime | None:
    """Return when a release file runs out; apt refuses it from then on."""
    found = re.search(r"^Valid-Until: *(.*?) *$", release, re.MULTILINE)
    try:
        moment = parsedate_to_datetime(found[1]) if found else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None


def read_index(index: Index, reader: Callable[[IO[bytes]], T]) -> T:
    """Fetch a list of packages, hold it against its hash, and read it unpacked.

    :raises FetchError: it cannot be fetched, is not the one named, or not readable.
    """
    with scratch(index.url) as file:
        try:
            _download(index.url_by_hash if index.by_hash else index.url, index, file)
        except FetchError as error:
            if not (index.by_hash and error.missing):
                raise
            _download(index.url, index, file)
        file.seek(0)
        try:
            return reader(_unpacked(file, index.extension))
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise FetchError(index.url, f"not a package index: {error}") from None


def paragraphs(plain: IO[bytes]) -> Iterator[bytes]:
    """Yield the paragraphs of an unpacked list, one a package.

    :raises ValueError: it grows too large.
    """
    rest, read = b"", 0
    while block := plain.read(1 << 20):
        read += len(block)
        if read > PLAIN_LIMIT:
            raise ValueError(f"larger than {PLAIN_LIMIT} bytes unpacked")
        *whole, rest = (rest + block).split(b"\n\n")
        yield from whole
    yield rest


def _download(url: str, index: Index, file: IO[bytes]) -> None:
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
    # Parsing all 60,000 would take seconds.
    needle = f"\nPackage: {package}\n".encode()
    versions = [
        str(get_paragraph_data(text.decode())["version"])
        for text in paragraphs(plain)
        if needle in b"\n" + text + b"\n"
    ]
    return max(versions, key=Version.from_string, default="")
