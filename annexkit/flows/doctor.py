"""``invoke doctor``: every precondition of a bake and a launch, on one page.

Changes nothing. The checks run side by side; one that fails hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from annexkit.doctor import lines
from annexkit.doctor.lines import Line, of_error, wrong
from annexkit.errors import AnnexkitError, Exit
from annexkit.flows import doctor_cloud, doctor_here, doctor_rights, launch_request
from annexkit.flows.doctor_subject import Subject
from annexkit.flows.launch_request import LaunchRequest
from annexkit.flows.site import Site

AT_ONCE = 8  # checks; AWS's own buckets are larger, and so is the pool of connections


@dataclass(frozen=True)
class DoctorRequest:
    """What was asked for. ``flags``: those given, by the name of their setting."""

    region: str = ""
    flags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One check: its name on the page, and who asks.

    :param needed: bakes and launches ask the same of AWS, so that a refusal stops
        them; else it only keeps the doctor from looking.
    """

    name: str
    ask: Callable[[Subject], Iterable[Line]]
    needed: bool = True


CHECKS = (
    Check("identity", doctor_cloud.identity),
    Check("account", doctor_cloud.registry_owner),
    Check("permissions", doctor_rights.permissions),
    Check("clock", doctor_here.clock),
    Check("region", doctor_cloud.region),
    Check("quotas", doctor_cloud.quotas),
    Check("ssh key", doctor_here.ssh_key),
    Check("key pair", doctor_cloud.key_pair),
    Check("ssh sources", doctor_here.ssh_sources),
    Check("network", doctor_cloud.nodes_network),
    Check("routes", doctor_cloud.routes, needed=False),
    Check("bake network", doctor_cloud.bake_network),
    Check("instance types", doctor_cloud.instance_types),
    Check("security group", doctor_cloud.security_group),
    Check("node role", doctor_cloud.node_role_stands),
    Check("scheduler", doctor_cloud.scheduler_stands),
    Check("recipe", doctor_here.recipe),
    Check("packer", doctor_here.packer),
    Check("amazon plugin", doctor_here.plugin),
    Check("registry", doctor_here.registry),
    Check("ami", doctor_cloud.ami),
    Check("state folder", doctor_here.state_folder),
    Check("pool settings", doctor_here.pool_settings),
    Check("pool", doctor_here.pool),
    Check("pool secret", doctor_here.pool_secret),
    Check("pool host", doctor_here.pool_host),
)


def doctor(site: Site, request: DoctorRequest) -> Exit:
    """Look at everything, and show it.

    :returns: DONE when nothing is wrong; warnings, and what could not be told, are
        nothing wrong.
    :raises FindingsError: a flag cannot be read.
    """
    subject = subject_of(site, request)
    found = examine(subject)
    more = {"region": subject.region, "count": subject.launch.count}
    site.console.result(lines.as_json(found, **more), lines.page(found))
    return lines.verdict(found)


def subject_of(site: Site, request: DoctorRequest) -> Subject:
    """Return what is to be examined: the launch of settings and flags.

    :raises FindingsError: a flag cannot be read.
    """
    launch = launch_request.effective(site, LaunchRequest(request.flags))
    region = request.region or next(iter(site.settings.bake.regions), "")
    return Subject(site, launch, region)


def examine(subject: Subject) -> list[Line]:
    """Make all checks, some at a time; return their lines in the page's order."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked = pool.map(lambda check: _lines(check, subject), CHECKS)
        return [line for found in asked for line in found]
    finally:
        pool.shutdown(cancel_futures=True)


def _lines(check: Check, subject: Subject) -> list[Line]:
    """Make one check; whatever goes wrong in it is a line of the page."""
    found: list[Line] = []
    try:
        found.extend(check.ask(subject))
    except AnnexkitError as error:
        found += of_error(check.name, error, needed=check.needed)
    except Exception as error:  # a mistake of ours must not hide the other checks
        what = f"the check itself broke off: {type(error).__name__}: {error}"
        found.append(wrong(check.name, what, mend="report it, with this line"))
    return found
