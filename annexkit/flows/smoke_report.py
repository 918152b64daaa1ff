"""``invoke smoke``: say what would be booted where, do it, and say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from annexkit.errors import Exit
from annexkit.flows.copy_build import build_of
from annexkit.flows.publish_request import PublishRequest, choose
from annexkit.flows.regionwise import Ended, exit_code
from annexkit.flows.site import Site
from annexkit.flows.smoke import Smoked, SmokePlan, dollars
from annexkit.flows.smoke_regions import plan_regions, smoke_regions
from annexkit.registry import Build, State

NOTHING, NOT_SMOKED = "nothing to do", "not smoked"


def smoke_and_report(site: Site, request: PublishRequest) -> Exit:
    """Smoke a build in each region where it is not proved yet.

    :returns: DONE, FAILED when every region failed, PARTLY when only some did.
    :raises UsageError: no region, no such build, or no recipe of the image.
    """
    chosen = choose(site, request, "smoke")
    image, build_id = chosen.image, chosen.build
    if request.dry_run:
        planned = plan_regions(site, image, build_id, chosen.regions)
        return _show_plan(site, build_id, planned)
    ended = smoke_regions(site, image, build_id, chosen.regions)
    return _report(site, build_of(site, image, build_id), build_id, ended)


def _show_plan(site: Site, build_id: str, planned: Sequence[Ended[SmokePlan]]) -> Exit:
    for one in planned:
        if one.error:
            site.console.error(one.error)
    site.console.table(
        ("region", "to do", "type", "at most", "reason"),
        [_planned(one) for one in planned],
        title=f"build {build_id}: nothing was changed",
    )
    return exit_code(planned)


def _planned(one: Ended[SmokePlan]) -> tuple[str, ...]:
    if one.error:
        return one.region, "cannot", "-", "-", one.error.what
    if one.value is None:
        return one.region, NOTHING, "-", "-", "it is proved there"
    return one.region, "smoke", one.value.instance_type, dollars(one.value.most), ""


def _report(
    site: Site, build: Build, build_id: str, ended: Sequence[Ended[Smoked]]
) -> Exit:
    costs = [one.value.cost for one in ended if one.value]
    known = sum(cost for cost in costs if cost is not None)
    cost = None if None in costs else known
    site.console.table(
        ("region", "result", "ami", "type", "boot", "job", "end", "cost", "reason"),
        [_row(build, one) for one in ended],
        title=f"build {build_id}: {dollars(cost)} for what passed",
        data={
            "build": build_id,
            "cost": cost,
            "regions": {one.region: _data(build, one) for one in ended},
        },
    )
    return exit_code(ended)


def _row(build: Build, one: Ended[Smoked]) -> tuple[str, ...]:
    ami = _ami(build, one.region)
    if one.value is None:
        reason = one.error.what if one.error else ""
        return one.region, _result(build, one), ami, "-", "-", "-", "-", "-", reason
    times = (one.value.boot_seconds, one.value.job_seconds, one.value.ended_seconds)
    return (
        *(one.region, _result(build, one), ami, one.value.instance_type),
        *(f"{seconds:.1f} s" for seconds in times),
        *(dollars(one.value.cost), ""),
    )


def _data(build: Build, one: Ended[Smoked]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "result": _result(build, one),
        "ami": _ami(build, one.region),
        "reason": one.error.what if one.error else "",
    }
    return said | (asdict(one.value) if one.value else {})


def _result(build: Build, one: Ended[Smoked]) -> str:
    """Return how it ended; an error may say nothing about the AMI."""
    if one.error is None:
        return State.READY if one.value else NOTHING
    there = build.regions.get(one.region)
    failed = there is not None and there.state is State.FAILED
    return State.FAILED if failed else NOT_SMOKED


def _ami(build: Build, region: str) -> str:
    there = build.regions.get(region)
    return there.ami or "-" if there else "-"
