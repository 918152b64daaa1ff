"""Which regions have every service that annexkit needs (step 4 of the 2016 guide).

AWS publishes where its services are as public parameters (AWS Systems Manager user
guide, "Calling public parameters for AWS services, Regions, ..."). Where they cannot be
asked, botocore's own list of endpoints stands in; it is as old as the installed one.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError

# The parameters are served in some regions of AWS's first partition only, with the same
# content in each.
HOME = "us-east-1"
PARTITION = "aws"
PATH = "/aws/service/global-infrastructure/services"
# What DescribeRegions says of a region that this account may use.
USABLE = ("opt-in-not-required", "opted-in")
UNKNOWN = "unknown"
NOT_OFFERED = "not-offered"

Source = Literal["aws-parameters", "botocore"]


@dataclass(frozen=True)
class Need:
    """A service by the short name that AWS's parameters and botocore share.

    ``contracts``: those that need it; empty when annexkit always does.
    """

    service: str
    title: str
    contracts: tuple[str, ...] = ()


# IAM is not among them: it is one for a whole partition.
NEEDS = (
    Need("ec2", "EC2"),
    Need("ssm", "SSM"),
    Need("sts", "STS"),
    Need("scheduler", "EventBridge Scheduler"),
    Need("s3", "S3", ("annex-ec2", "seed-cfn")),
    Need("cloudformation", "CloudFormation", ("seed-cfn",)),
)


class RegionsError(AnnexkitError):
    """AWS's parameters do not say where its services are."""


