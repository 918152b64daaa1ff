"""Whose annex it is: one account may have many people, and names repeat."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

from annexkit import tags
from annexkit.annexes import Annex
from annexkit.errors import Finding, Level, UsageError
from annexkit.flows.site import Site


def this_user(site: Site) -> str:
    """Return the owner of what is launched here: of the settings, else who runs it."""
    if site.settings.launch.owner:
        return site.settings.launch.owner
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without an entry
        return ""


def others(annexes: Iterable[Annex], owner: str) -> list[str]:
    """Return who else has nodes in these annexes, sorted."""
    found = {n.tags.get(tags.OWNER, "") for annex in annexes for n in annex.nodes}
    return sorted(found - {owner, ""})


def foreign(annex: Annex, owner: str) -> list[Finding]:
    """Say that a launch would mix its nodes with those of somebody else."""
    if not (names := others([annex], owner)):
        return []
    return [
        Finding(
            Level.ERROR,
            f"annex '{annex.name}' is {', '.join(names)}'s, not {owner}'s",
            annex.region,
            "take another name: --annex-name",
        )
    ]


def refuse_foreign(
    site: Site, annexes: Iterable[Annex], *, force: bool, command: str
) -> None:
    """Refuse to touch somebody else's annex unless that is said.

    :raises UsageError: naming the owner, and the command that does it all the same.
    """
    owner = this_user(site)
    if force or not (names := others(annexes, owner)):
        return
    raise UsageError(
        f"this annex is {', '.join(names)}'s, and you are {owner or 'nobody known'}",
        where="annexkit:owner",
        mend=f"if that is meant: {command} --force",
    )
