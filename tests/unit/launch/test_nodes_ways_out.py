"""The launch engine: spot first, and every way in which a launch is cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError
from annexkit.launch.launched import Launched
from annexkit.launch.nodes import launch_nodes
from annexkit.stopping import Stop
from tests.unit.helpers import FakeClock
from tests.unit.launch.fake_ec2 import A, Event, FakeEc2, launch, order, refuses, target

CAPACITY = "InsufficientInstanceCapacity"
LIMIT = "RequestLimitExceeded"
SPOT = (target("a", market="spot"), target("b", market="spot"))


def test_on_demand_gets_only_what_spot_did_not_give(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [Event(3), refuses(CAPACITY)])
    launched = launch(ec2, tmp_path, 10, *SPOT, A)
    assert [(sent.market, sent.count) for sent in ec2.history] == [
        ("spot", 10),
        ("spot", 7),
        ("on-demand", 7),
    ]
    assert launched.by_market() == {"m7i.large/on-demand": 7, "m7i.large/spot": 3}


def test_spot_is_asked_for_no_longer_than_its_time(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock, [refuses(LIMIT)] * 6)
    launched = launch(ec2, tmp_path, 2, *SPOT, A, spot_timeout=20)
    assert [sent.market for sent in ec2.history] == ["spot"] * 6 + ["on-demand"]
    assert clock.slept == pytest.approx(20)
    assert (launched.missing, launched.stopped_by) == (0, None)


def test_spot_alone_has_no_such_end(clock: FakeClock, tmp_path: Path) -> None:
    ec2 = FakeEc2(clock, [refuses(LIMIT)] * 6)
    assert launch(ec2, tmp_path, 2, *SPOT, spot_timeout=5).missing == 0


def test_what_cannot_be_written_down_is_not_launched(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock)

    def full(*_: object) -> None:
        raise AnnexkitError("no space left")

    launched = launch_nodes(order(2), replace(ec2.doors(tmp_path), before=full))
    assert ec2.calls == {}
    assert launched.batches == []
    assert launched.stopped_by is not None
    assert launched.stopped_by.what == "no space left"


def test_an_error_after_a_batch_keeps_its_ids(clock: FakeClock, tmp_path: Path) -> None:
    ec2 = FakeEc2(clock)

    def fails(token: str, ids: Sequence[str]) -> None:
        raise AnnexkitError("the schedule was refused")

    launched = launch_nodes(order(150), replace(ec2.doors(tmp_path), after=fails))
    assert set(launched.ids) == ec2.alive
    assert (len(launched.ids), ec2.calls["run"]) == (100, 1)


def test_a_stop_between_batches_is_obeyed(clock: FakeClock, tmp_path: Path) -> None:
    ec2 = FakeEc2(clock)
    doors = replace(ec2.doors(tmp_path), stop=lambda: len(ec2.made) >= 2)
    launched = launch_nodes(order(1000), doors)
    assert (len(launched.ids), launched.missing) == (200, 800)
    assert launched.unsettled == []


def test_a_signal_in_the_middle_of_a_call_leaves_its_token_behind(
    clock: FakeClock, tmp_path: Path
) -> None:
    ec2 = FakeEc2(clock)
    launched = Launched(150)

    def run(sent: object) -> Sequence[str]:
        ids = ec2.run(ec2.request(A, 50, ec2.announced[-1][0]))
        if len(ec2.made) == 2:
            raise Stop("SIGINT")
        return ids

    doors = replace(ec2.doors(tmp_path), run=run)
    with pytest.raises(Stop):
        launch_nodes(order(150), doors, launched)
    [open_batch] = launched.unsettled
    assert set(ec2.made[open_batch.token]) == ec2.alive - set(launched.ids)
