"""What a bake of today would install on an Enterprise Linux base.

Step 15 adds the recipe's repositories, step 20 HTCondor's; dnf takes a package from the
repository of the lowest priority number that has it (dnf.conf(5)). The base AMI's own
repositories are not known here: their addresses stand in the AMI.

A package that the base AMI brings and a repository of the recipe has, too, counts as
this repository's. EPEL and OSG keep out of what the distribution has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from annexkit.bake.fetch import FetchError
from annexkit.bake.index import RPM_ARCH
from annexkit.bake.newest import Caches, in_rpm_repository
from annexkit.bake.recipe import Image
from annexkit.bake.rpm_version import RpmVersion

UPSTREAM_PRIORITY = 90  # provision/family/el.sh
ALONE = "only the AMI knows the address"


@dataclass(frozen=True)
class Stock:
    """What can be had, in the order in which dnf prefers it.

    ``unchecked``: reasons why there may be more; never empty.
    """

    ranks: tuple[Mapping[str, str], ...]
    unchecked: tuple[str, ...]

    def offer(self, name: str, installed: str) -> str:
        """Return what a bake would install instead of *installed*, or the same.

        :return: ``""`` when no index has the package.
        :raises ValueError: two versions cannot be compared.
        """
        for rank in self.ranks:
            if name in rank:
                return newer(installed, rank[name])
        return ""


@dataclass(frozen=True)
class _Place:
    priority: int
    name: str
    root: str


def gather(image: Image, arch: str, caches: Caches) -> Stock:
    """Read the indexes that a bake of today would use; what fails is ``unchecked``."""
    places = sorted(_places(image, RPM_ARCH[arch]), key=lambda place: place.priority)

    def ask(place: _Place) -> Mapping[str, str] | str:
        try:
            return in_rpm_repository(place.root, RPM_ARCH[arch], caches).versions
        except FetchError as error:
            return f"repository '{place.name}': {error.what}"

    with ThreadPoolExecutor(max(1, len(places))) as pool:
        answers = list(pool.map(ask, places))
    ranks: dict[int, dict[str, str]] = {}
    unchecked: list[str] = []
    silent: _Place | None = None  # the first that could not be read
    for place, answer in zip(places, answers, strict=True):
        if isinstance(answer, str):
            unchecked.append(answer)
            silent = silent or place
        elif silent and silent.priority < place.priority:
            unchecked.append(f"repository '{place.name}' comes after '{silent.name}'")
        else:
            _add(ranks.setdefault(place.priority, {}), answer)
    unchecked += _of_base(image)
    return Stock(tuple(ranks.values()), tuple(unchecked))


def newer(one: str, other: str) -> str:
    """Return the newer of two versions, as rpm sorts; *one* if they are equal.

    :raises ValueError: they differ, and one of them is no version.
    """
    if one == other:
        return one
    return other if RpmVersion.parse(one) < RpmVersion.parse(other) else one


def _places(image: Image, arch: str) -> Iterator[_Place]:
    if image.htcondor.url:
        url = image.htcondor.url.replace("$basearch", arch)
        yield _Place(UPSTREAM_PRIORITY, "htcondor", url)
    for name, repository in image.repositories.items():
        url = repository.url.replace("$basearch", arch)
        yield _Place(repository.priority, name, url)


def _of_base(image: Image) -> Iterator[str]:
    """Yield a reason for what the base AMI knows and nobody else."""
    yield f"the base AMI's own repositories (baseos, appstream or the like): {ALONE}"
    for name in image.enable_repositories:
        yield f"repository '{name}' of the base AMI: {ALONE}"


def _add(found: dict[str, str], versions: Mapping[str, str]) -> None:
    for name, version in versions.items():
        found[name] = newer(found.get(name, version), version)
