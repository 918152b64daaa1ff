"""The launch engine under any sequence of answers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from annexkit.launch.nodes import FRESH_TOKENS, Order, launch_nodes
from annexkit.launch.target import MARKETS, Target
from tests.unit.helpers import REGION, FakeClock
from tests.unit.launch.fake_ec2 import (
    FULL,
    Event,
    FakeEc2,
    loses,
    refuses,
    target,
)

REFUSALS = [
    *("InsufficientInstanceCapacity", "VcpuLimitExceeded", "RequestLimitExceeded"),
    *("InsufficientFreeAddressesInSubnet", "UnauthorizedOperation", "Unsupported"),
    *("IdempotentInstanceTerminated", "InvalidGroup.NotFound", "SomethingNew"),
]
some = st.integers(0, 120)
EVENTS = st.one_of(
    st.just(FULL),
    st.builds(Event, some),
    st.builds(loses, some),
    st.just(loses(0)),
    st.builds(refuses, st.sampled_from(REFUSALS)),
)
TARGETS = [
    target(zone, kind, market)
    for market in MARKETS["spot-then-on-demand"]
    for kind in ("m7i.large", "g5.xlarge")
    for zone in "ab"
]


@settings(max_examples=400)
@given(
    events=st.lists(EVENTS, max_size=40),
    after=st.sampled_from([FULL, loses(0), refuses("RequestLimitExceeded")]),
    count=st.integers(1, 450),
    targets=st.lists(st.sampled_from(TARGETS), max_size=8, unique=True),
    hidden=st.integers(0, 55),
    blind=st.booleans(),
)
def test_any_answers_lead_to_an_end_and_nothing_is_lost_or_too_much(
    *,
    events: list[Event],
    after: Event,
    count: int,
    targets: list[Target],
    hidden: int,
    blind: bool,
) -> None:
    clock = FakeClock()
    ec2 = FakeEc2(clock, [*events, *[after] * 200], hidden=hidden, blind=blind)
    wanted = Order(REGION, "grid", count, tuple(t for t in TARGETS if t in targets))
    with tempfile.TemporaryDirectory() as folder:
        launched = launch_nodes(wanted, ec2.doors(Path(folder)))

    assert len(ec2.alive) <= count, "never more than wanted"
    known = set(launched.ids)
    unseen = {i for batch in launched.unsettled for i in ec2.made.get(batch.token, [])}
    assert ec2.alive <= known | unseen, "no id is lost"
    assert len(known) == len(launched.ids), "none is counted twice"
    assert launched.missing == count - len(known)
    tokens = [token for token, _, _ in ec2.announced]
    assert len(tokens) == len(set(tokens)), "each attempt has a token of its own"
    assert all(len(token) <= 64 for token in tokens)
    assert set(ec2.finished) == {b.token for b in launched.batches if b.settled}
    assert sum(launched.errors.values()) <= ec2.calls["run"]
    attempts = -(-count // 100) + len(targets) * (FRESH_TOKENS + 1)
    assert len(tokens) <= attempts, "it ends"
    assert launched.missing == 0 or targets == [] or ec2.calls["run"] > 0
