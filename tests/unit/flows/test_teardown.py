"""``invoke teardown`` against moto: the set goes, and nothing while annexes live."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from annexkit import network, tags
from annexkit.aws import AwsError
from annexkit.console import Console
from annexkit.errors import Exit, FindingsError, UsageError
from annexkit.flows.site import Site
from annexkit.flows.teardown import teardown
from annexkit.instances import as_tags
from annexkit.journal import Process
from annexkit.launch import group, longlived, parameter, roles, schedule
from annexkit.launch.longlived import Wants
from annexkit.launch.parameter import Parameter
from annexkit.launch.policies import node_role, scheduler_role
from annexkit.launch.schedule import Schedule
from annexkit.settings import Settings
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.helpers import REGION, an_entry

Captured = pytest.CaptureFixture[str]
LAUNCH = "0123456789ab"
OTHER = "us-east-1"
EVERYTHING = [
    ("schedule", f"{LAUNCH}-i-1"),
    ("schedule-group", "annexkit"),
    ("parameter", f"/annexkit/grid/{LAUNCH}"),
    ("iam-role", "annexkit-node"),
    ("iam-role", "annexkit-scheduler"),
]


def make(site: Site, region: str = REGION) -> str:
    """Make the set as a launch does, with what a killed one leaves; its group's id."""
    vpc = network.vpc_of(site.cloud, region, "")
    wants = Wants(region, vpc, ("192.0.2.7/32",))
    needs = longlived.ensure(site.cloud, wants, poll=1, clock=site.clock)
    one = Schedule(LAUNCH, "i-1", site.clock.time() + 60)
    schedule.create(
        site.cloud, region, one, needs.scheduler_role_arn, poll=1, clock=site.clock
    )
    secret = Parameter("grid", LAUNCH, site.clock.time() - 1)
    parameter.put(site.cloud, region, secret, "secret")
    return needs.group_id


def in_both_regions(site: Site) -> None:
    site.settings = Settings.model_validate(
        {
            **site.settings.model_dump(exclude_unset=True),
            "bake": {"regions": [REGION, OTHER]},
        }
    )


def node(site: Site, name: str, region: str = REGION) -> str:
    said = site.cloud.call(
        region,
        "run_instances",
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": as_tags({tags.ANNEX: name, tags.LAUNCH: LAUNCH}),
            }
        ],
    )
    return str(said["Instances"][0]["InstanceId"])


def left(site: Site, region: str = REGION) -> list[str]:
    """Return what is there of the set."""
    cloud = site.cloud
    found = [g.id for g in group.find(cloud, region)]
    found += schedule.names(cloud, region)
    found += [schedule.group_state(cloud, region)]
    found += [p.name for p in parameter.listed(cloud, region)]
    wanted = (node_role(cloud, region), scheduler_role(cloud, region))
    found += [r.name for r in wanted if roles.anything(cloud, region, r)]
    return [one for one in found if one]


def test_the_whole_set_goes_and_a_second_time_nothing_is_there(
    site: Site, capsys: Captured
) -> None:
    made = make(site)
    assert teardown(site, yes=True) == Exit.DONE
    assert left(site) == []
    told = capsys.readouterr().err
    assert f"removed security-group {made}" in told
    assert "removed iam-role annexkit-node" in told
    assert teardown(site, yes=True) == Exit.DONE
    assert "no things to remove" in capsys.readouterr().out


def test_a_dry_run_lists_and_removes_nothing(site: Site, capsys: Captured) -> None:
    made = make(site)
    site.console = Console(as_json=True)
    assert teardown(site, dry_run=True) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert {(f["kind"], f["id"]) for f in told["found"]} == {
        *EVERYTHING,
        ("security-group", made),
    }
    assert {f["fate"] for f in told["found"]} == {"remove"}
    assert told["removed"] == []
    assert len(left(site)) == 6


def test_what_was_removed_is_in_the_json(site: Site, capsys: Captured) -> None:
    make(site)
    site.console = Console(as_json=True)
    assert teardown(site, yes=True) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert len(told["removed"]) == 6
    assert told["failed"] == {}


@pytest.mark.parametrize("region", [REGION, OTHER])
def test_while_an_annex_lives_nothing_goes(site: Site, region: str) -> None:
    make(site)
    in_both_regions(site)
    node(site, "grid", region)
    with pytest.raises(FindingsError, match="annex grid has 1 nodes") as caught:
        teardown(site, yes=True)
    [finding] = caught.value.findings
    assert finding.mend == f"invoke terminate --annex-name grid --region {region}"
    assert len(left(site)) == 6


def test_every_annex_in_the_way_is_named(site: Site) -> None:
    make(site)
    for name in ("grid", "grid", "other"):
        node(site, name)
    with pytest.raises(FindingsError) as caught:
        teardown(site, yes=True)
    assert [f.what for f in caught.value.findings] == [
        "annex grid has 2 nodes",
        "annex other has 1 nodes",
    ]


def test_an_ended_annex_is_not_in_the_way(site: Site) -> None:
    make(site)
    gone = node(site, "grid")
    site.cloud.call(REGION, "terminate_instances", InstanceIds=[gone])
    assert teardown(site, yes=True) == Exit.DONE
    assert left(site) == []


