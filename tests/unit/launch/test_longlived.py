"""The whole set that annexes share: looked at, made once, mended."""

from __future__ import annotations

import pytest

from annexkit import network
from annexkit.aws import Cloud
from annexkit.launch import group, longlived, roles, schedule
from annexkit.launch.longlived import Needs, Piece, Wants
from annexkit.launch.policies import node_role
from tests.unit.helpers import ACCOUNT, REGION, FakeClock

WRITES = ("Create", "Put", "Add", "Update", "Delete", "Remove", "Authorize")


@pytest.fixture
def wants(cloud: Cloud) -> Wants:
    return Wants(REGION, network.vpc_of(cloud, REGION, ""), ("192.0.2.7/32",))


def ensure(cloud: Cloud, wants: Wants) -> Needs:
    return longlived.ensure(cloud, wants, poll=1, clock=FakeClock())


def test_looking_changes_nothing_and_says_all(cloud: Cloud, wants: Wants) -> None:
    pieces = longlived.look(cloud, wants)
    assert {piece.state for piece in pieces} == {"missing"}
    assert [str(piece) for piece in pieces] == [
        f"security group annexkit-annex in {wants.vpc} is made: "
        "22/tcp from 192.0.2.7/32",
        "IAM role annexkit-node and its profile is made",
        "IAM role annexkit-scheduler is made",
        f"schedule group annexkit in {REGION} is made",
    ]
    assert not [a for _, a in cloud.calls if a.startswith(WRITES)]


def test_a_launch_gets_what_it_names(cloud: Cloud, wants: Wants) -> None:
    needs = ensure(cloud, wants)
    [made] = group.find(cloud, REGION)
    arn = f"arn:aws:iam::{ACCOUNT}:role"
    assert needs == Needs(
        made.id,
        "annexkit-node",
        f"{arn}/annexkit-node",
        f"{arn}/annexkit-scheduler",
        needs.mended,
    )
    assert len(needs.mended) == 4
    assert {p.state for p in longlived.look(cloud, wants)} == {"there"}


def test_a_second_launch_changes_nothing(cloud: Cloud, wants: Wants) -> None:
    first = ensure(cloud, wants)
    cloud.calls.clear()
    second = ensure(cloud, wants)
    assert second.mended == ()
    assert second.group_id == first.group_id
    assert not [a for _, a in cloud.calls if a.startswith(WRITES)]


def test_what_a_launch_does_not_want_is_not_made(cloud: Cloud, wants: Wants) -> None:
    bare = Wants(REGION, wants.vpc, wants.ssh_cidrs, secret=False, scheduler=False)
    needs = ensure(cloud, bare)
    assert (needs.profile, needs.scheduler_role_arn) == ("", "")
    assert schedule.group_state(cloud, REGION) == ""
    assert roles.look(cloud, REGION, node_role(cloud, REGION)) is None


def test_what_differs_is_named_and_mended(cloud: Cloud, wants: Wants) -> None:
    ensure(cloud, wants)
    more = Wants(REGION, wants.vpc, ("198.51.100.0/24",))
    cloud.call(
        REGION,
        "delete_role_policy",
        service="iam",
        RoleName="annexkit-node",
        PolicyName=roles.POLICY,
    )
    found = {p.what.split(" in ")[0]: p for p in longlived.look(cloud, more)}
    there = found["security group annexkit-annex"]
    assert there.state == "differs"
    assert "22/tcp from 198.51.100.0/24 is missing" in there.detail
    role = found["IAM role annexkit-node and its profile"]
    assert role.detail == "the role annexkit-node has no policy 'annexkit'"
    assert len(ensure(cloud, more).mended) == 2
    assert {p.state for p in longlived.look(cloud, more)} == {"there"}


def test_what_others_let_in_is_told_and_changes_nothing(
    cloud: Cloud, wants: Wants
) -> None:
    ensure(cloud, Wants(REGION, wants.vpc, ("192.0.2.7/32", "203.0.113.0/24")))
    piece = longlived.look(cloud, wants)[0]
    assert piece == Piece(
        f"security group annexkit-annex in {wants.vpc}",
        "there",
        "22/tcp from 203.0.113.0/24 is let in, too",
    )
