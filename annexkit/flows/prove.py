"""The fresh boot: two new instances of an AMI, checked before anyone relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from annexkit import ssh
from annexkit.flows import fresh_boot
from annexkit.flows.fresh_boot import Boot, ProofError, Subject
from annexkit.flows.site import Site
from annexkit.verify import checks

COUNT = 2  # two, because what must differ between instances can only be seen on two


@dataclass(frozen=True)
class Proof:
    """What the fresh boot showed. ``boot_seconds``: from launch to SSH login."""

    at: datetime
    boot_seconds: float
    reports: tuple[checks.NodeReport, ...]


def prove(site: Site, subject: Subject) -> Proof:
    """Boot two instances of the AMI, run every check on both, and end them.

    :raises ProofError: naming each check that failed.
    :raises AnnexkitError: an instance did not come up, or could not be reached.
    """
    ami = subject.ami
    site.console.step(f"fresh boot of {ami}: {COUNT} instances in {subject.region}")
    key = ssh.new_key()
    began = site.clock.monotonic()
    with fresh_boot.booted(site, subject, _boot(site, subject), key) as nodes:
        reports, boots = [], []
        for node in nodes:
            with fresh_boot.login(site, subject, node, key) as connection:
                boots.append(site.clock.monotonic() - began)
                site.console.detail(f"{node.id}: logged in after {boots[-1]:.1f} s")
                reports.append(fresh_boot.check(site, subject, node, connection))
    found = [f for report in reports for f in report.findings]
    found += checks.compare_uniqueness(*reports)
    if found:
        raise ProofError(found)
    for _, name, result, detail in reports[0].rows():
        site.console.detail(f"{result:>6}  {name}: {detail}")
    passed = sum(len(report.checks) for report in reports)
    site.console.step(f"fresh boot of {ami}: {passed} checks passed")
    return Proof(datetime.now(UTC).replace(microsecond=0), min(boots), tuple(reports))


def _boot(site: Site, subject: Subject) -> Boot:
    settings = site.settings
    arch = subject.image.architecture(subject.build.arch)
    return Boot(
        purpose="prove",
        count=COUNT,
        instance_type=settings.prove.instance_type or subject.image.instance_type[arch],
        idle=settings.prove.lifetime,
        lifetime=settings.prove.lifetime,
        subnet_id=settings.bake.subnet_id,
    )
