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
    json: bool = False,
) -> int:
    """Rebuild what changed, prove it in every region, promote, retire, report."""
    from annexkit.flows.nightly import NightlyRequest
    from annexkit.flows.nightly import nightly as run_night

    request = NightlyRequest(tuple(images), tuple(regions), dry_run, resume)
    return run_night(site_of(c, json), request)
