"""What a bake of today would install on a Debian base.

Step 10 upgrades the base AMI from its own release, its updates and security updates.
Step 20 takes HTCondor from where the recipe says (``provision/family/debian.sh``), and
with it what it needs from there; it upgrades nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from annexkit.bake.fetch import FetchError
from annexkit.bake.index import DEBIAN_ARCH, DISTRIBUTIONS, PACKAGE, ROLLING
from annexkit.bake.newest import Caches, Shelf, add_newest, in_suite, newer
from annexkit.bake.recipe import HTCondor, Image
from annexkit.bake.repository import Repository, first_there
from annexkit.bake.sources import (
    KINDS,
    Mirror,
    codename,
    distribution,
    mirrors,
    read_sources,
)

# How updates of a release, and backports to it, are numbered (Debian Developer's
# Reference, "Uploads to the stable and oldstable distributions"; Debian Backports,
# "Contribute"); unstable has no such versions.
RELEASED = re.compile(r"[+~]deb\d+u\d+|~bpo\d+")
# Releases by the number in the names of Debian's AMIs (www.debian.org/releases).
DEBIAN = {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"}
# What the sources of a distribution's own AMIs name: Debian's main only.
COMPONENTS = {
    "debian": ("main",),
    "ubuntu": ("main", "restricted", "universe", "multiverse"),
}


@dataclass(frozen=True)
class Stock:
    """What can be had: from the release, and from HTCondor's source beside it.

    ``preferred``: that source comes before the release (priority 600, as step 20 gives
    to HTCondor's own repository); otherwise after it, as unstable does.
    ``unchecked``: reasons why there may be more.
    """

    release: Mapping[str, str]
    beside: Mapping[str, str]
    preferred: bool
    unchecked: tuple[str, ...]

    def offer(self, name: str, installed: str) -> str:
        """Return what a bake would install instead of *installed*, or the same.

        :return: ``""`` when no index has the package.
        :raises ValueError: two versions cannot be compared.
        """
        own, beside = self.release.get(name), self.beside.get(name)
        if beside is not None and self._from_beside(name, installed, own, beside):
            return newer(installed, beside)
        if own is not None:
            return newer(installed, own)
        return installed if beside is not None else ""

    def _from_beside(
        self, name: str, installed: str, own: str | None, beside: str
    ) -> bool:
        """Say whether a bake takes the package from HTCondor's source.

        The package list does not say whence a package came; its version does.
        """
        if name == PACKAGE:
            return True
        if installed == own or (not self.preferred and RELEASED.search(installed)):
            return False
        if own is None:
            return True
        if self.preferred:
            return newer(installed, beside) == beside
        # Only what the release has too old comes from unstable.
        return newer(own, installed) == installed


@dataclass(frozen=True)
class _Place:
    """A suite, and the repositories that hold it: each of them the same."""

    suite: str
    group: tuple[Repository, ...]
    components: tuple[str, ...]


def gather(image: Image, arch: str, caches: Caches, apt_dir: Path) -> Stock:
    """Read the indexes that a bake of today would use; what fails is ``unchecked``."""
    known = mirrors(read_sources(apt_dir), codename())
    preferred = image.htcondor.source == "upstream"
    release = _release(image, arch)
    own = [] if not release else list(_own(release, known, DEBIAN_ARCH[arch]))
    others = list(_beside(image.htcondor, known, DEBIAN_ARCH[arch]))
    places = [*own, *others]
    with ThreadPoolExecutor(max(1, len(places))) as pool:
        answers = list(pool.map(lambda place: _ask(place, caches, apt_dir), places))
    ours, beside = answers[: len(own)], answers[len(own) :]
    unchecked = [reason for answer in answers if (reason := _reason(answer))]
    if not release:
        name = _base(image, arch)
        unchecked.append(f"no telling which release base AMI '{name}' is")
    if preferred and any(isinstance(answer, str) for answer in beside):
        ours = []
        unchecked.append(f"'{release}' comes after what could not be read")
    offered = _merged(beside)
    if not preferred and (not release or any(_reason(answer) for answer in ours)):
        # Without all of the release there is no telling what is newer than it.
        offered = {name: v for name, v in offered.items() if name == PACKAGE}
    reasons = tuple(dict.fromkeys(unchecked))
    return Stock(_merged(ours), offered, preferred, reasons)


def _release(image: Image, arch: str) -> str:
    """Return the release of an image's base AMI by its code name, or ``""``."""
    if image.htcondor.source == "distro":
        return image.htcondor.suite
    name = _base(image, arch)
    if found := re.match(r"debian-(\d+)-", name):
        return DEBIAN.get(found[1], "")
    if found := re.search(r"\bubuntu-([a-z]+)-\d\d\.\d\d-", name):
        return found[1]
    return ""


def _base(image: Image, arch: str) -> str:
    names = image.base.name.items()
    return next((name for known, name in names if known == arch), "")


def _own(release: str, known: list[Mirror], arch: str) -> Iterator[_Place]:
    """Yield the release with its updates and security updates, as base AMIs have it."""
    components = COMPONENTS.get(distribution(), COMPONENTS["debian"])
    for kind in KINDS[:1] if release in ROLLING else KINDS:
        there = [mirror for mirror in known if mirror.kind == kind]
        yield _at(there, release + kind, components, arch)


def _beside(condor: HTCondor, known: list[Mirror], arch: str) -> Iterator[_Place]:
    """Yield where the recipe takes HTCondor from, if not from the release."""
    if condor.source == "upstream":
        component = condor.component or ""
        repository = Repository(condor.url or "", condor.suite, component, arch)
        yield _Place(condor.suite, (repository,), (component,))
    elif condor.source == "distro-unstable":
        there = [mirror for mirror in known if mirror.kind == ""]
        yield _at(there, condor.suite, COMPONENTS["debian"], arch)


def _at(
    there: list[Mirror], suite: str, components: tuple[str, ...], arch: str
) -> _Place:
    # Other vendors name Debian's releases too: only what says "Debian" is Debian.
    origin = DISTRIBUTIONS.get(distribution(), DISTRIBUTIONS["debian"])[0]
    group = (Repository(m.uri, suite, components[0], arch, origin) for m in there)
    return _Place(suite, tuple(group), components)


def _ask(place: _Place, caches: Caches, apt_dir: Path) -> Shelf | str:
    """Return what a suite has, or why that is not known."""
    if not place.group:
        return f"no apt source in {apt_dir} names a mirror for suite '{place.suite}'"
    try:
        shelf = first_there(
            place.group, lambda one: in_suite(one, place.components, caches)
        )
    except FetchError as error:
        return error.what
    return shelf or f"none of the mirrors has suite '{place.suite}'"


def _reason(answer: Shelf | str) -> str:
    return answer if isinstance(answer, str) else answer.stale


def _merged(answers: Sequence[Shelf | str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, Shelf):
            add_newest(found, answer.versions.items())
    return found
