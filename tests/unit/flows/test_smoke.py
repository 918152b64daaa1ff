"""One instance of the smallest type: checked, a job done, and ended by itself.

EC2 is moto's, so nothing boots: what a node would answer and do is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from annexkit import instances, ssh
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows import fresh_boot
from annexkit.flows.fresh_boot import ProofError, SilentError, Subject
from annexkit.flows.site import Site
from annexkit.flows.smoke import END, SmokeError, plan_smoke, smoke
from annexkit.instances import Launch
from tests.unit.flows.booting import Nodes, a_site, a_subject, left, machines, states
from tests.unit.helpers import REGION, FakeClock

IDLE = 180
OURS = "Client.InstanceInitiatedShutdown"
HOUR = {"t3.micro": 0.36, "t3.small": 0.72}


class Living(FakeClock):
    """A clock by which the nodes end: so long after the last job, and for a reason."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_since: float | None = None
        self.after: float = IDLE + 20
        self.reason = OURS

    def sleep(self, seconds: float, /) -> None:
        super().sleep(seconds)
        if self.idle_since is None or self.slept < self.idle_since + self.after:
            return
        for machine in machines():
            if machine.state == "running":
                machine.terminate()
                said = f"{self.reason}: it ended"
                machine.state_reason.code = self.reason
                machine.state_reason.message = said


@pytest.fixture
def clock() -> Living:
    return Living()


@pytest.fixture
def site(
    tmp_path: Path, clock: Living, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Site:
    return a_site(tmp_path, clock, cloud, monkeypatch, launch={"hourly_price": HOUR})


@pytest.fixture
def subject(site: Site) -> Subject:
    return a_subject(site)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, clock: Living) -> Nodes:
    """Nodes that are idle from the check on, which takes four seconds."""

    def work() -> None:
        clock.sleep(4)
        clock.idle_since = clock.slept

    return Nodes(monkeypatch, during=work)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """What was asked of RunInstances."""
    found: list[Launch] = []
    real = instances.run

    def run(cloud: Cloud, launch: Launch) -> list[str]:
        found.append(launch)
        return real(cloud, launch)

    monkeypatch.setattr(instances, "run", run)
    return found


def settings(site: Site, **prove: Any) -> None:
    changed = site.settings.prove.model_copy(update=prove)
    site.settings = site.settings.model_copy(update={"prove": changed})


def test_one_small_instance_ends_by_itself(
    site: Site, subject: Subject, nodes: Nodes, launched: list[Launch]
) -> None:
    found = smoke(site, subject)
    (launch,) = launched
    assert (launch.count, launch.instance_type) == (1, "t3.micro")
    assert found.instance_type == "t3.micro"
    assert found.job_seconds == 2.5
    assert IDLE + 20 <= found.ended_seconds <= IDLE + 30
    assert states() == ["terminated"]
    assert left(site) == []


def test_the_instance_has_all_its_ends(
    site: Site, subject: Subject, nodes: Nodes, launched: list[Launch]
) -> None:
    smoke(site, subject)
    (launch,) = launched
    told = yaml.safe_load(launch.user_data)
    assert f'"idle_seconds": {IDLE}' in told["write_files"][0]["content"]
    assert "--on-active=1800" in told["bootcmd"][0]
    asked = launch.parameters()
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert float(launch.tags["annexkit:expires"]) > site.clock.time() + 1000


