"""``invoke security-group`` against moto: shown, done once, taken back exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows.security_group import GroupRequest, open_group
from annexkit.flows.site import Site
from annexkit.network import NetworkError
from annexkit.registry import RegistryError
from annexkit.setup import security_group
from annexkit.setup.groups import Group
from tests.unit.flows.opening import (
    ASKED,
    HOME,
    LAB,
    UNDO,
    changes,
    default_group,
    everything,
    mine,
    there,
)
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def group(site: Site) -> Group:
    return default_group(site)


def told(site: Site, capsys: Captured, request: GroupRequest) -> dict[str, Any]:
    """Run with ``--json`` and return the document."""
    site.console = Console(as_json=True)
    open_group(site, request)
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict)
    return said


def test_what_is_missing_is_added_once(
    site: Site, group: Group, capsys: Captured
) -> None:
    asked = GroupRequest(cidrs=(HOME, LAB))
    assert open_group(site, asked) == Exit.DONE
    assert there(site, group) == {
        f"all traffic from {group.id}": True,
        f"22/tcp from {HOME}": True,
        f"22/tcp from {LAB}": True,
        f"9618/tcp from {HOME}": True,
        f"9618/tcp from {LAB}": True,
    }
    assert f"5 of 5 rules added to {group.id}" in capsys.readouterr().out
    before = everything(site)
    site.cloud.calls.clear()
    assert open_group(site, asked) == Exit.DONE
    assert "nothing to do" in capsys.readouterr().out
    assert changes(site) == []
    assert everything(site) == before
    assert site.journal.entries() == []


def test_all_six_of_the_guide_on_request(site: Site, group: Group) -> None:
    request = GroupRequest(cidrs=(HOME, LAB), rules="all")
    assert open_group(site, request) == Exit.DONE
    assert list(there(site, group)) == [
        f"all traffic from {group.id}",
        "all traffic from 172.31.0.0/16",
        f"22/tcp from {HOME}",
        f"22/tcp from {LAB}",
        f"all icmp from {HOME}",
        f"all icmpv6 from {LAB}",
        f"9618/udp from {HOME}",
        f"9618/udp from {LAB}",
        f"9618/tcp from {HOME}",
        f"9618/tcp from {LAB}",
    ]
    site.cloud.calls.clear()
    assert open_group(site, request) == Exit.DONE
    assert changes(site) == []


def test_undo_takes_back_exactly_what_was_added(
    site: Site, group: Group, capsys: Captured
) -> None:
    mine(site, group)
    mine(site, group, 443)
    before = everything(site)
    assert open_group(site, GroupRequest(cidrs=(HOME,), rules="all")) == Exit.DONE
    assert there(site, group)[f"22/tcp from {HOME}"] is False
    assert len(there(site, group)) == 7
    assert open_group(site, UNDO) == Exit.DONE
    assert everything(site) == before
    assert "5 rules taken back" in capsys.readouterr().out
    site.cloud.calls.clear()
    assert open_group(site, UNDO) == Exit.DONE
    assert "nothing to do" in capsys.readouterr().out
    assert changes(site) == []


def test_undo_takes_back_what_several_runs_added(site: Site, group: Group) -> None:
    open_group(site, ASKED)
    open_group(site, GroupRequest(cidrs=("198.51.100.7",), rules="ssh"))
    assert len(there(site, group)) == 4
    open_group(site, UNDO)
    assert there(site, group) == {}


def test_the_difference_names_whose_each_rule_is(
    site: Site, group: Group, capsys: Captured
) -> None:
    open_group(site, GroupRequest(cidrs=("198.51.100.7",), rules="ssh"))
    open_group(site, GroupRequest(rules="self"))
    mine(site, group)
    mine(site, group, 443)
    capsys.readouterr()
    said = told(site, capsys, GroupRequest(cidrs=(HOME,), dry_run=True))
    assert {(one["fate"], one["rule"]) for one in said["rules"]} == {
        ("there, ours", f"all traffic from {group.id}"),
        ("there, yours", f"22/tcp from {HOME}"),
        ("add", f"9618/tcp from {HOME}"),
        ("ours, from before", "22/tcp from 198.51.100.7/32"),
        ("yours", f"443/tcp from {HOME}"),
    }
    assert said["group"] == {"id": group.id, "name": "default", "vpc": group.vpc}
    assert said["left_out"] == ["vpc", "icmp", "condor-udp"]
    assert (said["dry_run"], said["added"], said["error"]) == (True, [], "")


def test_json_says_what_was_added_and_what_was_taken_back(
    site: Site, group: Group, capsys: Captured
) -> None:
    added = told(site, capsys, ASKED)["added"]
    assert added == [one.id for one in security_group.look(site.cloud, group)]
    assert len(added) == 3
    assert sorted(told(site, capsys, UNDO)["taken_back"]) == sorted(added)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_difference_is_shown_before_the_first_change(
    site: Site, capsys: Captured, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    site.console = Console(as_json=as_json)
    call = site.cloud.call
    seen: list[str] = []

    def watch(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "authorize_security_group_ingress":
            said = capsys.readouterr()
            seen.append(said.out + said.err)
        return call(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", watch)
    open_group(site, ASKED)
    for rule in (f"22/tcp from {HOME}", f"9618/tcp from {HOME}", "all traffic from"):
        assert rule in seen[0]
    assert "left out, rule 5 of the guide, condor-udp" in seen[0]


@pytest.mark.parametrize("undo", [False, True])
def test_a_dry_run_changes_nothing_and_writes_nothing(
    site: Site, group: Group, capsys: Captured, undo: bool
) -> None:
    if undo:
        open_group(site, ASKED)
    before = everything(site)
    site.cloud.calls.clear()
    request = GroupRequest(cidrs=() if undo else (HOME,), undo=undo, dry_run=True)
    assert open_group(site, request) == Exit.DONE
    said = "would be taken back" if undo else "3 rules would be added"
    assert said in capsys.readouterr().out
    assert changes(site) == []
    assert everything(site) == before
    assert site.journal.entries() == []


def test_open_to_the_world_is_said_loudly(
    site: Site, group: Group, capsys: Captured
) -> None:
    assert open_group(site, GroupRequest(world_open=True)) == Exit.DONE
    loud = capsys.readouterr().err
    assert loud.count("WILL BE OPEN TO EVERYBODY ON THE INTERNET") == 2
    assert f"--group {group.id} --region {REGION} --undo" in loud
    said = told(site, capsys, GroupRequest(world_open=True))
    assert said["world_open"] == ["22/tcp from 0.0.0.0/0", "9618/tcp from 0.0.0.0/0"]
    open_group(site, GroupRequest(world_open=True))
    assert capsys.readouterr().err.count("IS OPEN TO EVERYBODY") == 2


def test_a_world_of_the_users_own_is_not_ours_to_take_back(
    site: Site, group: Group, capsys: Captured
) -> None:
    mine(site, group, 22, "0.0.0.0/0")
    open_group(site, GroupRequest(world_open=True, rules="ssh"))
    said = capsys.readouterr()
    assert "remove the rule, it is yours" in said.err
    assert "nothing to do" in said.out


def test_only_what_this_run_added_counts_as_added(
    site: Site, group: Group, capsys: Captured
) -> None:
    first = told(site, capsys, ASKED)["added"]
    more = told(site, capsys, GroupRequest(cidrs=(HOME, LAB)))["added"]
    assert (len(first), len(more)) == (3, 2)
    assert not set(first) & set(more)


def test_a_world_that_was_not_asked_for_is_not_judged(
    site: Site, group: Group, capsys: Captured
) -> None:
    mine(site, group, 443, "0.0.0.0/0")
    said = told(site, capsys, GroupRequest(world_open=True, rules="ssh"))
    assert said["world_open"] == ["22/tcp from 0.0.0.0/0"]


def test_a_named_network_is_not_the_world(site: Site, capsys: Captured) -> None:
    assert told(site, capsys, ASKED)["world_open"] == []
    open_group(site, ASKED)
    assert "EVERYBODY" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (GroupRequest(), "nobody is named"),
        (GroupRequest(cidrs=("0.0.0.0/0",)), "that is the internet"),
        (GroupRequest(cidrs=("192.0.2.9/24",)), "not a network"),
        (GroupRequest(group=" ", cidrs=(HOME,)), "without a word"),
        (GroupRequest(undo=True, cidrs=(HOME,)), "takes back all"),
        (GroupRequest(undo=True, world_open=True), "takes back all"),
        (GroupRequest(undo=True, rules="ssh"), "takes back all"),
        (GroupRequest(cidrs=(HOME,), region="us-west-9"), "unknown region"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_call(
    site: Site, request_: GroupRequest, match: str
) -> None:
    site.cloud.calls.clear()
    with pytest.raises(UsageError, match=match):
        open_group(site, request_)
    assert not site.cloud.calls


def test_the_registry_of_another_account_stops_it(site: Site) -> None:
    text = site.registry.path.read_text().replace("123456789012", "999999999999")
    site.registry.path.write_text(text)
    with pytest.raises(RegistryError):
        open_group(site, ASKED)
    assert changes(site) == []


def test_a_group_that_is_not_there_changes_nothing(site: Site) -> None:
    with pytest.raises(NetworkError, match="no security group"):
        open_group(site, GroupRequest(group="nothing", cidrs=(HOME,)))
    assert changes(site) == []


def test_another_group_is_left_alone(site: Site, group: Group) -> None:
    other = site.cloud.call(
        REGION,
        "create_security_group",
        GroupName="pool",
        Description="x",
        VpcId=group.vpc,
    )["GroupId"]
    open_group(site, GroupRequest(group="pool", cidrs=(HOME,)))
    open_group(site, ASKED)
    assert open_group(site, GroupRequest(group=other, undo=True)) == Exit.DONE
    assert there(site, Group(other, "pool", group.vpc, REGION)) == {}
    assert len(there(site, group)) == 3
