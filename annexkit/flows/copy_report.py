"""``invoke copy``: say what would be copied where, do it, and say how it ended."""

from __future__ import annotations

from annexkit import amis
from annexkit.amis import Ami
from annexkit.errors import Exit
from annexkit.flows.copy_build import build_of, copy_build, source_of
from annexkit.flows.publish_request import Chosen, PublishRequest, choose
from annexkit.flows.regionwise import Ended, exit_code
from annexkit.flows.site import Site
from annexkit.registry import State


def copy_and_report(site: Site, request: PublishRequest) -> Exit:
    """Copy a build to each region that lacks it.

    :returns: DONE, FAILED when every region failed, PARTLY when only some did.
    :raises UsageError: no region, no such build, or nothing that may be copied.
    """
    chosen = choose(site, request, "copy")
    if request.dry_run:
        return _show_plan(site, chosen)
    ended = copy_build(site, chosen.image, chosen.build, chosen.regions)
    return _report(site, chosen.build, ended)


def _show_plan(site: Site, chosen: Chosen) -> Exit:
    build_id = chosen.build
    build = build_of(site, chosen.image, build_id)
    source = source_of(site, build_id, build)
    rows = []
    for region in chosen.regions:
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
    return exit_code(ended)