def test_the_cost_is_what_it_ran_and_is_said_before_and_after(
    site: Site, subject: Subject, nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = site.clock.monotonic()
    found = smoke(site, subject)
    spent = site.clock.monotonic() - begin
    assert found.cost == pytest.approx(0.36 / 3600 * spent, rel=0.1)
    said = capsys.readouterr().err
    assert "at most about $0.1800" in said
    assert f"about ${found.cost:.4f}" in said


def test_a_price_that_nobody_knows_is_not_a_price_of_nothing(
    site: Site, subject: Subject, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = site.settings.launch.model_copy(update={"hourly_price": {}})
    site.settings = site.settings.model_copy(update={"launch": launch})
    real = Cloud.call

    def call(cloud: Cloud, region: str, method: str, **asked: Any) -> Any:
        if method == "get_products":
            raise AwsError("no", code="Odd", action="GetProducts", region=region)
        return real(cloud, region, method, **asked)

    monkeypatch.setattr(Cloud, "call", call)
    assert smoke(site, subject).cost is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"failing": True}, "check 'condor' failed"),
        ({"jobless": True}, "no job was run"),
    ],
)
def test_a_failed_check_is_the_amis(
    site: Site, subject: Subject, nodes: Nodes, wrong: dict[str, bool], says: str
) -> None:
    for name, value in wrong.items():
        setattr(nodes, name, value)
    with pytest.raises(ProofError, match=says):
        smoke(site, subject)
    assert left(site) == []


def test_a_node_that_does_not_end_is_the_amis_and_is_ended(
    site: Site, subject: Subject, nodes: Nodes, clock: Living
) -> None:
    clock.after = 1e9
    with pytest.raises(ProofError, match="did not end by itself: it is running"):
        smoke(site, subject)
    assert IDLE + END <= clock.slept < 1800, "before its power-off timer could"
    assert left(site) == []


def test_an_end_by_another_hand_says_nothing_about_the_ami(
    site: Site, subject: Subject, nodes: Nodes, clock: Living
) -> None:
    clock.reason = "Client.UserInitiatedShutdown"
    with pytest.raises(SmokeError, match="UserInitiatedShutdown"):
        smoke(site, subject)
    assert left(site) == []


