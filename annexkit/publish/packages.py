"""What changed between the package lists of two builds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

END = r"($|[-_.\d].*)"


class Kind(StrEnum):
    """What a package is for, the most important first."""

    HTCONDOR = "HTCondor"
    KERNEL = "kernel"
    RUNTIME = "container runtime"
    OTHER = "other"


# By the names that Debian, HTCondor's own repositories, AlmaLinux and Amazon Linux use.
KINDS = (
    (Kind.HTCONDOR, rf"((lib|mini|ht|python3-(ht)?)?condor|(lib)?classads?){END}"),
    (Kind.KERNEL, rf"(linux-(image|modules|headers|virtual|aws|generic)|kernel){END}"),
    (
        Kind.RUNTIME,
        r"(apptainer|singularity|docker|moby|containerd|podman|crun|runc|conmon"
        rf"|nerdctl){END}",
    ),
)


class How(StrEnum):
    """What happened to a package."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Package:
    """A package by name and architecture, with every version that is installed.

    Kernels of the Red Hat family are kept beside each other, hence several.
    """

    name: str
    arch: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One package that differs; ``old`` or ``new`` is empty when it was not there."""

    how: How
    kind: Kind
    name: str
    arch: str
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackagesDiff:
    """Every package that differs, the most important first; and how many are equal."""

    changes: tuple[Change, ...]
    equal: int

    def of(self, how: How) -> tuple[Change, ...]:
        """Return the changes of one sort."""
        return tuple(one for one in self.changes if one.how is how)

    def as_data(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        rows = [
            {
                "how": str(one.how),
                "kind": str(one.kind),
                "name": one.name,
                "arch": one.arch,
                "old": list(one.old),
                "new": list(one.new),
            }
            for one in self.changes
        ]
        counts = {str(how): len(self.of(how)) for how in How}
        return {"changes": rows, "counts": counts | {"equal": self.equal}}


def parse(text: str) -> dict[tuple[str, str], Package]:
    """Read a package list: name, version and architecture with tabs between.

    A line may lack the architecture.

    :raises ValueError: a line has no version.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, version, arch = (*line.split("\t"), "", "")[:3]
        if not (name and version):
            raise ValueError(f"line {number} is no package: {line[:80]!r}")
        found.setdefault((name, arch), set()).add(version)
    return {
        (name, arch): Package(name, arch, tuple(sorted(versions)))
        for (name, arch), versions in found.items()
    }


def compare(
    old: Mapping[tuple[str, str], Package], new: Mapping[tuple[str, str], Package]
) -> PackagesDiff:
    """Return what was added, removed and changed from one list to another."""
    changes = [
        _change(old.get(key), new.get(key))
        for key in {*old, *new}
        if old.get(key) != new.get(key)
    ]
    order = list(Kind)
    changes.sort(key=lambda c: (order.index(c.kind), c.name, c.arch))
    return PackagesDiff(tuple(changes), len({*old, *new}) - len(changes))


def kind_of(name: str) -> Kind:
    """Return what a package is for, by its name.

    >>> kind_of("libcondor-utils23.9"), kind_of("linux-libc-dev")
    (<Kind.HTCONDOR: 'HTCondor'>, <Kind.OTHER: 'other'>)
    """
    for kind, pattern in KINDS:
        if re.fullmatch(pattern, name):
            return kind
    return Kind.OTHER


def _change(old: Package | None, new: Package | None) -> Change:
    known = new or old
    assert known is not None  # noqa: S101 -- the key is of one of them
    how = How.CHANGED if old and new else How.ADDED if new else How.REMOVED
    return Change(
        how,
        kind_of(known.name),
        known.name,
        known.arch,
        old.versions if old else (),
        new.versions if new else (),
    )
