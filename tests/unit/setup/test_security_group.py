"""Rules in a group against moto's EC2: which are ours, and only those go."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.setup import groups, rules, security_group
from annexkit.setup.groups import Group
from annexkit.setup.rules import ALL, ANY, Rule
from annexkit.setup.security_group import Fate, Found
from annexkit.waiting import Deadline
from tests.unit.helpers import REGION, FakeClock

HOME = "192.0.2.0/24"
LAB = "2001:db8::/48"
SSH = Rule("tcp", 22, 22, HOME)


@pytest.fixture
def group(cloud: Cloud) -> Group:
    return groups.choose(cloud, REGION, "default", "")


def take_back(cloud: Cloud, group: Group, ids: list[str]) -> list[str]:
    return security_group.take_back(cloud, group, ids, poll=1, clock=FakeClock())


def by_hand(cloud: Cloud, group: Group, rule: Rule = SSH) -> None:
    """Add a rule as a person does, without a tag of ours."""
    cloud.call(
        REGION,
        "authorize_security_group_ingress",
        GroupId=group.id,
        IpPermissions=[security_group._permission(rule, "mine")],
    )


@pytest.mark.parametrize(
    "rule",
    [
        SSH,
        Rule("tcp", 22, 22, LAB),
        Rule("udp", 9618, 9618, HOME),
        Rule("icmp", ALL, ALL, HOME),
        Rule("icmpv6", ALL, ALL, LAB),
        Rule(ANY, ALL, ALL, HOME),
    ],
    ids=str,
)
def test_a_rule_is_read_back_as_it_was_added(
    cloud: Cloud, group: Group, rule: Rule
) -> None:
    assert security_group.add(cloud, group, rule, "x")
    [found] = security_group.look(cloud, group)
    assert (found.rule, found.tag) == (rule, f"x {rule}")
    assert found.ours and not found.changed


def test_a_rule_for_the_group_itself_names_the_group(
    cloud: Cloud, group: Group
) -> None:
    security_group.add(cloud, group, Rule(ANY, ALL, ALL, group.id), "self")
    said = cloud.call(REGION, "describe_security_groups", GroupIds=[group.id])
    [permission] = said["SecurityGroups"][0]["IpPermissions"]
    assert permission["IpProtocol"] == "-1"
    assert permission["UserIdGroupPairs"][0]["GroupId"] == group.id
    [found] = security_group.look(cloud, group)
    assert found.ours and found.rule.source == group.id


def test_what_goes_out_is_none_of_our_business(cloud: Cloud, group: Group) -> None:
    said = cloud.call(REGION, "describe_security_group_rules")["SecurityGroupRules"]
    assert any(one["IsEgress"] and one["GroupId"] == group.id for one in said)
    assert security_group.look(cloud, group) == []


def test_a_rule_of_another_group_is_not_of_this_one(cloud: Cloud, group: Group) -> None:
    other = cloud.call(
        REGION, "create_security_group", GroupName="o", Description="x", VpcId=group.vpc
    )["GroupId"]
    security_group.add(cloud, Group(other, "o", group.vpc, REGION), SSH, "ssh")
    assert security_group.look(cloud, group) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"IpProtocol": "58", "FromPort": -1, "ToPort": -1, "CidrIpv6": "::/0"},
            Rule("icmpv6", ALL, ALL, "::/0"),
        ),
        (
            {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 9, "PrefixListId": "pl-1"},
            Rule("tcp", 1, 9, "pl-1"),
        ),
        (
            {"IpProtocol": "-1", "CidrIpv6": "2001:DB8:0:0::/48"},
            Rule(ANY, ALL, ALL, LAB),
        ),
    ],
)
def test_rules_that_moto_never_shows_are_read(
    said: dict[str, Any], expected: Rule
) -> None:
    found = security_group._read({"SecurityGroupRuleId": "sgr-1", **said})
    assert found == Found("sgr-1", expected)


def test_a_rule_of_the_users_that_says_the_same_stays_theirs(
    cloud: Cloud, group: Group
) -> None:
    by_hand(cloud, group)
    assert security_group.add(cloud, group, SSH, "ssh") is False
    [found] = security_group.look(cloud, group)
    assert not found.ours and not found.changed
    assert take_back(cloud, group, [found.id]) == []
    assert security_group.look(cloud, group) == [found]


def test_only_a_duplicate_is_passed_over(cloud: Cloud, group: Group) -> None:
    gone = Group("sg-0123456789abcdef0", "x", group.vpc, REGION)
    with pytest.raises(AwsError) as caught:
        security_group.add(cloud, gone, SSH, "ssh")
    assert caught.value.code == "InvalidGroup.NotFound"


def test_the_difference_tells_whose_a_rule_is() -> None:
    wanted = rules.wanted(
        rules.chosen("ssh"), [HOME, LAB, "10.0.0.0/8"], group="", vpc=()
    )
    same, ours, missing = wanted
    before = Rule("tcp", 9618, 9618, HOME)
    mine = Rule("tcp", 443, 443, HOME)
    moved = Rule("tcp", 22, 22, "198.51.100.0/24")
    found = [
        Found("sgr-1", same),
        Found("sgr-2", ours, f"ssh {ours}"),
        Found("sgr-3", before, f"condor {before}"),
        Found("sgr-4", mine),
        Found("sgr-5", moved, f"ssh {before}"),
    ]
    lines = security_group.difference(wanted, found)
    assert [(line.fate, line.rule, line.name, line.id) for line in lines] == [
        (Fate.SAME, same, "ssh", "sgr-1"),
        (Fate.OURS, ours, "ssh", "sgr-2"),
        (Fate.ADD, missing, "ssh", ""),
        (Fate.MORE, before, "", "sgr-3"),
        (Fate.YOURS, mine, "", "sgr-4"),
        (Fate.CHANGED, moved, "", "sgr-5"),
    ]
    assert [line.fate for line in security_group.way_back(found)] == [
        *(Fate.YOURS, Fate.BACK, Fate.BACK, Fate.YOURS, Fate.CHANGED)
    ]


def test_a_rule_of_ours_that_somebody_changed_is_not_taken_back(
    cloud: Cloud, group: Group
) -> None:
    security_group.add(cloud, group, SSH, "ssh")
    [before] = security_group.look(cloud, group)
    cloud.call(
        REGION,
        "modify_security_group_rules",
        GroupId=group.id,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": before.id,
                "SecurityGroupRule": {
                    "IpProtocol": "tcp",
                    "FromPort": 22,
                    "ToPort": 22,
                    "CidrIpv4": "198.51.100.0/24",
                },
            }
        ],
    )
    [now] = security_group.look(cloud, group)
    assert now.changed and now.id == before.id
    assert take_back(cloud, group, [before.id]) == []
    assert security_group.look(cloud, group) == [now]


def test_what_vanished_before_the_call_keeps_nothing_else(
    cloud: Cloud, group: Group
) -> None:
    condor = Rule("tcp", 9618, 9618, HOME)
    for rule in (SSH, condor):
        security_group.add(cloud, group, rule, "x")
    ids = {one.rule: one.id for one in security_group.look(cloud, group)}
    call = cloud.call
    raced: list[str] = []

    def race(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "revoke_security_group_ingress" and not raced:
            raced.append(method)
            call(region, method, GroupId=group.id, SecurityGroupRuleIds=[ids[SSH]])
        return call(region, method, **arguments)

    cloud.call = race  # type: ignore[method-assign]
    assert take_back(cloud, group, list(ids.values())) == [ids[condor]]
    assert raced and security_group.look(cloud, group) == []


def test_a_refusal_to_revoke_goes_on(cloud: Cloud, group: Group) -> None:
    security_group.add(cloud, group, SSH, "ssh")
    [found] = security_group.look(cloud, group)
    call = cloud.call
    asked: list[str] = []

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "revoke_security_group_ingress":
            asked.append(method)
            raise AwsError("no", code="Odd", action="X", region=region, refused=True)
        return call(region, method, **arguments)

    cloud.call = refuse  # type: ignore[method-assign]
    with pytest.raises(AwsError, match="Odd"):
        take_back(cloud, group, [found.id])
    assert len(asked) == 1


def test_new_rules_are_waited_for(
    cloud: Cloud, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    security_group.add(cloud, group, SSH, "ssh")
    late = [[], security_group.look(cloud, group)]
    monkeypatch.setattr(security_group, "look", lambda *_: late.pop(0))
    clock = FakeClock()
    [found] = security_group.wait_added(cloud, group, [SSH], poll=2, clock=clock)
    assert found.rule == SSH
    assert clock.slept == 2


def test_a_rule_that_comes_without_our_tag_is_no_success(
    cloud: Cloud, group: Group
) -> None:
    by_hand(cloud, group)
    with pytest.raises(Deadline, match=tags.RULE) as caught:
        security_group.wait_added(cloud, group, [SSH], poll=1, clock=FakeClock())
    assert group.id in caught.value.mend
