"""The task that CI runs every night.

Imports stand inside the task, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(
    help={
        "images": "which, as NAME or NAME/ARCH; several by repeating it or with commas "
        "(nightly.images)",
        "regions": "where they go, besides the first of bake.regions; several by "
        "repeating it or with commas (publish.regions)",
        "dry-run": "say what would be done, and change nothing",
        "resume": "tell of the unfinished night before as a part of this one",
        "via": "condor: as a DAG of the pool, on its access point, which retries and "
        "throttles",
        "json": "print the night's record as JSON",
    },
    iterable=["images", "regions"],
)
@reported
def nightly(
    c: Context,
    images: list[str],
    regions: list[str],
    dry_run: bool = False,
    resume: bool = False,
    via: str = "",
    json: bool = False,
) -> int:
    """Rebuild what changed, prove it in every region, promote, retire, report."""
    from annexkit.flows.nightly import NightlyRequest
    from annexkit.flows.nightly import nightly as run_night

    request = NightlyRequest(tuple(images), tuple(regions), dry_run, resume, via)
    return run_night(site_of(c, json), request)


@task(
    help={
        "night": "the night's id, which is the name of its folder",
        "step": "bake, copy, smoke, promote, or end",
        "image": "NAME/ARCH; none for the end",
        "region": "where; none for a bake and the end",
        "status": "at the end: what DAGMan says of the whole (DAG_STATUS)",
    },
)
@reported
def nightly_step(
    c: Context,
    night: str,
    step: str,
    image: str = "",
    region: str = "",
    status: str = "",
) -> int:
    """Take one step of a night that was handed over to HTCondor; its DAG calls this."""
    from annexkit.flows.nightly_step import StepRequest
    from annexkit.flows.nightly_step import nightly_step as take

    return take(site_of(c), StepRequest(night, step, image, region, status))
