"""``invoke registry.updates``: which packages of a build have newer versions by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annexkit.bake.image import Image
from annexkit.bake.updates import Updates, as_listed, pending
from annexkit.errors import Exit, Finding, Level
from annexkit.flows.bake_plan import read_image
from annexkit.flows.registry_diff import (
    DiffRequest,
    Side,
    find_build,
    read_packages,
)
from annexkit.flows.site import Site
from annexkit.publish.packages import kind_of
from annexkit.publish.rebuild import by_importance, rebuild_reason
from annexkit.registry import Build

COLUMNS = ("kind", "package", "installed", "offered")


@dataclass(frozen=True)
class UpdatesRequest:
    """What was asked for: a build's id, or a channel of an image, in one region.

    Empty ``image`` and ``arch`` are the settings' own; an empty ``region`` is any,
    if the channel points to one build only.
    """

    build: str
    image: str = ""
    arch: str = ""
    region: str = ""


def show_updates(site: Site, request: UpdatesRequest) -> Exit:
    """Show the pending updates of a build; no AWS call, and nothing is changed.

    What could not be looked at is a warning, no failure.

    :raises UsageError: the request means no build, or its image has no recipe.
    :raises RegistryError: the package list is missing or not what was saved.
    """
    word = request.build
    place = DiffRequest(word, word, request.image, request.arch, request.region)
    side = find_build(site, site.registry.read(), place, word)
    updates = updates_of(site, read_image(site, side.image), side)
    reason = reason_of(site, side.build, updates)
    if site.console.as_json:
        site.console.result(_data(side, updates, reason))
        return Exit.DONE
    _show(site, side, updates, reason)
    return Exit.DONE


def updates_of(site: Site, image: Image, side: Side) -> Updates:
    """Hold a build's saved package list against its repositories as they are now.

    :param image: the recipe, which names them.
    :raises RegistryError: the package list is missing or not what was saved.
    """
    rows = [
        (package.name, version)
        for package in read_packages(site, side).values()
        for version in package.versions
    ]
    listed = as_listed(image.family, rows)
    return pending(image, side.build.arch, listed, cache_dir=site.cache)


def reason_of(site: Site, build: Build, updates: Updates) -> str:
    """Say why the build should be made anew though its input is the same, or ``""``."""
    age = site.clock.time() - build.created.timestamp()
    return rebuild_reason(updates, age, site.settings.nightly.rebuild_after)


def _data(side: Side, updates: Updates, reason: str) -> dict[str, Any]:
    rows = [
        {
            "kind": str(kind_of(one.name)),
            "name": one.name,
            "installed": one.installed,
            "offered": one.offered,
        }
        for one in by_importance(updates.found)
    ]
    return {
        "image": side.image,
        "arch": side.build.arch,
        "build": side.build_id,
        "updates": rows,
        "unchecked": list(updates.unchecked),
        "compared": updates.compared,
        "unknown": updates.unknown,
        "rebuild": reason,
    }


def _show(site: Site, side: Side, updates: Updates, reason: str) -> None:
    console = site.console
    rows = [
        (str(kind_of(one.name)), one.name, one.installed, one.offered)
        for one in by_importance(updates.found)
    ]
    if rows:
        console.table(COLUMNS, rows)
    for why in updates.unchecked:
        console.finding(Finding(Level.WARNING, f"updates not checked: {why}"))
    if updates.unknown:
        console.detail(f"packages in none of the indexes read: {updates.unknown}")
    console.detail(f"to make anew: {reason or 'no reason'}")
    count = f"{len(rows)} updates" if len(rows) != 1 else "1 update"
    what = f"build {side.build_id} of {side.image} ({side.build.arch})"
    console.step(f"{what}: {count}, {updates.compared} packages compared")