@dataclass(frozen=True)
class Offered:
    """Where each service is, by its short name; ``why`` says why no better source."""

    source: Source
    where: Mapping[str, frozenset[str]]
    why: str = ""

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that has one of the services, sorted."""
        return tuple(sorted(frozenset[str]().union(*self.where.values())))


@dataclass(frozen=True)
class OptIn:
    """DescribeRegions' status by region; ``why`` says why there is none.

    ``answered`` is False when AWS was not reached, or we have nothing to sign with.
    """

    status: Mapping[str, str]
    why: str = ""
    answered: bool = True

    def of(self, region: str) -> str:
        """Return the status of a region.

        An account is shown every region of its partition, disabled ones too; one that
        is not among them it cannot have.
        """
        return UNKNOWN if self.why else self.status.get(region, NOT_OFFERED)


@dataclass(frozen=True)
class Fitness:
    """How a region stands: its services by short name, its opt-in status.

    ``reasons`` say why it is unfit, ``notes`` what does not work there besides.
    """

    region: str
    services: Mapping[str, bool]
    opt_in: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fit(self) -> bool | None:
        """Whether annexkit can work there; None when the account was not asked."""
        if self.reasons:
            return False
        return None if self.opt_in == UNKNOWN else True


def ask_opt_in(cloud: Cloud) -> OptIn:
    """Ask which regions the account may use (DescribeRegions); never raises AwsError.

    Asked without retries: who is offline wants an answer now.
    """
    home = cloud.session.region_name or HOME
    try:
        return _opt_in(cloud, home)
    except AwsError as error:
        failed = error
    # So a default region answers that is not enabled itself (EC2 API, Error codes).
    if failed.code in ("AuthFailure", "OptInRequired") and _elsewhere(cloud, home):
        try:
            return _opt_in(cloud, HOME)
        except AwsError as error:
            failed = error
    return OptIn({}, str(failed), failed.refused)


def _elsewhere(cloud: Cloud, home: str) -> bool:
    """Say whether another region of the same partition may be asked instead."""
    return home != HOME and cloud.partition_of(home) == PARTITION


def _opt_in(cloud: Cloud, home: str) -> OptIn:
    said = cloud.call(home, "describe_regions", launch=True, AllRegions=True)
    found = {r["RegionName"]: r.get("OptInStatus") or UNKNOWN for r in said["Regions"]}
    return OptIn(found)


def look(cloud: Cloud, unreached: str = "") -> Offered:
    """Return where the services are, from the best source that answers.

    :param unreached: why AWS was not reached a moment ago; it is not tried again then.
    """
    partition = cloud.partition_of(cloud.session.region_name or HOME) or PARTITION
    if partition != PARTITION:
        why = f"AWS publishes no such parameters in the partition {partition}"
        return from_botocore(cloud, partition, why)
    if unreached:
        return from_botocore(cloud, partition, unreached)
    try:
        return from_parameters(cloud)
    except (AwsError, RegionsError) as error:
        return from_botocore(cloud, partition, str(error))


def from_parameters(cloud: Cloud) -> Offered:
    """Read AWS's public parameters (GetParametersByPath), ten regions a page.

    :raises AwsError: SSM refused, or could not be asked.
    :raises RegionsError: they name no region of a service.
    """
    where: dict[str, frozenset[str]] = {}
    for need in NEEDS:
        path = f"{PATH}/{need.service}/regions"
        # They name the regions of other partitions, too.
        found = [
            region
            for region in _values(cloud, path, once=not where)
            if cloud.partition_of(region) == PARTITION
        ]
        if not found:
            raise RegionsError(
                f"no public parameter names a region that has {need.title}",
                where=f"{path} in {HOME}",
            )
        where[need.service] = frozenset(found)
    return Offered("aws-parameters", where)


def from_botocore(cloud: Cloud, partition: str, why: str) -> Offered:
    """Read the list of endpoints that the installed botocore came with."""
    listed = cloud.session.get_available_regions
    return Offered(
        "botocore",
        {n.service: frozenset(listed(n.service, partition)) for n in NEEDS},
        why,
    )


def judge(
    offered: Offered,
    opt_in: OptIn,
    region: str,
    *,
    known: Container[str],
    scheduler: bool = True,
) -> Fitness:
    """Say whether a region will do, and why not.

    :param known: the regions that the installed botocore knows: no other can be named
        in a setting or flag, whatever AWS says of it.
    :param scheduler: whether launches use EventBridge Scheduler (launch.scheduler).
    """
    services = {need.service: region in offered.where[need.service] for need in NEEDS}
    if not any(services.values()):
        why = "no region of this partition, or misspelt"
        return Fitness(region, services, opt_in.of(region), (why,))
    lacking = [need for need in NEEDS if not services[need.service]]
    vital = [
        need
        for need in lacking
        if not need.contracts and (scheduler or need.service != "scheduler")
    ]
    notes = [_note(need) for need in lacking if need not in vital]
    status = opt_in.of(region)
    reasons = [*_missing(vital, offered.source), *_not_ours(region, status)]
    if region not in known:
        reasons.append("newer than the installed botocore: git pull && make install")
    return Fitness(region, services, status, tuple(reasons), tuple(notes))


def _missing(vital: list[Need], source: Source) -> Iterator[str]:
    if vital:
        old = " that this botocore knows of" if source == "botocore" else ""
        yield f"no {', no '.join(need.title for need in vital)}{old}"


def _not_ours(region: str, status: str) -> Iterator[str]:
    if status == NOT_OFFERED:
        yield "not offered to this account"
    elif status not in (*USABLE, UNKNOWN):
        command = f"aws account enable-region --region-name {region}"
        yield f"not enabled in this account: {command}"


def _note(need: Need) -> str:
    if need.contracts:
        return f"no {need.title}: not for {' and '.join(need.contracts)}"
    return f"no {need.title}, which launch.scheduler says not to use"


def _values(cloud: Cloud, path: str, *, once: bool) -> list[str]:
    """Return the values under a path, over all pages.

    :param once: do not retry the first page; it may be that AWS is not reachable.
    """
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        said = cloud.call(
            HOME,
            "get_parameters_by_path",
            service="ssm",
            launch=once and not more,
            Path=path,
            **more,
        )
        found += [one["Value"] for one in said.get("Parameters", [])]
        if not said.get("NextToken"):
            return found
        more = {"NextToken": said["NextToken"]}
