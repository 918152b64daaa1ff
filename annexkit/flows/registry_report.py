"""The registry as tables and as a checked file; no AWS call."""

from __future__ import annotations

import hashlib
from pathlib import Path

from annexkit.errors import Exit, Finding, Level, UsageError, nearest
from annexkit.flows.site import Site
from annexkit.pool.version import served
from annexkit.registry import Build, Channels, ImageRecord, Registry, json_schema
from annexkit.registry.model import newest_first
from annexkit.registry.store import dump

COLUMNS = ("image", "arch", "region", "build", "ami", "state", "channel", "htcondor")


def list_amis(site: Site) -> None:
    """Show every AMI of the registry, newest build first, and the historical ones."""
    registry = site.registry.read()
    rows = [
        (image, build.arch, region, build_id, there.ami or "-", str(there.state),
         ", ".join(_channels(record, build, build_id, region)), build.htcondor)
        for image, record in sorted(registry.images.items())
        for build_id, build in newest_first(record.builds)
        for region, there in sorted(build.regions.items())
    ]  # fmt: skip
    rows += [
        ("(2016 guide)", "x86_64", old.region, "-", old.ami, "historical", "",
         old.htcondor)
        for old in registry.historical
    ]  # fmt: skip
    whose = f"account {registry.account or 'not claimed yet'} at {registry.endpoint}"
    site.console.table(COLUMNS, rows, title=f"{site.registry.path.name}: {whose}")


def show_image(site: Site, image: str) -> None:
    """Show the newest build of an image with its provenance, and all channels.

    :raises UsageError: the registry has no such image.
    """
    registry = site.registry.read()
    image = image or site.settings.bake.image
    record = registry.images.get(image)
    if record is None:
        raise UsageError(
            f"the registry has no image '{image}'",
            where=str(site.registry.path),
            mend=nearest(image, registry.images) or f"invoke bake --image {image}",
        )
    if site.console.as_json:
        site.console.result(record.model_dump(mode="json"))
        return
    rows = [
        (arch, region, *(names.model_dump()[n] or "-" for n in Channels.model_fields))
        for arch, regions in record.channels.items()
        for region, names in sorted(regions.items())
    ]
    site.console.table(("arch", "region", *Channels.model_fields), rows, title=image)
    for build_id, build in newest_first(record.builds):
        site.console.table(
            ("what", "is"), _provenance(build), title=f"build {build_id}"
        )


def check_file(site: Site) -> Exit:
    """Check that the file is valid, canonical, and fits what lies beside it."""
    path = site.registry.path
    registry = site.registry.read()
    found = [
        *_canonical(registry, path),
        *_schema(path),
        *(f for record in registry.images.values() for f in _packages(record, path)),
    ]
    for finding in found:
        site.console.finding(finding)
    bad = any(f.level is Level.ERROR for f in found)
    count = len(registry.amis())
    site.console.result(
        {"ok": not bad, "amis": count, "findings": [str(f) for f in found]},
        "" if bad else f"{path.name} is valid: {count} AMIs",
    )
    return Exit.FAILED if bad else Exit.DONE


def _canonical(registry: Registry, path: Path) -> list[Finding]:
    if not path.exists() or path.read_text(encoding="utf-8") == dump(registry):
        return []
    return [
        Finding(
            Level.WARNING,
            "the file is valid but not written as annexkit writes it",
            str(path),
            "the next bake writes it anew; nothing to do",
        )
    ]


def _schema(path: Path) -> list[Finding]:
    beside = path.with_suffix(".schema.json")
    if beside.exists() and beside.read_text(encoding="utf-8") != json_schema():
        return [
            Finding(
                Level.ERROR,
                "the JSON Schema beside the registry is of another annexkit",
                str(beside),
                f"git checkout -- {beside.name}",
            )
        ]
    return []


def _packages(record: ImageRecord, path: Path) -> list[Finding]:
    found = []
    for build_id, build in record.builds.items():
        listed = build.packages
        if listed is None:
            continue
        there = path.parent / listed.path
        try:
            same = hashlib.sha256(there.read_bytes()).hexdigest() == listed.sha256
        except OSError:
            same = False
        if not same:
            found.append(
                Finding(
                    Level.ERROR,
                    f"the package list of build {build_id} is missing or changed",
                    str(there),
                    f"git checkout -- {listed.path}",
                )
            )
    return found


def _channels(
    record: ImageRecord, build: Build, build_id: str, region: str
) -> list[str]:
    names = record.channels.get(build.arch, {}).get(region, Channels())
    return [name for name, points in names.model_dump().items() if points == build_id]


def _provenance(build: Build) -> list[tuple[str, str]]:
    rows = [
        ("created", build.created.isoformat()),
        ("arch", build.arch),
        ("digest", build.digest),
        ("base AMI", f"{build.base_ami.id} {build.base_ami.name}"),
        ("HTCondor", build.htcondor),
        ("contracts", _contracts(build)),
        *([("helper scripts", build.helper_scripts)] if build.helper_scripts else []),
        ("git", f"{build.git.sha}{' (changed)' if build.git.dirty else ''}"),
        ("Packer", build.packer),
        ("packages", build.packages.path if build.packages else "-"),
    ]
    for region, there in sorted(build.regions.items()):
        said = f"{there.ami or '-'} {there.state} {there.reason}".strip()
        if there.boot_seconds is not None:
            said += f", booted in {there.boot_seconds:.1f} s"
        rows.append((region, said))
    return rows


def _contracts(build: Build) -> str:
    """Return the contracts, and what was found of the pools they are of use in."""
    pools = served(build.htcondor)
    return ", ".join(build.contracts) + (f"; for {pools}" if pools else "")
