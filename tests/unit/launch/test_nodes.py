"""The launch engine: each answer of EC2 has its own consequence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.errors import Level
from annexkit.launch.nodes import found_by_token, launch_nodes
from tests.unit.helpers import REGION, FakeClock
from tests.unit.launch.fake_ec2 import (
    FULL,
    PACE,
    A,
    B,
    Event,
    FakeEc2,
    launch,
    loses,
    order,
    refuses,
    target,
)

CAPACITY = "InsufficientInstanceCapacity"
LIMIT = "RequestLimitExceeded"
PROFILE = refuses("InvalidParameterValue", "Invalid IAM Instance Profile name")


def asked(ec2: FakeEc2) -> list[tuple[str, int]]:
    return [(sent.subnet_id[-1], sent.count) for sent in ec2.history]


def test_nodes_come_in_batches_of_at_most_100_each_with_a_token_of_its_own(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock)
    launched = launch(ec2, tmp_path, 250)
    assert asked(ec2) == [("a", 100), ("a", 100), ("a", 50)]
    assert len(set(launched.ids)) == 250
    assert len({sent.token for sent in ec2.history}) == 3
    assert all(sent.token.startswith("grid_") for sent in ec2.history)
    assert (launched.missing, launched.errors, launched.findings()) == (0, {}, [])
    assert launched.by_market() == {"m7i.large/on-demand": 250}
    assert clock.slept == 0


def test_the_longest_name_still_fits_into_a_token(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock)
    long = replace(order(1), annex="n" * 27)
    launch_nodes(long, ec2.doors(tmp_path))
    assert len(ec2.history[0].token) == 64


@pytest.mark.parametrize("count", [1000, 10_000])
def test_a_hundred_nodes_cost_one_call_however_many_there_are(
    clock: FakeClock, tmp_path: Path, count: int
) -> None:
    ec2 = FakeEc2(clock)
    launched = launch(ec2, tmp_path, count)
    assert len(launched.ids) == count
    assert ec2.calls == {"run": count // 100}


def test_a_zone_without_capacity_is_left_for_the_next_and_for_the_next_run(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses(CAPACITY)])
    assert launch(ec2, tmp_path, 2).missing == 0
    again = FakeEc2(clock)
    launched = launch(again, tmp_path, 2)
    assert asked(ec2) == [("a", 2), ("b", 2)]
    assert asked(again) == [("b", 2)]
    assert list(launched.skipped) == [A]
    assert launched.skipped[A].code == CAPACITY
    clock.sleep(601)
    later = FakeEc2(clock)
    launch(later, tmp_path, 2)
    assert asked(later) == [("a", 2)]


def test_fewer_than_asked_is_an_answer_and_the_rest_is_asked_elsewhere(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [Event(3), Event(0), Event(2)])
    launched = launch(ec2, tmp_path, 10)
    assert asked(ec2) == [("a", 10), ("b", 7), ("c", 7)]
    assert (len(launched.ids), launched.missing) == (5, 5)
    assert launched.stopped_by is None


def test_no_capacity_anywhere_is_a_result_with_a_reason(
    clock: FakeClock, tmp_path: Path
) -> None:
    launched = launch(FakeEc2(clock, [refuses(CAPACITY)] * 3), tmp_path, 2)
    assert launched.missing == 2
    assert launched.errors == {CAPACITY: 3}
    [found] = launched.findings()
    assert "3 times" in found.what
    assert "--instance-type" in found.mend


def test_a_quota_stops_all_types_under_it_in_its_market_and_no_others(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses("VcpuLimitExceeded")])
    other = target("a", "c6i.large")
    apart = target("a", "g5.xlarge")
    launched = launch(ec2, tmp_path, 1, A, other, B, apart)
    assert [sent.instance_type for sent in ec2.history] == ["m7i.large", "g5.xlarge"]
    assert set(launched.skipped) == {other, B}


def test_a_full_subnet_is_skipped_for_every_type_and_only_in_this_run(
    clock: FakeClock, tmp_path: Path
) -> None:
    other = target("a", "c6i.large")
    ec2 = FakeEc2(clock, [refuses("InsufficientFreeAddressesInSubnet")])
    launch(ec2, tmp_path, 1, A, other, B)
    assert asked(ec2) == [("a", 1), ("b", 1)]
    again = FakeEc2(clock)
    launch(again, tmp_path, 1, A)
    assert asked(again) == [("a", 1)]


def test_throttling_is_waited_out_with_the_same_token_and_longer_each_time(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses(LIMIT)] * 5)
    launched = launch(ec2, tmp_path, 2)
    assert len(ec2.made) == 1
    assert len({sent.token for sent in ec2.history}) == 1
    assert clock.slept == pytest.approx(0.75 * (1 + 2 + 4 + 8 + 15))
    assert (launched.missing, launched.errors) == (0, {LIMIT: 5})


def test_throttling_without_end_ends_the_launch(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses(LIMIT)] * 1000)
    launched = launch(ec2, tmp_path, 2)
    assert clock.slept == pytest.approx(PACE.patience)
    assert len({sent.token for sent in ec2.history}) == 1
    assert launched.stopped_by is not None
    assert LIMIT in launched.stopped_by.where
    assert launched.unsettled == []


@pytest.mark.parametrize("code", ["ReadTimeoutError", "InternalError", "Unavailable"])
def test_a_lost_answer_is_asked_for_again_with_the_same_token(
    clock: FakeClock, tmp_path: Path, code: str
) -> None:
    ec2 = FakeEc2(clock, [loses(code=code), loses(code=code)])
    launched = launch(ec2, tmp_path, 5)
    assert len({sent.token for sent in ec2.history}) == 1
    assert set(launched.ids) == ec2.alive
    assert (launched.missing, ec2.calls["find"]) == (0, 0)


def test_what_a_dead_endpoint_accepted_is_found_by_its_token(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [loses(5)] + [loses(0)] * 100, hidden=40)
    launched = launch(ec2, tmp_path, 5)
    assert set(launched.ids) == ec2.alive
    assert (len(launched.ids), launched.missing) == (5, 0)
    assert launched.stopped_by is None


def test_what_cannot_be_looked_for_stays_unsettled_and_nothing_more_is_asked(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [loses(5)] + [loses(0)] * 100, blind=True)
    launched = launch(ec2, tmp_path, 5)
    [batch] = launched.unsettled
    assert ec2.made.keys() == {batch.token}
    assert ec2.finished == {}
    assert launched.stopped_by is not None
    said = [f for f in launched.findings() if batch.token in f.where]
    assert [f.level for f in said] == [Level.ERROR]
    assert "invoke reap" in said[0].mend


def test_a_lost_call_that_launched_nothing_is_made_anew(
    clock: FakeClock, tmp_path: Path
) -> None:
    waits = Event(0, loses(0).says)
    tries = 9  # 0.75 * (1 + 2 + 4 + 8 + 15 + ...) seconds of patience
    ec2 = FakeEc2(clock, [waits] * tries)
    launched = launch(ec2, tmp_path, 2)
    assert set(launched.ids) == ec2.alive
    assert launched.missing == 0
    assert clock.slept <= PACE.patience + PACE.settle


def test_instances_that_somebody_ended_are_asked_for_with_a_new_token(
    clock: FakeClock, tmp_path: Path
) -> None:
    gone = refuses("IdempotentInstanceTerminated")
    ec2 = FakeEc2(clock, [loses(2), gone])
    launched = launch(ec2, tmp_path, 2)
    assert len({sent.token for sent in ec2.history}) == 2
    assert set(launched.ids) == ec2.alive
    assert launched.missing == 0


def test_somebody_who_ends_everything_is_not_fought_for_ever(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses("IdempotentInstanceTerminated")] * 100)
    launched = launch(ec2, tmp_path, 2, A)
    assert ec2.calls["run"] == 3
    assert launched.missing == 2


def test_a_new_profile_is_waited_for(clock: FakeClock, tmp_path: Path) -> None:
    ec2 = FakeEc2(clock, [PROFILE, PROFILE])
    launched = launch(ec2, tmp_path, 2)
    assert clock.slept == 20
    assert len({sent.token for sent in ec2.history}) == 1
    assert launched.missing == 0


def test_a_profile_that_never_comes_ends_the_launch(
    clock: FakeClock, tmp_path: Path
) -> None:
    launched = launch(FakeEc2(clock, [PROFILE] * 100), tmp_path, 2)
    assert clock.slept == PACE.profile_timeout
    assert launched.stopped_by is not None
    assert "instance profile" in launched.stopped_by.what


def test_a_fatal_answer_ends_the_launch_and_keeps_what_it_has(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [FULL, refuses("UnauthorizedOperation")])
    launched = launch(ec2, tmp_path, 150)
    assert len(launched.ids) == 100
    assert ec2.calls["run"] == 2
    assert launched.stopped_by is not None
    assert "ec2:RunInstances" in launched.stopped_by.mend


def test_only_what_lives_is_found_by_its_token() -> None:
    asked: list[Any] = []

    class Told(Cloud):
        def pages(self, region: str, method: str, key: str, **arguments: Any) -> Any:
            asked.append(arguments["Filters"])
            for number, state in enumerate(("pending", "terminated", "shutting-down")):
                said = {"InstanceId": f"i-{number}", "State": {"Name": state}}
                yield {"Instances": [said]}

    assert found_by_token(Told(), REGION, "grid_1") == ["i-0"]
    assert asked == [[{"Name": "client-token", "Values": ["grid_1"]}]]
