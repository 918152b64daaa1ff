"""The task that looks whether everything is ready.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(
    help={
        "region": "where (the first of bake.regions)",
        "count": "for how many nodes the quotas have to do (launch.count)",
        "json": "print the page as JSON",
    }
)
@reported
def doctor(
    c: Context, region: str = "", count: str | None = None, json: bool = False
) -> int:
    """Check every precondition of a bake and a launch; changes nothing."""
    from annexkit.flows.doctor import DoctorRequest
    from annexkit.flows.doctor import doctor as examine

    flags = {} if count is None else {"count": count}
    return examine(site_of(c, json), DoctorRequest(region, flags))
