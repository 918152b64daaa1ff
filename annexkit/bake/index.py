"""Which HTCondor a package repository offers right now, read from its index."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from debian_inspector.version import Version

from annexkit.bake import repomd
from annexkit.bake.fetch import Cache, FetchError
from annexkit.bake.recipe import HTCondor, Image
from annexkit.bake.repository import Repository, ask, first_there
from annexkit.bake.sources import (
    KINDS,
    Mirror,
    codename,
    distribution,
    mirrors,
    read_sources,
)
from annexkit.errors import Finding, Level, UsageError

PACKAGE = "condor"
DEBIAN_ARCH = {"x86_64": "amd64", "arm64": "arm64"}
RPM_ARCH = {"x86_64": "x86_64", "arm64": "aarch64"}
# What a distribution calls itself, and the part of it that has HTCondor.
DISTRIBUTIONS = {"debian": ("Debian", "main"), "ubuntu": ("Ubuntu", "universe")}
ROLLING = ("sid", "unstable", "experimental")  # these have no -updates or -security


@dataclass(frozen=True)
class Checked:
    """The version offered, and the index (by its hash) that says so."""

    version: str
    suite: str
    uri: str
    index_sha256: str


@dataclass(frozen=True)
class Unchecked:
    """The repository could not be asked, and why; not an error (law 11)."""

    reason: str


def offered(
    image: Image, arch: str, *, cache_dir: Path, apt_dir: Path = Path("/etc/apt")
) -> Checked | Unchecked:
    """Return the newest HTCondor that the recipe's repository offers.

    For ``distro`` and ``distro-unstable`` the mirrors are those of this machine's own
    apt sources. Unchanged indexes are read once; after that one small request a suite.

    :param arch: ``x86_64`` or ``arm64``.
    :param cache_dir: where answers are kept.
    :raises UsageError: the repository was read and has no such package.
    """
    cache = Cache(cache_dir / "index")
    if image.family == "el":
        return _offered_by_rpm(image, arch, cache)
    return _offered_by_apt(image.htcondor, arch, cache, apt_dir)


def _offered_by_rpm(image: Image, arch: str, cache: Cache) -> Checked | Unchecked:
    condor = image.htcondor
    url = condor.url or image.repositories[condor.suite].url
    root = url.replace("$basearch", RPM_ARCH[arch])
    mend = "correct htcondor in the recipe, or bake for another architecture"
    try:
        answer = repomd.ask(root, PACKAGE, RPM_ARCH[arch], cache)
    except FetchError as error:
        if error.missing:
            what = f"there is no repository '{condor.suite}' for {arch}"
            raise UsageError(what, where=root, mend=mend) from None
        return Unchecked(error.what)
    if not answer.version:
        what = f"repository '{condor.suite}' has no package '{PACKAGE}' for {arch}"
        raise UsageError(what, where=root, mend=mend)
    return Checked(answer.version, condor.suite, root, answer.index_sha256)


def _offered_by_apt(
    condor: HTCondor, arch: str, cache: Cache, apt_dir: Path
) -> Checked | Unchecked:
    groups = _repositories(condor, DEBIAN_ARCH[arch], apt_dir)
    if not groups:
        reason = f"no apt source in {apt_dir} names this machine's distribution"
        return Unchecked(reason)
    try:
        with ThreadPoolExecutor(len(groups)) as pool:
            answers = list(pool.map(lambda group: _ask_group(group, cache), groups))
    except FetchError as error:
        return Unchecked(error.what)
    if answers[0] is None:
        return Unchecked(f"none of the repositories asked has suite '{condor.suite}'")
    if distribution() == "ubuntu" and not answers[0].index_sha256:
        # Ubuntu keeps its other architectures on servers of their own.
        return Unchecked(f"the mirrors of this machine hold nothing for {arch}")
    found = [offer for offer in answers if offer and offer.version]
    if not found:
        raise UsageError(
            f"suite '{condor.suite}' has no package '{PACKAGE}' for {arch}",
            where=groups[0][0].root,
            mend="correct htcondor.source and htcondor.suite in the recipe",
        )
    return max(found, key=lambda offer: Version.from_string(offer.version))


def series_findings(condor: HTCondor, offer: Checked | Unchecked) -> list[Finding]:
    """Return what does not fit between the recipe's series and what is offered."""
    if isinstance(offer, Unchecked):
        what = f"HTCondor's version in the repository was not checked: {offer.reason}"
        return [Finding(Level.WARNING, what)]
    version = str(Version.from_string(offer.version).upstream)
    if not condor.series or re.match(rf"{re.escape(condor.series)}(?!\d)", version):
        return []
    what = f"HTCondor {condor.series} is wanted, {offer.suite} has {offer.version}"
    series = ".".join(version.split(".")[:2])
    mend = f"set htcondor.series to {series}, or choose another suite"
    return [Finding(Level.ERROR, what, offer.uri, mend)]


def _repositories(condor: HTCondor, arch: str, apt_dir: Path) -> list[list[Repository]]:
    """Return groups of repositories; those of one group hold the same.

    The release itself comes first, its updates after it; none without the release.
    """
    if condor.source == "upstream":
        component = condor.component or ""
        return [[Repository(condor.url or "", condor.suite, component, arch)]]
    known = mirrors(read_sources(apt_dir), codename())
    kinds = KINDS[:1] if condor.suite in ROLLING else KINDS
    groups = [[_of(m, condor.suite, arch) for m in known if m.kind == k] for k in kinds]
    return [group for group in groups if group] if groups[0] else []


def _of(mirror: Mirror, suite: str, arch: str) -> Repository:
    # Other vendors name Debian's releases too: only what says "Debian" is Debian.
    origin, component = DISTRIBUTIONS.get(distribution(), DISTRIBUTIONS["debian"])
    return Repository(mirror.uri, suite + mirror.kind, component, arch, origin=origin)


def _ask_group(group: list[Repository], cache: Cache) -> Checked | None:
    """Ask one repository after the other until one has this suite.

    :return: None when none has it; an empty version when it lacks the package.
    :raises FetchError: none answered, and one failed otherwise than by not having it.
    """

    def checked(repository: Repository) -> Checked | None:
        answer = ask(repository, PACKAGE, cache)
        suite, uri, index = repository.suite, repository.uri, answer.index_sha256
        return Checked(answer.version, suite, uri, index) if answer.there else None

    return first_there(group, checked)
