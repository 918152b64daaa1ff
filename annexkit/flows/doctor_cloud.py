"""The doctor's checks that ask AWS: the region, its network, and the account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from annexkit import instances, network, ssh
from annexkit.aws import AwsError
from annexkit.doctor import account, place, tools
from annexkit.doctor.lines import (
    PERMIT,
    Line,
    Missing,
    of_error,
    of_finding,
    ok,
    setting,
    unchecked,
    warning,
    wrong,
)
from annexkit.errors import UsageError
from annexkit.flows import doctor_instead as instead
from annexkit.flows import launch_key, launch_request
from annexkit.flows.doctor_subject import Subject
from annexkit.launch import group, roles, schedule
from annexkit.launch.policies import Role, node_role, scheduler_role
from annexkit.launch.target import MARKETS, quota_family
from annexkit.network import NetworkError

SERVICES = ("ec2", "ssm", "sts")  # besides EventBridge Scheduler, which is a choice
OF_TYPES = "--instance-type"  # where offers() says what is wrong with a type
MADE = "not there yet: the first launch makes it"
# Persons write no role (docs/aws.md, Permissions).
ROLES = "as an administrator: invoke iam --role node; or a launch of one mends it"
RUNNING = {"instance-state-name": ["pending", "running"]}


def identity(subject: Subject) -> Iterator[Line]:
    """Judge who we are."""
    try:
        found = subject.caller()
    except AwsError as error:  # whatever it is: without an answer nothing can be made
        mend = instead.profile(error)
        yield wrong("identity", error.what, where=error.where, mend=mend)
        return
    yield from account.identity(found.arn, found.key_id, found.method, found.endpoint)


def registry_owner(subject: Subject) -> Iterator[Line]:
    """Judge whether the registry is of this account and endpoint (law 1)."""
    caller = subject.after("identity", subject.caller)
    file = subject.site.registry
    registry = subject.after("registry", file.read)
    file.check_owner(registry, caller.account, caller.endpoint)
    whose = (
        f"is account {registry.account}'s" if registry.account else "is nobody's yet"
    )
    yield ok("account", f"{file.path.name} {whose}")


def region(subject: Subject) -> Iterator[Line]:
    """Judge whether the region is known, enabled, and has what annexes need."""
    try:
        name = subject.known_region()
    except UsageError as error:
        mend = f"{instead.region(subject)}; all there are: invoke regions"
        yield wrong("region", error.what, where=error.where, mend=mend)
        return
    session = subject.cloud().session
    partition = session.get_partition_for_region(name)
    wanted = (*SERVICES, *(("scheduler",) if subject.launch.scheduler else ()))
    have = session.get_available_regions
    lacking = [service for service in wanted if name not in have(service, partition)]
    try:
        opt_in = subject.opt_in()
    except Missing:
        opt_in = None
    yield from place.region(name, opt_in, lacking)


def key_pair(subject: Subject) -> Iterator[Line]:
    """Judge the key pair in EC2, and whether the private file is its own."""
    launch, where = subject.launch, subject.region
    if not launch.key_name:
        yield ok("key pair", "none is named: each annex gets a key of its own")
        return
    cloud = subject.here()
    for found in launch_key.pair_findings(subject.site, launch, where):
        mend = f"invoke keypair --region {where}; or leave key_name and key_file empty"
        yield Line("key pair", of_finding("", found).status, found.what, where, mend)
        return
    own = subject.after("ssh key", lambda: _own_line(subject))
    asked: dict[str, Any] = {"KeyNames": [launch.key_name], "IncludePublicKey": True}
    [pair] = cloud.call(where, "describe_key_pairs", **asked)["KeyPairs"]
    yield tools.same_key(launch.key_name, str(pair.get("PublicKey", "")), own, where)


def _own_line(subject: Subject) -> str:
    path = launch_key.configured_file(subject.site.state, subject.launch)
    if path is None:
        raise Missing("ssh key")
    return ssh.load_key(path).public_line


def nodes_network(subject: Subject) -> Iterator[Line]:
    """Judge the default VPC, or the subnets that the settings name."""
    subject.here()
    found = subject.offered()
    bad = [one for one in found.findings if one.where != OF_TYPES]
    yield from (of_finding("network", one) for one in bad)
    if not bad:
        named = "its own" if subject.launch.subnets else "the default"
        zones = ", ".join(sorted({subnet.zone for subnet in found.subnets}))
        what = f"{named} VPC {found.vpc}, {found.free} free addresses in {zones}"
        yield ok("network", what)


def bake_network(subject: Subject) -> Iterator[Line]:
    """Judge where builders go: the default VPC, or the subnet that is named."""
    subnet = subject.site.settings.bake.subnet_id
    try:
        vpc = network.vpc_of(subject.here(), subject.region, subnet)
    except NetworkError as error:
        mend = (
            f"{setting('bake.subnet_id', '')}; or {error.mend}"
            if subnet
            else error.mend
        )
        yield wrong("bake network", error.what, where=error.where, mend=mend)
        return
    yield ok("bake network", f"{subnet or 'a default subnet'} in {vpc}")


def routes(subject: Subject) -> Iterator[Line]:
    """Judge whether nodes can be reached, and reach the pool."""
    cloud, vpc = subject.here(), subject.vpc()
    where = subject.region
    subnets = [one.id for one in subject.offered().subnets]
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    said = cloud.pages(where, "describe_route_tables", "RouteTables", Filters=of_vpc)
    tables = [place.Table.read(one) for one in said]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    gateways = cloud.pages(
        where, "describe_internet_gateways", "InternetGateways", Filters=attached
    )
    yield from place.routes(
        subnets,
        tables,
        [one["InternetGatewayId"] for one in gateways],
        public=subject.site.settings.ssh.interface == "public_ip",
        region=where,
    )


def instance_types(subject: Subject) -> Iterator[Line]:
    """Judge whether the types are offered there, run the AMI and show their keys."""
    subject.here()
    found = subject.after("network", subject.offered)
    bad = [one for one in found.findings if one.where == OF_TYPES]
    for one in bad:
        mend = f"{instead.types(subject, found)}; or {one.mend}"
        yield replace(of_finding("instance types", one), mend=mend)
    if not bad and not found.subnets:
        raise Missing("network")
    if not bad:
        places = len({zone for _, zone in found.zones})
        what = f"{', '.join(found.types)} in {places} zones, {subject.launch.market}"
        yield ok("instance types", what)


def quotas(subject: Subject) -> Iterator[Line]:
    """Judge the vCPU quotas for the wanted nodes, less what runs."""
    cloud, where = subject.here(), subject.region
    running = instances.find(cloud, where, RUNNING)
    wanted = subject.after("network", subject.offered).types
    if not wanted:
        raise Missing("instance types")
    size = _vcpus(subject, {*wanted, *(one.instance_type for one in running)})
    markets = MARKETS[subject.launch.market]
    for market in markets:
        for family in dict.fromkeys(quota_family(kind) for kind in wanted):
            of_family = {k: size[k] for k in wanted if quota_family(k) == family}
            want = place.Want(
                market,
                family,
                subject.launch.count,
                of_family,
                falls_back=market != markets[-1],
            )
            used = sum(
                size.get(one.instance_type, 0)
                for one in running
                if one.market == market and quota_family(one.instance_type) == family
            )
            yield _quota(subject, want, used)


def _quota(subject: Subject, want: place.Want, used: int) -> Line:
    code = place.QUOTAS.get((want.family, want.market))
    if code is None:
        what = f"annexkit does not know the quota of family '{want.family}'"
        mend = (
            "aws service-quotas list-service-quotas --service-code ec2 "
            f"--region {subject.region}"
        )
        return unchecked("quotas", f"{what} ({want.market})", mend=mend)
    try:
        said = subject.here().call(
            subject.region,
            "get_service_quota",
            service="service-quotas",
            launch=True,  # no retries: what cannot be asked is no obstacle
            ServiceCode="ec2",
            QuotaCode=code,
        )
    except AwsError as error:
        [line] = of_error("quotas", error, needed=False)
        see = (
            "aws service-quotas get-service-quota --service-code ec2 "
            f"--quota-code {code} --region {subject.region}"
        )
        return line if line.mend == PERMIT else replace(line, mend=see)
    return place.quota(want, float(said["Quota"]["Value"]), used, subject.region)


def _vcpus(subject: Subject, kinds: set[str]) -> dict[str, int]:
    """Return how many vCPUs each type has."""
    asked = [{"Name": "instance-type", "Values": sorted(kinds)}]
    said = subject.here().pages(
        subject.region, "describe_instance_types", "InstanceTypes", Filters=asked
    )
    return {
        one["InstanceType"]: int(one.get("VCpuInfo", {}).get("DefaultVCpus", 0))
        for one in said
    }


def ami(subject: Subject) -> Iterator[Line]:
    """Judge whether the registry's AMI stands as it should."""
    subject.here()
    chosen = subject.after("registry", subject.chosen)
    found = launch_request.check_ami(subject.site, chosen)
    yield from (of_finding("ami", one) for one in found)
    if not found:
        yield ok("ami", f"{chosen.ami} is available and asks for IMDSv2")


