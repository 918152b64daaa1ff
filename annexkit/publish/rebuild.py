"""Whether a build should be made anew though its input is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from annexkit.publish.packages import Kind, kind_of
from annexkit.publish.retention import DAY, days

NAMED = 3  # how many updates a reason names


class Update(Protocol):
    """A package with a newer version than the build has."""

    @property
    def name(self) -> str:
        """Which package."""

    @property
    def installed(self) -> str:
        """The version that the build has."""

    @property
    def offered(self) -> str:
        """The version that a bake of today would install."""


class Updates(Protocol):
    """What a bake of today would bring (``bake/updates.py`` finds it out)."""

    @property
    def found(self) -> Sequence[Update]:
        """The packages with newer versions."""

    @property
    def unchecked(self) -> Sequence[str]:
        """Reasons why there may be more."""


def rebuild_reason(updates: Updates, age_seconds: float, rebuild_after: float) -> str:
    """Say why a build of unchanged input should be made anew; ``""``: it should not.

    Updates are a reason by themselves. Where some could not be looked for, the build's
    age is one: what may be missing is then at most that old.

    :param age_seconds: how old the build is.
    :param rebuild_after: the setting ``nightly.rebuild_after``, in seconds.
    """
    if updates.found:
        return f"updates: {_named(updates.found)}"
    if updates.unchecked and age_seconds > rebuild_after:
        reasons = [updates.unchecked[0], *_more(len(updates.unchecked) - 1)]
        return (
            f"{days(age_seconds)} old and updates not checked ({', '.join(reasons)}); "
            f"nightly.rebuild_after is {rebuild_after / DAY:g}d"
        )
    return ""


def by_importance(found: Sequence[Update]) -> list[Update]:
    """Return updates in the order of ``invoke registry.diff``: HTCondor first."""
    order = list(Kind)
    return sorted(found, key=lambda one: (order.index(kind_of(one.name)), one.name))


def _named(found: Sequence[Update]) -> str:
    told = [
        f"{one.name} {one.installed} -> {one.offered}"
        for one in by_importance(found)[:NAMED]
    ]
    return ", ".join([*told, *_more(len(found) - NAMED)])


def _more(count: int) -> list[str]:
    return [f"{count} more"] if count > 0 else []
