"""``invoke regions``: where annexkit can work, and why not elsewhere."""

from __future__ import annotations

from typing import Any

from annexkit.errors import Exit, Finding, Level
from annexkit.flows.site import Site
from annexkit.setup import regions
from annexkit.setup.regions import NEEDS, Fitness, Offered, OptIn

COLUMNS = ("region", "fit", *(need.service for need in NEEDS), "account", "why")
FIT = {True: "yes", False: "no", None: "?"}


def show_regions(site: Site) -> Exit:
    """Show every region with the services that annexkit needs, and what it lacks.

    Makes nothing, and works without credentials: what could not be asked is said.

    :raises AwsError: the AWS configuration itself is unusable.
    """
    settings = site.settings
    site.console.step("asking AWS which regions have what annexkit needs")
    opt_in = regions.ask_opt_in(site.cloud)
    offered = regions.look(site.cloud, "" if opt_in.answered else opt_in.why)
    names = sorted({*offered.regions, *settings.bake.regions})
    known = site.cloud.known_regions()
    use = settings.launch.scheduler
    found = [
        regions.judge(offered, opt_in, name, known=known, scheduler=use)
        for name in names
    ]
    _show(site, offered, opt_in, found)
    for one in found:
        if one.region in settings.bake.regions and one.fit is False:
            site.console.finding(_unfit(one))
    return Exit.DONE


def _show(site: Site, offered: Offered, opt_in: OptIn, found: list[Fitness]) -> None:
    console = site.console
    if console.as_json:
        console.result(_data(site, offered, opt_in, found))
        return
    console.table(COLUMNS, [_row(one) for one in found])
    console.detail(_said_by(site, offered))
    if opt_in.why:
        console.detail(f"whether the account may use them is not known: {opt_in.why}")
    only = {need.title: " and ".join(need.contracts) for need in NEEDS}
    said = "; ".join(f"{title}: {who} only" for title, who in only.items() if who)
    console.detail(f"{said}. IAM is one for all regions of a partition")


def _said_by(site: Site, offered: Offered) -> str:
    if offered.source == "aws-parameters":
        at = "" if site.cloud.endpoint == "aws" else f" at {site.cloud.endpoint}"
        return f"services: AWS's public parameters in {regions.HOME}{at}"
    return f"services: botocore's own list, because {offered.why}"


def _row(one: Fitness) -> tuple[str, ...]:
    marks = ("yes" if one.services[need.service] else "no" for need in NEEDS)
    why = "; ".join((*one.reasons, *one.notes))
    return (one.region, FIT[one.fit], *marks, one.opt_in, why)


def _data(
    site: Site, offered: Offered, opt_in: OptIn, found: list[Fitness]
) -> dict[str, Any]:
    return {
        "source": offered.source,
        "source_reason": offered.why,
        "endpoint": site.cloud.endpoint,
        "opt_in_reason": opt_in.why,
        "needs": {need.service: list(need.contracts) for need in NEEDS},
        "regions": [
            {
                "region": one.region,
                "fit": one.fit,
                "configured": one.region in site.settings.bake.regions,
                "services": dict(one.services),
                "opt_in": one.opt_in,
                "reasons": list(one.reasons),
                "notes": list(one.notes),
            }
            for one in found
        ],
    }


def _unfit(one: Fitness) -> Finding:
    return Finding(
        Level.WARNING,
        f"{one.region} will not do: {'; '.join(one.reasons)}",
        "bake.regions",
        "choose a region with 'yes' under fit: invoke regions",
    )
