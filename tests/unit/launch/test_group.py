"""The one security group of all annexes, against moto's EC2."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import network
from annexkit.aws import AwsError, Cloud
from annexkit.errors import Level, UsageError
from annexkit.launch import group
from annexkit.launch.group import Rule
from annexkit.network import NetworkError
from tests.unit.helpers import REGION, FakeClock

HOME = "192.0.2.7/32"
POOL = "198.51.100.0/24"


@pytest.fixture
def vpc(cloud: Cloud) -> str:
    return network.vpc_of(cloud, REGION, "")


def ensure(
    cloud: Cloud,
    vpc: str,
    ssh: tuple[str, ...] = (HOME,),
    pool: tuple[str, ...] | None = None,
) -> group.Group:
    return group.ensure(cloud, REGION, vpc, ssh, pool, poll=1, clock=FakeClock())


def foreign(cloud: Cloud, vpc: str) -> str:
    said = cloud.call(
        REGION,
        "create_security_group",
        GroupName=group.NAME,
        Description="mine",
        VpcId=vpc,
    )
    return str(said["GroupId"])


def test_a_group_is_made_once_with_what_is_asked_for(cloud: Cloud, vpc: str) -> None:
    assert group.look(cloud, REGION, vpc) is None
    made = ensure(cloud, vpc, (HOME, "2001:db8::/64"), (POOL,))
    there = group.look(cloud, REGION, vpc)
    assert there == made
    assert there.rules == {Rule(22, HOME), Rule(22, "2001:db8::/64"), Rule(9618, POOL)}
    assert there.tags == {"annexkit:set": "annex"}
    assert group.differences(there, (HOME, "2001:db8::/64"), (POOL,)) == []


def test_a_second_launch_changes_nothing(cloud: Cloud, vpc: str) -> None:
    first = ensure(cloud, vpc)
    cloud.calls.clear()
    assert ensure(cloud, vpc) == first
    assert {action for _, action in cloud.calls} == {"DescribeSecurityGroups"}


def test_with_ccb_nobody_reaches_htcondor(cloud: Cloud, vpc: str) -> None:
    assert {rule.port for rule in ensure(cloud, vpc, pool=None).rules} == {22}


def test_what_another_launch_needs_is_told_and_left(cloud: Cloud, vpc: str) -> None:
    ensure(cloud, vpc, ("203.0.113.0/24",))
    there = group.look(cloud, REGION, vpc)
    assert group.differences(there, (HOME,), (POOL,)) == [
        f"22/tcp from {HOME} is missing",
        f"9618/tcp from {POOL} is missing",
        "22/tcp from 203.0.113.0/24 is let in, too",
    ]
    assert ensure(cloud, vpc).rules == {Rule(22, HOME), Rule(22, "203.0.113.0/24")}
    assert group.look(cloud, REGION, vpc).rules == {  # type: ignore[union-attr]
        Rule(22, HOME),
        Rule(22, "203.0.113.0/24"),
    }


def test_rules_of_another_shape_are_told_in_words(cloud: Cloud, vpc: str) -> None:
    made = ensure(cloud, vpc)
    cloud.call(
        REGION,
        "authorize_security_group_ingress",
        GroupId=made.id,
        IpPermissions=[
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": made.id}]},
            {
                "IpProtocol": "udp",
                "FromPort": 1,
                "ToPort": 9,
                "IpRanges": [{"CidrIp": POOL}],
            },
        ],
    )
    there = group.look(cloud, REGION, vpc)
    assert sorted(group.differences(there, (HOME,), None)) == [
        f"1-9/udp from {POOL} is let in, too",
        f"all/-1 from {made.id} is let in, too",
    ]


def test_every_vpc_has_a_group_of_its_own(cloud: Cloud, vpc: str) -> None:
    other = cloud.call(REGION, "create_vpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert ensure(cloud, vpc).id != ensure(cloud, other).id
    assert {g.vpc for g in group.find(cloud, REGION)} == {vpc, other}


def test_a_group_of_another_hand_is_not_used(cloud: Cloud, vpc: str) -> None:
    theirs = foreign(cloud, vpc)
    with pytest.raises(NetworkError, match="not annexkit's") as caught:
        ensure(cloud, vpc)
    assert theirs in caught.value.where
    [left] = group.find(cloud, REGION)
    assert left.rules == frozenset()


def test_a_group_that_another_launch_makes_meanwhile_is_taken(
    cloud: Cloud, vpc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = group.look
    answers = [None]

    def look(*args: Any) -> group.Group | None:
        return answers.pop() if answers else real(*args)

    theirs = ensure(cloud, vpc, (POOL,))
    monkeypatch.setattr(group, "look", look)
    ours = ensure(cloud, vpc, (HOME,))
    assert ours.id == theirs.id
    assert ours.rules == {Rule(22, HOME), Rule(22, POOL)}


def test_a_rule_that_another_launch_adds_meanwhile_hides_no_other(
    cloud: Cloud, vpc: str, clock: FakeClock
) -> None:
    made = ensure(cloud, vpc, (HOME,))
    network.allow(cloud, REGION, made.id, [HOME, POOL], port=22, poll=1, clock=clock)
    assert group.find(cloud, REGION)[0].rules == {Rule(22, HOME), Rule(22, POOL)}


def test_a_refusal_goes_on(cloud: Cloud, vpc: str) -> None:
    call = cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "create_security_group":
            raise AwsError("no", code="Odd", action="X", region=region)
        return call(region, method, **arguments)

    cloud.call = refuse  # type: ignore[method-assign]
    with pytest.raises(AwsError, match="Odd"):
        ensure(cloud, vpc)


@pytest.mark.parametrize(
    ("ssh", "pool", "where"),
    [
        (("0.0.0.0/0",), None, ["launch.ssh_cidrs"]),
        (("::/0",), ("0.0.0.0/1",), ["launch.ssh_cidrs", "pool.cidrs"]),
        ((HOME,), (POOL,), []),
    ],
)
def test_what_is_open_to_the_world_is_a_warning(
    ssh: tuple[str, ...], pool: tuple[str, ...] | None, where: list[str]
) -> None:
    found = group.findings(ssh, pool)
    assert [f.where for f in found] == where
    assert {f.level for f in found} <= {Level.WARNING}


def test_a_source_that_is_no_network_names_its_setting() -> None:
    with pytest.raises(UsageError) as caught:
        group.wanted((HOME,), ("pool",))
    assert caught.value.where == "pool.cidrs"
