"""``invoke registry.diff``: what changed from one build to another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annexkit.bake.digest import explain
from annexkit.errors import AnnexkitError, Exit, UsageError, nearest
from annexkit.flows.site import Site
from annexkit.publish.packages import Package, PackagesDiff, compare, parse
from annexkit.registry import Build, Channels, Registry, RegistryError

COLUMNS = ("how", "kind", "package", "arch", "from", "to")


@dataclass(frozen=True)
class DiffRequest:
    """What was asked for: ids of builds, or channels of an image, in one region.

    Empty ``image`` and ``arch`` are the settings' own; an empty ``region`` is any,
    if the channel points to one build only.
    """

    old: str
    new: str
    image: str = ""
    arch: str = ""
    region: str = ""


@dataclass(frozen=True)
class Side:
    """One of the two builds."""

    image: str
    build_id: str
    build: Build


@dataclass(frozen=True)
class BuildsDiff:
    """What differs between two builds: their packages, and their input in words."""

    old: Side
    new: Side
    packages: PackagesDiff
    inputs: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        sides = {"old": _side(self.old), "new": _side(self.new)}
        return sides | {"inputs": list(self.inputs)} | self.packages.as_data()


def show_diff(site: Site, request: DiffRequest) -> Exit:
    """Show what changed between two builds; no AWS call.

    :raises UsageError: a name means no build, or several.
    :raises RegistryError: a package list is missing or not what was saved.
    """
    registry = site.registry.read()
    found = diff_builds(
        site,
        find_build(site, registry, request, request.old),
        find_build(site, registry, request, request.new),
    )
    if site.console.as_json:
        site.console.result(found.as_data())
        return Exit.DONE
    _show(site, found)
    return Exit.DONE


def diff_builds(site: Site, old: Side, new: Side) -> BuildsDiff:
    """Compare two builds by what the registry keeps of them.

    :raises RegistryError: a package list is missing or not what was saved.
    """
    packages = compare(read_packages(site, old), read_packages(site, new))
    inputs = explain(old.build.parts, new.build.parts)
    return BuildsDiff(old, new, packages, tuple(inputs))


def find_build(site: Site, registry: Registry, request: DiffRequest, word: str) -> Side:
    """Return the build that an id or a channel's name means.

    :raises UsageError: none, or several.
    """
    for image, record in registry.images.items():
        if word in record.builds:
            return Side(image, word, record.builds[word])
    image = request.image or site.settings.bake.image
    if image not in registry.images:
        raise UsageError(
            f"the registry has no image '{image}'",
            where=str(site.registry.path),
            mend=nearest(image, registry.images) or "invoke registry.list",
        )
    known = registry.images[image].builds
    if word in Channels.model_fields:
        build_id = _pointed_at(site, registry, request, image, word)
        return Side(image, build_id, known[build_id])
    hint = nearest(word, [*known, *Channels.model_fields])
    raise UsageError(
        f"'{word}' is no build of image '{image}', and no channel",
        where=str(site.registry.path),
        mend=hint or "invoke registry.list shows the builds",
    )


def read_packages(site: Site, side: Side) -> dict[tuple[str, str], Package]:
    """Read a build's saved package list.

    :raises RegistryError: it has none, or it is missing or not what was saved.
    """
    listed = side.build.packages
    if listed is None:
        raise RegistryError(
            f"build {side.build_id} has no package list",
            where=str(site.registry.path),
            mend="compare with another build: invoke registry.list",
        )
    path = site.registry.path.parent / listed.path
    content = _content(path, side.build_id, listed.path)
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        what = f"the package list of build {side.build_id} was changed"
        raise _unusable(what, path, listed.path)
    try:
        return parse(content.decode("utf-8"))
    except ValueError as error:
        what = f"the package list of build {side.build_id}: {error}"
        raise _unusable(what, path, listed.path) from None


def _content(path: Path, build_id: str, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"the package list of build {build_id} cannot be read: {error.strerror}"
        raise _unusable(what, path, name) from error


def _unusable(what: str, path: Path, name: str) -> AnnexkitError:
    return RegistryError(what, where=str(path), mend=f"git checkout -- {name}")


def _pointed_at(
    site: Site, registry: Registry, request: DiffRequest, image: str, channel: str
) -> str:
    """Return the one build that a channel points to, in one region or in all.

    :raises UsageError: it points to none, or to several.
    """
    arch = request.arch or site.settings.bake.arch
    regions = registry.images[image].channels.get(arch, {})
    points: Mapping[str, str] = {
        region: build
        for region, names in sorted(regions.items())
        if request.region in ("", region) and (build := getattr(names, channel))
    }
    builds = set(points.values())
    if len(builds) == 1:
        return builds.pop()
    place = f"image '{image}' ({arch})"
    if not builds:
        raise UsageError(
            f"{place} has no {channel} build",
            where=request.region or "any region",
            mend="invoke registry.list shows what points where",
        )
    told = ", ".join(f"{build} in {region}" for region, build in points.items())
    raise UsageError(
        f"{place} has more than one {channel} build: {told}",
        where=channel,
        mend=f"name the region: --region {next(iter(points))}",
    )


def _show(site: Site, found: BuildsDiff) -> None:
    console = site.console
    sides = [_side(found.old), _side(found.new)]
    console.table(
        ("what", "old", "new"), [(k, *(s[k] for s in sides)) for k in sides[0]]
    )
    rows = [
        (one.how, one.kind, one.name, one.arch, _said(one.old), _said(one.new))
        for one in found.packages.changes
    ]
    if rows:
        console.table(COLUMNS, rows)
    for line in found.inputs:
        console.detail(f"input: {line}")
    counts = found.packages.as_data()["counts"]
    console.step("packages: " + ", ".join(f"{n} {how}" for how, n in counts.items()))


def _said(versions: tuple[str, ...]) -> str:
    return ", ".join(versions) or "-"


def _side(side: Side) -> dict[str, str]:
    build = side.build
    return {
        "build": side.build_id,
        "image": side.image,
        "arch": build.arch,
        "created": build.created.isoformat(),
        "htcondor": build.htcondor,
        "base_ami": build.base_ami.id,
    }