def security_group(subject: Subject) -> Iterator[Line]:
    """Judge the group of the nodes; a launch makes or completes it."""
    cloud, vpc, where = subject.here(), subject.vpc(), subject.region
    sources = subject.after("ssh sources", subject.ssh_sources)
    pool = subject.site.settings.pool
    of_pool = None if pool.ccb else tuple(pool.cidrs)
    check, found = "security group", group.look(cloud, where, vpc)
    for one in group.findings(sources, of_pool):
        yield of_finding(check, one)
    if found is None:
        yield ok(check, f"{group.NAME} is {MADE}")
        return
    wanted = group.wanted(sources, of_pool)
    strange = sorted(found.rules - wanted)
    open_rules = [rule for rule in strange if place.everybody(rule.cidr)]
    for rule in open_rules:
        mend = (
            f"aws ec2 revoke-security-group-ingress --region {where} --group-id "
            f"{found.id} --protocol tcp --port {rule.port} --cidr {rule.cidr}"
        )
        what = f"{rule} is open to everybody"
        yield warning(check, what, where=found.id, mend=mend)
    lacking = sorted(wanted - found.rules)
    if lacking:
        rules = ", ".join(str(rule) for rule in lacking)
        yield ok(check, f"{found.id} is there; the next launch adds {rules}")
    elif not open_rules:
        yield ok(check, f"{found.id} lets in what a launch needs")


