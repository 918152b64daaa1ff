"""The smoke of a copy: one new instance, every check, a job, and its end by itself.

A proof of two instances shows what an AMI is. A copy of it has the same content: what
is to be seen in its own region is that it boots there, runs a job, and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from annexkit import instances, network, ssh
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Finding, Level, UsageError
from annexkit.flows import fresh_boot
from annexkit.flows.fresh_boot import Boot, ProofError, SilentError, Subject
from annexkit.flows.hourly_price import on_demand
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.launch import smallest
from annexkit.launch.answers import Answer, ruling
from annexkit.launch.offers import Offers, offers
from annexkit.launch.target import Target
from annexkit.verify import checks
from annexkit.verify.node_check import name_of
from annexkit.verify.node_condor import job
from annexkit.waiting import Deadline, wait_for

# Seconds from the last moment to be idle until EC2 says "terminated": HTCondor stops
# its daemons, the system stops (annexkit's power-off gets ruder after 120), EC2 cleans
# up.
END = 300.0
BY_ITSELF = "InstanceInitiatedShutdown"  # EC2's StateReason of a power-off from inside
TERMINATED = "terminated"
# What the node itself says to whoever knocks; all else may be the way to it.
OF_THE_NODE = (ssh.Kind.NOT_LISTENING, ssh.Kind.REFUSED)
ELSEWHERE = (Answer.NEXT_TARGET, Answer.SKIP_SUBNET)
LONGER = "export INVOKE_ANNEXKIT_PROVE_LIFETIME=1h"


class SmokeError(AnnexkitError):
    """A smoke could not show anything; that says nothing about the AMI."""


@dataclass(frozen=True)
class Smoked:
    """What the smoke showed, in seconds.

    ``boot_seconds``: from launch to SSH login. ``job_seconds``: from a job's submission
    to its end. ``ended_seconds``: from there until EC2 said that the instance, which
    nobody ended, is terminated. ``cost``: USD for the instance, estimated; None when
    its price is not known.
    """

    at: datetime
    instance_type: str
    boot_seconds: float
    job_seconds: float
    ended_seconds: float
    cost: float | None


@dataclass(frozen=True)
class SmokePlan:
    """Where the instance may be asked for, the first choice first.

    ``most``: USD until its hard end, estimated; None when its price is not known.
    """

    targets: tuple[Target, ...]
    most: float | None

    @property
    def instance_type(self) -> str:
        """The type of the first choice."""
        return self.targets[0].instance_type


def plan_smoke(site: Site, region: str, arch: str) -> SmokePlan:
    """Find the smallest type that runs the AMI in a region, and its price.

    :param arch: the AMI's, ``x86_64`` or ``arm64``.
    :raises UsageError: the settings leave no time to see an idle end.
    :raises AnnexkitError: no type or no subnet will do, or EC2 cannot be asked.
    """
    settings = site.settings
    _check_times(site)
    # No subnet is of two regions: the builder's is that of its own.
    at_home = region in settings.bake.regions
    subnet = settings.bake.subnet_id if at_home else ""
    offered = offers(
        site.cloud,
        region,
        types=settings.prove.smoke_types,
        subnets=[subnet] if subnet else [],
        arch=arch,
        market="on-demand",
    )
    found = smallest.smallest_first(offered)
    if not found:
        raise _nowhere(site, region, subnet, offered)
    hourly = on_demand(site, region, found[0].instance_type)
    return SmokePlan(found, smallest.cost(hourly, settings.prove.lifetime))


def smoke(site: Site, subject: Subject) -> Smoked:
    """Boot one instance of the AMI, check it, run a job, and see it end by itself.

    :raises ProofError: the AMI does not boot, fails a check, or its instance does not
        end.
    :raises AnnexkitError: whatever else went wrong; it says nothing about the AMI.
    """
    *others, last = plan_smoke(site, subject.region, subject.build.arch).targets
    for target in others:
        try:
            return _smoke_on(site, subject, target)
        except AwsError as error:
            if ruling(error).answer not in ELSEWHERE:
                raise
            _tell(site, subject, ruling(error).says)
    return _smoke_on(site, subject, last)


def dollars(cost: float | None) -> str:
    """Write a small sum, estimated."""
    return "an unknown price" if cost is None else f"about ${cost:.4f}"


def _check_times(site: Site) -> None:
    prove = site.settings.prove
    needed = prove.smoke_idle + END
    if prove.lifetime < needed + prove.boot_timeout:
        raise UsageError(
            f"{prove.lifetime:g} s are too short to see an instance boot "
            f"({prove.boot_timeout:g} s) and then end by itself ({needed:g} s)",
            where="annexkit.prove.lifetime",
            mend=LONGER,
        )


def _nowhere(site: Site, region: str, subnet: str, offered: Offers) -> AnnexkitError:
    """Say why no type of the settings can be had there.

    :raises NetworkError: it is the VPC or the subnet that is not there.
    """
    network.vpc_of(site.cloud, region, subnet)
    mend = (
        "name other types: export INVOKE_ANNEXKIT_PROVE_SMOKE_TYPES=...; see which "
        f"there are: aws ec2 describe-instance-type-offerings --region {region}"
    )
    if not offered.free:
        mend = (
            f"aws ec2 create-default-subnet --region {region} --availability-zone "
            f"{region}a; or end what holds the addresses"
        )
    why = "; ".join(smallest.why_none(offered)) or "nothing is offered"
    return SmokeError(f"no instance to smoke with: {why}", where=region, mend=mend)


def _smoke_on(site: Site, subject: Subject, target: Target) -> Smoked:
    prove = site.settings.prove
    boot = Boot(
        purpose="smoke",
        count=1,
        instance_type=target.instance_type,
        idle=prove.smoke_idle,
        lifetime=prove.lifetime,
        subnet_id=target.subnet,
    )
    hourly = on_demand(site, subject.region, target.instance_type)
    site.console.step(
        f"{subject.region}: smoke of {subject.ami}: {target}, at most "
        f"{dollars(smallest.cost(hourly, prove.lifetime))}"
    )
    key = ssh.new_key()
    began = site.clock.monotonic()
    with fresh_boot.booted(site, subject, boot, key) as (node,):
        try:
            with fresh_boot.login(site, subject, node, key) as connection:
                boot_seconds = site.clock.monotonic() - began
                _tell(site, subject, f"{node.id}: logged in after {boot_seconds:.1f} s")
                report = fresh_boot.check(site, subject, node, connection)
        except SilentError as error:
            raise ProofError(error.findings) from error
        except ssh.SshError as error:
            if error.kind in OF_THE_NODE:
                raise ProofError(error.findings) from error
            if error.kind is ssh.Kind.GONE:
                raise SmokeError(
                    f"{node.id} ended before it could be checked: {error.what}",
                    where=subject.region,
                    mend="let it be idle for longer: export "
                    "INVOKE_ANNEXKIT_PROVE_SMOKE_IDLE=10m",
                ) from error
            raise
        job_seconds = _passed(report)
        _tell(site, subject, f"{node.id}: a job done in {job_seconds:.1f} s")
        left = prove.lifetime - (site.clock.monotonic() - began)
        ended_seconds = _ended(site, subject, node, left)
        cost = smallest.cost(hourly, site.clock.monotonic() - began)
    site.console.step(
        f"{subject.region}: {subject.ami} passed {len(report.checks)} checks; its "
        f"instance ended by itself after {ended_seconds:.0f} s, {dollars(cost)}"
    )
    at = datetime.now(UTC).replace(microsecond=0)
    kind = target.instance_type
    return Smoked(at, kind, boot_seconds, job_seconds, ended_seconds, cost)


def _passed(report: checks.NodeReport) -> float:
    """Return how long the job took.

    :raises ProofError: a check failed, or there was no job.
    """
    found = [*report.findings, *checks.compare_uniqueness(report)]
    jobs = [check.seconds for check in report.checks if check.name == name_of(job)]
    if not jobs:
        found.append(Finding(Level.ERROR, "no job was run", report.name, checks.MEND))
    if found:
        raise ProofError(found)
    return jobs[0]


def _ended(site: Site, subject: Subject, node: Instance, left: float) -> float:
    """Wait until EC2 says that the instance is terminated; return the seconds.

    :param left: seconds until its power-off timer, which would end it, too.
    :raises ProofError: it did not end by itself.
    :raises SmokeError: somebody ended it, or there is no time to wait for it.
    """
    timeout = site.settings.prove.smoke_idle + END
    if left <= timeout:
        raise SmokeError(
            f"{node.id} was checked too late to see it end by itself: its hard end is "
            f"in {left:.0f} s",
            where=subject.region,
            mend=LONGER,
        )
    begin = site.clock.monotonic()

    seen: list[str] = []

    def terminated() -> Instance | None:
        found = instances.find(site.cloud, subject.region, {}, [node.id])
        seen[:] = [one.state for one in found]
        return next((one for one in found if one.state == TERMINATED), None)

    try:
        over = wait_for(
            terminated,
            what=f"the idle end of {node.id}",
            timeout=timeout,
            poll=site.settings.poll,
            clock=site.clock,
        )
    except Deadline as error:
        what = (
            f"{node.id} had no job for {timeout:g} s and did not end by itself: it is "
            f"{', '.join(seen) or 'unknown'}"
        )
        found = Finding(Level.ERROR, what, subject.region, checks.MEND)
        raise ProofError([found]) from error
    if BY_ITSELF not in over.reason:
        raise SmokeError(
            f"{node.id} was ended before it did so itself: {over.reason or 'no word'}",
            where=subject.region,
            mend="see who ended it: AWS CloudTrail, TerminateInstances; then again",
        )
    return site.clock.monotonic() - begin


def _tell(site: Site, subject: Subject, text: str) -> None:
    site.console.detail(f"{subject.region}: {text}")