def test_checks_that_took_too_long_are_not_the_amis(
    site: Site, subject: Subject, nodes: Nodes, clock: Living
) -> None:
    nodes.during = lambda: clock.sleep(1500)
    with pytest.raises(SmokeError, match="too late to see it end"):
        smoke(site, subject)
    assert left(site) == []


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (SilentError("no host key"), True),
        (ssh.SshError("no", kind=ssh.Kind.REFUSED), True),
        (ssh.SshError("no", kind=ssh.Kind.NOT_LISTENING), True),
        (ssh.SshError("no", kind=ssh.Kind.UNREACHABLE), False),
        (ssh.SshError("no", kind=ssh.Kind.WRONG_HOST), False),
        (ssh.SshError("no", kind=ssh.Kind.GONE), False),
    ],
)
def test_who_is_to_blame_for_no_login(
    site: Site,
    subject: Subject,
    nodes: Nodes,
    error: AnnexkitError,
    ours: bool,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    nodes.patch.setattr(fresh_boot, "login", refuse)
    with pytest.raises(AnnexkitError) as caught:
        smoke(site, subject)
    assert isinstance(caught.value, ProofError) is ours
    gone = getattr(error, "kind", None) is ssh.Kind.GONE
    assert ("SMOKE_IDLE" in caught.value.mend) is gone
    assert left(site) == []


def refusing(
    monkeypatch: pytest.MonkeyPatch, code: str, times: int
) -> list[tuple[str, str]]:
    """Refuse the first launches; return the type and subnet of every one."""
    asked: list[tuple[str, str]] = []
    real = instances.run

    def run(cloud: Cloud, launch: Launch) -> list[str]:
        asked.append((launch.instance_type, launch.subnet_id))
        if len(asked) <= times:
            raise AwsError("no", code=code, action="Run", region=REGION, refused=True)
        return real(cloud, launch)

    monkeypatch.setattr(instances, "run", run)
    return asked


def test_without_capacity_the_next_zone_and_then_the_next_type_is_asked(
    site: Site, subject: Subject, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = len({t.zone for t in plan_smoke(site, REGION, "x86_64").targets})
    asked = refusing(monkeypatch, "InsufficientInstanceCapacity", zones)
    assert smoke(site, subject).instance_type == "t3.small"
    assert len(set(asked)) == len(asked) == zones + 1
    assert [kind for kind, _ in asked] == ["t3.micro"] * zones + ["t3.small"]
    assert left(site) == []


def test_a_quota_is_said_at_once_and_is_not_the_amis(
    site: Site, subject: Subject, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = refusing(monkeypatch, "VcpuLimitExceeded", 99)
    with pytest.raises(AwsError, match="VcpuLimitExceeded"):
        smoke(site, subject)
    assert len(asked) == 1
    assert left(site) == []


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_the_type_fits_the_architecture(site: Site, arch: str) -> None:
    plan = plan_smoke(site, REGION, arch)
    assert plan.instance_type == {"x86_64": "t3.micro", "arm64": "t4g.micro"}[arch]


def test_the_smallest_that_is_enough_is_taken_whatever_the_order(site: Site) -> None:
    settings(site, smoke_types=("m7i.large", "t3.nano", "t3.small", "t3.micro"))
    found = [t.instance_type for t in plan_smoke(site, REGION, "x86_64").targets]
    assert list(dict.fromkeys(found)) == ["t3.micro", "t3.small", "m7i.large"]


def test_too_little_memory_is_said(site: Site, subject: Subject) -> None:
    settings(site, smoke_types=("t3.nano",))
    with pytest.raises(SmokeError, match="has 512 MiB of memory") as caught:
        smoke(site, subject)
    assert "SMOKE_TYPES" in caught.value.mend


def test_a_region_without_a_default_vpc_says_so(site: Site, subject: Subject) -> None:
    ids = [
        said["SubnetId"]
        for said in site.cloud.pages(REGION, "describe_subnets", "Subnets")
    ]
    for one in ids:
        site.cloud.call(REGION, "delete_subnet", SubnetId=one)
    with pytest.raises(SmokeError, match="no default subnet") as caught:
        smoke(site, subject)
    assert caught.value.mend.startswith("aws ec2 create-default-subnet")
    (vpc,) = site.cloud.pages(REGION, "describe_vpcs", "Vpcs")
    site.cloud.call(REGION, "delete_vpc", VpcId=vpc["VpcId"])
    with pytest.raises(AnnexkitError, match="no default VPC"):
        smoke(site, subject)


def test_the_builders_subnet_is_used_where_it_is_and_nowhere_else(site: Site) -> None:
    subnets = list(site.cloud.pages(REGION, "describe_subnets", "Subnets"))
    one = str(subnets[-1]["SubnetId"])
    bake = site.settings.bake.model_copy(update={"subnet_id": one})
    site.settings = site.settings.model_copy(update={"bake": bake})
    assert {t.subnet for t in plan_smoke(site, REGION, "x86_64").targets} == {one}
    assert one not in {
        t.subnet for t in plan_smoke(site, "eu-west-1", "x86_64").targets
    }


@pytest.mark.parametrize(
    "short", [{"lifetime": 1000.0}, {"smoke_idle": 1200.0}, {"boot_timeout": 1700.0}]
)
def test_settings_that_leave_no_time_are_refused_before_anything(
    site: Site, subject: Subject, short: dict[str, float], launched: list[Launch]
) -> None:
    settings(site, **short)
    with pytest.raises(UsageError, match="too short"):
        smoke(site, subject)
    assert launched == [] and left(site) == []


def test_stopped_while_it_waits_for_the_end_it_ends_the_instance(
    site: Site, subject: Subject, nodes: Nodes, clock: Living
) -> None:
    waited: list[float] = []
    real = clock.sleep

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if clock.idle_since is not None and clock.slept > clock.idle_since + 30:
            clock.idle_since = None
            raise AnnexkitError("stopped")
        real(seconds)

    as_before: Callable[[float], None] = sleep
    clock.sleep = as_before  # type: ignore[method-assign]
    with pytest.raises(AnnexkitError, match="stopped"):
        smoke(site, subject)
    assert waited
    assert left(site) == []