@pytest.mark.parametrize(("owner", "refused"), [(ALIVE, True), (GONE, False)])
def test_a_launch_under_way_is_in_the_way(
    site: Site, owner: Process, refused: bool
) -> None:
    make(site)
    site.journal.write(an_entry(owner, kind="launch", launch=LAUNCH, annex="grid"))
    if not refused:
        assert teardown(site, yes=True) == Exit.DONE
        return
    with pytest.raises(FindingsError, match="annex grid is being launched") as caught:
        teardown(site, yes=True)
    assert f"kill {owner.pid}" in caught.value.findings[0].mend


def test_a_secret_within_its_time_stays(site: Site, capsys: Captured) -> None:
    fresh = Parameter("other", LAUNCH, site.clock.time() + 60)
    make(site)
    parameter.put(site.cloud, REGION, fresh, "secret")
    assert teardown(site, yes=True) == Exit.DONE
    assert left(site) == [fresh.name]
    assert "a launch may use it" in capsys.readouterr().out


def test_the_roles_stay_while_another_region_has_a_group(
    site: Site, capsys: Captured
) -> None:
    make(site)
    make(site, OTHER)
    in_both_regions(site)
    assert teardown(site, yes=True) == Exit.DONE
    assert left(site) == ["annexkit-node", "annexkit-scheduler"]
    assert f"annexes may start in {OTHER}" in capsys.readouterr().out
    assert len(left(site, OTHER)) == 6
    assert teardown(site, (OTHER,), yes=True) == Exit.DONE
    assert left(site, OTHER) == []


def test_all_removes_the_roles_nevertheless(site: Site) -> None:
    make(site)
    make(site, OTHER)
    in_both_regions(site)
    assert teardown(site, everywhere=True, yes=True) == Exit.DONE
    assert left(site) == []


def test_a_region_that_cannot_be_asked_keeps_the_roles(
    site: Site, capsys: Captured
) -> None:
    make(site)
    in_both_regions(site)
    pages = site.cloud.pages

    def refuse(region: str, method: str, key: str, **arguments: Any) -> Any:
        if region == OTHER:
            raise AwsError("no", code="OptInRequired", action="X", region=region)
        return pages(region, method, key, **arguments)

    site.cloud.pages = refuse  # type: ignore[method-assign]
    assert teardown(site, yes=True) == Exit.PARTLY
    assert left(site) == ["annexkit-node", "annexkit-scheduler"]
    assert f"warning: {OTHER}" in capsys.readouterr().err


def test_what_is_not_ours_stays(site: Site) -> None:
    vpc = network.vpc_of(site.cloud, REGION, "")
    theirs = site.cloud.call(
        REGION,
        "create_security_group",
        GroupName=group.NAME,
        Description="mine",
        VpcId=vpc,
    )["GroupId"]
    site.cloud.call(
        REGION,
        "create_role",
        service="iam",
        RoleName="annexkit-node",
        AssumeRolePolicyDocument="{}",
    )
    assert teardown(site, yes=True) == Exit.DONE
    assert [g.id for g in group.find(site.cloud, REGION)] == [theirs]
    said = site.cloud.call(REGION, "get_role", service="iam", RoleName="annexkit-node")
    assert said["Role"]["RoleName"] == "annexkit-node"


def holding(site: Site, times: int) -> None:
    """Let an ended instance hold the security group for so many tries."""
    call = site.cloud.call
    tries: list[str] = []

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "delete_security_group" and len(tries) < times:
            tries.append(method)
            raise AwsError("held", code="DependencyViolation", action="X", region="")
        return call(region, method, **arguments)

    site.cloud.call = refuse  # type: ignore[method-assign]


def test_a_group_that_an_ended_instance_holds_is_waited_for(site: Site) -> None:
    make(site)
    holding(site, 5)
    assert teardown(site, yes=True) == Exit.DONE
    assert left(site) == []


def test_a_group_that_is_held_for_good_stops_no_other(
    site: Site, capsys: Captured
) -> None:
    made = make(site)
    holding(site, 10_000)
    assert teardown(site, yes=True) == Exit.PARTLY
    assert left(site) == [made]
    assert f"error: {made}" in capsys.readouterr().err


def test_nobody_here_to_ask_means_nothing_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(site)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="nobody is here to ask") as caught:
        teardown(site)
    assert caught.value.mend == "invoke teardown --yes"
    assert len(left(site)) == 6


@pytest.mark.parametrize(("answer", "count"), [("y", 0), ("", 6), ("no", 6)])
def test_a_person_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch, answer: str, count: int
) -> None:
    make(site)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert teardown(site) == Exit.DONE
    assert len(left(site)) == count


def test_an_annex_that_came_while_the_question_stood_is_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(site)

    def ask(_: str) -> str:
        node(site, "late")
        return "y"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ask)
    with pytest.raises(FindingsError, match="annex late"):
        teardown(site)
    assert len(left(site)) == 6


def test_a_region_that_nobody_knows_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="unknown region"):
        teardown(site, ("us-west-9",), yes=True)
