"""The managed policy of persons, against moto's IAM."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.launch.group import SET
from annexkit.rights import documents
from annexkit.rights.words import Document, Place
from annexkit.setup import managed
from annexkit.setup.managed import Managed, PolicyError, Standing, Version
from tests.unit.helpers import ACCOUNT, REGION, FakeClock

PLACE = Place(ACCOUNT)
WRITES = ("Create", "Delete", "Put", "Set", "Tag")


def may(action: str) -> Document:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def wanted(action: str = "ec2:DescribeImages") -> Managed:
    return managed.managed("annexkit-person", may(action), PLACE, SET)


def iam(cloud: Cloud, method: str, **arguments: Any) -> dict[str, Any]:
    return cloud.call(REGION, method, service="iam", **arguments)


def ensure(cloud: Cloud, policy: Managed) -> list[str]:
    """Make it so; return the calls that changed something."""
    before = cloud.calls.copy()
    managed.ensure(cloud, REGION, policy, poll=1, clock=FakeClock())
    return [a for _, a in (cloud.calls - before) if a.startswith(WRITES)]


def planned(cloud: Cloud, policy: Managed) -> list[str]:
    return managed.planned(policy, managed.look(cloud, REGION, policy))


def version_ids(cloud: Cloud) -> list[str]:
    said = iam(cloud, "list_policy_versions", PolicyArn=wanted().arn)["Versions"]
    return sorted(one["VersionId"] for one in said)


def test_a_policy_is_made_once_and_tagged(cloud: Cloud) -> None:
    assert planned(cloud, wanted()) == ["CreatePolicy"]
    assert ensure(cloud, wanted()) == ["CreatePolicy"]
    said = iam(cloud, "get_policy", PolicyArn=wanted().arn)["Policy"]
    assert said["Arn"] == f"arn:aws:iam::{ACCOUNT}:policy/annexkit-person"
    assert said["Tags"] == [{"Key": "annexkit:set", "Value": "annex"}]
    assert planned(cloud, wanted()) == []
    assert ensure(cloud, wanted()) == []


def test_what_changed_becomes_the_version_in_use(cloud: Cloud) -> None:
    ensure(cloud, wanted())
    other = wanted("ec2:DescribeVpcs")
    assert planned(cloud, other) == ["CreatePolicyVersion"]
    assert ensure(cloud, other) == ["CreatePolicyVersion"]
    standing = managed.look(cloud, REGION, other)
    assert standing and standing.policy == other.policy
    assert version_ids(cloud) == ["v1", "v2"]


def test_of_five_versions_the_oldest_not_in_use_goes(cloud: Cloud) -> None:
    ensure(cloud, wanted())
    for n in range(2, 6):
        ensure(cloud, wanted(f"ec2:Describe{n}"))
    iam(
        cloud,
        "set_default_policy_version",
        PolicyArn=wanted().arn,
        VersionId="v1",
    )
    other = wanted("ec2:DescribeVpcs")
    calls = ["DeletePolicyVersion", "CreatePolicyVersion"]
    assert planned(cloud, other) == calls
    assert sorted(ensure(cloud, other)) == sorted(calls)
    assert version_ids(cloud) == ["v1", "v3", "v4", "v5", "v6"]
    standing = managed.look(cloud, REGION, other)
    assert standing and standing.policy == other.policy


def test_of_four_versions_none_goes() -> None:
    four = tuple(Version(f"v{n}", "2024", n == 4) for n in range(1, 5))
    assert Standing({}, four).surplus is None
    five = (*four, Version("v10", "2024", False), Version("v9", "2024", False))
    surplus = Standing({}, five[1:]).surplus
    assert surplus and surplus.id == "v2"
    late = (five[3], Version("v10", "2024", False), Version("v9", "2024", False))
    among = Standing(
        {}, (*late, Version("v11", "2024", False), Version("v12", "2024", True))
    )
    assert among.surplus and among.surplus.id == "v9"


def test_a_policy_of_another_hand_is_not_touched(cloud: Cloud) -> None:
    text = json.dumps(may("s3:GetObject"))
    iam(cloud, "create_policy", PolicyName="annexkit-person", PolicyDocument=text)
    for act in (ensure, planned):
        with pytest.raises(PolicyError, match="not annexkit's") as caught:
            act(cloud, wanted())
        assert "annexkit:set=annex" in caught.value.mend
    assert version_ids(cloud) == ["v1"]


def test_what_is_larger_than_iam_takes_is_refused_before_any_call() -> None:
    fits = may("x" * (documents.MOST_OF_MANAGED - documents.size(may(""))))
    assert managed.managed("p", fits, PLACE, SET).policy == fits
    over = may("x" * (documents.MOST_OF_MANAGED - documents.size(may("")) + 1))
    with pytest.raises(PolicyError, match="6145 characters, IAM takes 6144"):
        managed.managed("p", over, PLACE, SET)


def test_a_policy_that_iam_hides_for_a_moment_is_waited_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    real = managed.look
    answers = [None, None, None]
    monkeypatch.setattr(
        managed, "look", lambda *args: answers.pop() if answers else real(*args)
    )
    managed.ensure(cloud, REGION, wanted(), poll=5, clock=clock)
    assert clock.slept == 10
