"""``invoke copy``: say what would be copied where, do it, and say how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from annexkit import amis
from annexkit.amis import Ami
from annexkit.errors import Exit, UsageError
from annexkit.flows.copy_build import build_of, copy_build, source_of
from annexkit.flows.regionwise import Ended
from annexkit.flows.site import Site
from annexkit.registry import State
from annexkit.settings import split_flag


@dataclass(frozen=True)
class CopyRequest:
    """What was asked for on the command line; empty means the settings' own."""

    image: str = ""
    build: str = ""
    arch: str = ""
    regions: tuple[str, ...] = ()
    dry_run: bool = False


def copy_and_report(site: Site, request: CopyRequest) -> Exit:
    """Copy a build to each region that lacks it.

    :returns: DONE, FAILED when every region failed, PARTLY when only some did.
    :raises UsageError: no region, no such build, or nothing that may be copied.
    """
    given = ",".join(request.regions) if request.regions else None
    regions = split_flag(given, site.settings.publish.regions)
    if not regions:
        raise UsageError(
            "no region to copy to",
            where="annexkit.publish.regions",
            mend="invoke copy --region us-east-1, or name them in invoke.yaml",
        )
    site.cloud.check_regions(regions)
    site.check_account()
    image = request.image or site.settings.bake.image
    build_id = request.build or current_build(site, image, request.arch)
    if request.dry_run:
        return _show_plan(site, image, build_id, regions)
    return _report(site, build_id, copy_build(site, image, build_id, regions))


def current_build(site: Site, image: str, given: str) -> str:
    """Return the current build of the home region.

    :param given: the architecture of the command line; the settings' own when empty.
    :raises UsageError: there is none.
    """
    arch = given or site.settings.bake.arch
    home = next(iter(site.settings.bake.regions), "")
    current = site.registry.read().channel(image, arch, home).current
    if current is None:
        raise UsageError(
            f"image '{image}' ({arch[:40]}) has no current build in {home}",
            where=str(site.registry.path),
            mend="invoke bake, or name one: invoke copy --build ID",
        )
    return current


def _show_plan(site: Site, image: str, build_id: str, regions: tuple[str, ...]) -> Exit:
    build = build_of(site, image, build_id)
    source = source_of(site, build_id, build)
    rows = []
    for region in regions:
        there = build.regions.get(region)
        done = there is not None and there.state is State.READY
        rows.append(
            (
                region,
                "nothing" if done or region == source.region else "copy",
                there.ami if there and there.ami else "-",
            )
        )
    site.console.table(
        ("region", "to do", "ami"),
        rows,
        title=f"build {build_id}: {source.id} in {source.region}; nothing was changed",
    )
    return Exit.DONE


def _report(site: Site, build_id: str, ended: list[Ended[Ami]]) -> Exit:
    failed = [one for one in ended if one.error]
    rows = [
        (
            one.region,
            "failed" if one.error else amis.AVAILABLE,
            one.value.id if one.value else "-",
            one.error.what if one.error else "",
        )
        for one in ended
    ]
    site.console.table(
        ("region", "state", "ami", "reason"), rows, title=f"build {build_id}"
    )
    if not failed:
        return Exit.DONE
    return Exit.PARTLY if len(failed) < len(ended) else Exit.FAILED