def node_role_stands(subject: Subject) -> Iterator[Line]:
    """Judge the role of the nodes, and its instance profile."""
    cloud = subject.here()
    return _role(subject, "node role", node_role(cloud, subject.region))


def scheduler_stands(subject: Subject) -> Iterator[Line]:
    """Judge the role and the schedule group by which EventBridge ends instances."""
    if not subject.launch.scheduler:
        mend = "export INVOKE_ANNEXKIT_LAUNCH_SCHEDULER=1"
        what = "switched off: a lease then ends in two ways instead of three"
        yield warning("scheduler", what, where="annexkit.launch.scheduler", mend=mend)
        return
    cloud, where = subject.here(), subject.region
    yield from _role(subject, "scheduler role", scheduler_role(cloud, where))
    state = schedule.group_state(cloud, where)
    if state == "DELETING":
        what = f"the schedule group {schedule.GROUP} is being deleted"
        yield warning("scheduler", what, where=where, mend="wait: invoke doctor")
    else:
        said = "is there" if state else f"is {MADE}"
        yield ok("scheduler", f"schedule group {schedule.GROUP} {said}")


def _role(subject: Subject, check: str, role: Role) -> Iterator[Line]:
    standing = roles.look(subject.here(), subject.region, role)
    if standing is None:
        yield warning(check, f"{role.name} is not there yet", mend=ROLES)
    elif found := roles.differences(role, standing):
        for what in found:
            yield warning(check, what, mend=ROLES)
    else:
        yield ok(check, standing.arn)
