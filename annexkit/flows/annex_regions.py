"""Where an annex is looked for, and whether somebody is at work on it."""

from __future__ import annotations

from collections.abc import Sequence

from annexkit.annexes import Record
from annexkit.errors import UsageError
from annexkit.flows.site import Site
from annexkit.journal import this_process
from annexkit.settings import split_flag


def regions_of(
    site: Site, given: Sequence[str], record: Record | None = None
) -> tuple[str, ...]:
    """Return the regions of a command: its flag's, else the settings' and the record's.

    :raises UsageError: botocore does not know one.
    """
    chosen = split_flag(",".join(given), ()) if given else ()
    if not chosen:
        recorded = (record.region,) if record else ()
        chosen = tuple(dict.fromkeys((*recorded, *site.settings.bake.regions)))
    site.cloud.check_regions(chosen)
    return chosen


def check_alone(site: Site, name: str, regions: Sequence[str]) -> None:
    """Refuse to touch an annex while another annexkit of this host launches or ends it.

    :raises UsageError: one does.
    """
    me = this_process()
    whose = (site.cloud.account, site.cloud.endpoint)
    for entry in site.journal.entries():
        running = entry.owner.alive and entry.owner != me
        running &= (entry.account, entry.endpoint) == whose
        if running and entry.annex == name and entry.region in regions:
            raise UsageError(
                f"another annexkit is at work on this annex (pid {entry.owner.pid})",
                where=name,
                mend=f"end it first, it cleans up: kill {entry.owner.pid}",
            )
