from __future__ import annotations

import pytest
from pydantic import ValidationError

from annexkit.rehearsal.faults import (
    Failure,
    Faults,
    Knobs,
    Machines,
    Rule,
    Trouble,
    troubled,
)
from tests.unit.rehearsal.samples import a_call

THROTTLED = Failure(code="RequestLimitExceeded", status=503)


def test_a_rule_is_used_up_after_its_times() -> None:
    faults = Faults()
    faults.add([Rule(action="RunInstances", error=THROTTLED, times=2)])
    taken = [faults.take(a_call("RunInstances")) for _ in range(3)]
    assert [rule is not None for rule in taken] == [True, True, False]
    assert faults.rules() == []


def test_a_rule_without_times_stays_until_it_is_cleared() -> None:
    faults = Faults()
    faults.add([Rule(action="Describe*")])
    assert all(faults.take(a_call("DescribeImages")) for _ in range(5))
    faults.clear()
    assert faults.take(a_call("DescribeImages")) is None


def test_the_first_rule_about_a_call_is_taken() -> None:
    faults = Faults()
    first = Rule(action="RunInstances", region="eu-*", error=THROTTLED)
    second = Rule(action="RunInstances", delay_seconds=1)
    faults.add([first, second])
    assert faults.take(a_call("RunInstances")) == second
    assert faults.take(a_call("RunInstances", region="eu-west-1")) == first


def test_a_rule_may_ask_for_parameters() -> None:
    rule = Rule(action="RunInstances", where={"InstanceType": "c5.*", "SubnetId": "s"})
    assert rule.meets(a_call("RunInstances", InstanceType="c5.large", SubnetId="s"))
    assert not rule.meets(a_call("RunInstances", InstanceType="c5.large"))
    assert not rule.meets(a_call("RunInstances", InstanceType="m5.large", SubnetId="s"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "X", "times": 0},
        {"action": "X", "delay_seconds": -1},
        {"action": "X", "error": {"code": "E", "status": 200}},
        {"action": "X", "eror": {}},
        {},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate(wrong)


def test_calls_are_recorded_until_they_are_forgotten() -> None:
    faults = Faults()
    faults.record(a_call("DescribeImages"), 200, 0.25)
    faults.record(a_call("RunInstances", region="eu-west-1"), 400, 0.5)
    made = [(c.action, c.region, c.status, c.seconds) for c in faults.calls()]
    assert made == [
        ("DescribeImages", "us-west-2", 200, 0.25),
        ("RunInstances", "eu-west-1", 400, 0.5),
    ]
    faults.forget_calls()
    assert faults.calls() == []


def test_secrets_that_were_handed_out_are_told_to_who_looks_for_them() -> None:
    faults = Faults()
    faults.hand_out("a key")
    faults.hand_out("a token")
    assert faults.secrets() == ["a key", "a token"]


def test_capacity_is_used_up_by_all_launches_together() -> None:
    faults = Faults()
    faults.add([Rule(action="RunInstances", where={"Zone": "*c"}, capacity=3)])
    here = a_call("RunInstances", Zone="us-west-2c")
    assert faults.capacity(here, 1, 2) == 2
    assert faults.capacity(here, 2, 2) == 1
    assert faults.capacity(here, 1, 5) == 1, "what was refused is still there"
    assert faults.capacity(here, 1, 1) == 0
    assert faults.capacity(a_call("RunInstances", Zone="us-west-2a"), 1, 5) == 5


def test_what_is_wrong_with_a_launch_does_not_fail_the_call() -> None:
    faults = Faults()
    ill = Machines(count=1, never_boots=True)
    faults.add([Rule(action="RunInstances", machines=ill, times=1)])
    call = a_call("RunInstances")
    assert faults.take(call) is None
    assert faults.machines(call) == [ill]
    assert faults.machines(call) == []


def test_a_machine_has_its_own_troubles_and_those_of_all() -> None:
    found = troubled(Knobs(pending_seconds=3), Trouble(blocked="10.0.0.1:9618"))
    assert (found.pending_seconds, found.blocked) == (3, "10.0.0.1:9618")
    assert troubled(Knobs(never_boots=True), Trouble()).never_boots


def test_an_address_to_block_has_a_port() -> None:
    with pytest.raises(ValidationError):
        Trouble(blocked="10.0.0.1")
