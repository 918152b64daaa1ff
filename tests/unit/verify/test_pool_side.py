from __future__ import annotations

from typing import Any

import pytest

from annexkit import tags
from annexkit.instances import Instance
from annexkit.pool.collector import Slot
from annexkit.pool.target import Pool
from annexkit.verify.pool_side import by_node, join, pool_checks
from tests.unit.helpers import BUILD, REGION

POOL = Pool("cm.example.org", identity="annex@example.org")
NODE = Instance(
    "i-0123456789abcdef0",
    REGION,
    "running",
    tags={tags.EXPIRES: "1700003600", tags.FROM_BUILD: BUILD},
)


def slot(**changes: Any) -> Slot:
    values: dict[str, Any] = {
        "name": "slot1@node",
        "instance_id": NODE.id,
        "authenticated_identity": "annex@example.org",
        "authentication_method": "IDTOKENS",
        "state": "Unclaimed",
        "lease_expires": 1_700_003_600,
        "build": BUILD,
    }
    return Slot(**values | changes)


def failing(*slots: Slot) -> dict[str, str]:
    return {c.name: c.detail for c in pool_checks(NODE, slots, POOL) if not c.ok}


def test_a_node_as_it_should_be_passes_every_check() -> None:
    found = pool_checks(NODE, [slot(), slot(name="slot2@node")], POOL)
    assert [c.name for c in found] == [
        *("in-pool", "pool-identity", "pool-start", "pool-lease", "pool-image")
    ]
    assert all(c.ok for c in found)
    assert found[0].detail == "2 slots"
    assert found[1].detail == "annex@example.org by IDTOKENS"


def test_a_node_without_a_slot_fails_one_check_alone() -> None:
    assert failing() == {"in-pool": "the collector has no slot of it"}


@pytest.mark.parametrize(
    ("changes", "check", "said"),
    [
        ({"authenticated_identity": "eve@example.org"}, "pool-identity", "eve@"),
        ({"authentication_method": "SSL"}, "pool-identity", "by SSL"),
        ({"start": False}, "pool-start", "slot1@node"),
        ({"lease_expires": 1_700_000_000}, "pool-lease", "-3600 s"),
        ({"lease_expires": None}, "pool-lease", "None"),
        ({"build": "20200101T000000-000000"}, "pool-image", "not " + BUILD),
    ],
)
def test_each_thing_that_is_wrong_is_said(
    changes: dict[str, Any], check: str, said: str
) -> None:
    found = failing(slot(**changes))
    assert list(found) == [check]
    assert said in found[check]


def test_the_second_slot_counts_as_the_first_for_identity() -> None:
    other = slot(name="slot2@node", authenticated_identity="eve@example.org")
    assert "pool-identity" in failing(slot(), other)


def test_a_claimed_slot_may_refuse_others() -> None:
    assert failing(slot(start=False, state="Claimed")) == {}


def test_slots_are_sorted_by_node_and_a_join_tells_who_it_is() -> None:
    slots = [slot(), slot(instance_id="i-2"), slot(name="slot2@node")]
    found = by_node(slots)
    assert {k: len(v) for k, v in found.items()} == {NODE.id: 2, "i-2": 1}
    joined = join(NODE.id, found[NODE.id], POOL, 3.5)
    assert (joined.slots, joined.seconds, joined.problem) == (2, 3.5, "")
    assert joined.identity == "annex@example.org"
    wrong = join("i-2", [slot(authentication_method="")], POOL, 1.0)
    assert "without authentication" in wrong.problem
