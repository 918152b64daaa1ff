"""What an annex came to: added up by hand here, and by the receipt there."""

from __future__ import annotations

import json
import time

import pytest

from annexkit import annexes
from annexkit.console import Console
from annexkit.errors import AnnexkitError, Exit
from annexkit.flows import annex_ledger, annex_pool, annex_receipt
from annexkit.flows.annex_ledger import NodeUse
from annexkit.flows.annex_pool import InPool
from annexkit.flows.annex_receipt import added_up, show_receipt
from annexkit.flows.annex_terminate import TerminateRequest, terminate
from annexkit.flows.site import Site
from tests.unit.flows.annex import FakePool, a_slot, launch, recorded, with_pool
from tests.unit.helpers import REGION, FakeClock

Captured = pytest.CaptureFixture[str]
NOW = 1_700_000_000.0
HOUR = 3600.0


@pytest.fixture
def pool(site: Site, monkeypatch: pytest.MonkeyPatch) -> FakePool:
    return with_pool(site, monkeypatch)


def use(number: int, hours: float, **changes: object) -> NodeUse:
    values = {
        "id": f"i-{number}",
        "instance_type": "m7i.large",
        "launched": NOW - hours * HOUR,
        "seen": NOW,
        "price": 0.1,
        "claimed": HOUR / 2,
    }
    return NodeUse.model_validate(values | changes)


def test_hours_cost_and_claims_are_added_up_by_type_and_market() -> None:
    uses = [
        use(1, 2),
        use(2, 4, ended=NOW - HOUR),
        use(3, 1, market="spot", price=0.03, claimed=0.0),
    ]
    made = added_up("grid", uses, NOW, {"SpotMaxPriceTooLow": 2})
    assert made.running == 2
    [dear, cheap] = made.lines
    assert (dear.nodes, dear.hours, dear.claimed) == (2, 5.0, 1.0)
    assert dear.cost == pytest.approx(0.5)
    assert cheap.cost == pytest.approx(0.03)
    assert made.total.cost == pytest.approx(0.53)
    assert made.as_json()["failures"] == {"SpotMaxPriceTooLow": 2}


def test_what_is_not_known_in_part_is_not_known_at_all() -> None:
    made = added_up("grid", [use(1, 1), use(2, 1, price=None, claimed=None)], NOW, {})
    assert (made.total.cost, made.total.claimed, made.total.hours) == (None, None, 2.0)


def test_a_claim_once_seen_is_never_forgotten(site: Site, pool: FakePool) -> None:
    [node] = launch(site, count=1)
    recorded(site)
    annex = annexes.find(site.cloud, REGION, "grid")
    record = annexes.folder(site.state, "grid").read()
    for seen, expected in ((90, 90), (30, 90), (120, 120)):
        slots = [a_slot(node, claimed_busy=seen)]
        there = InPool(annex_pool.added_up(slots))
        kept = annex_ledger.note(site, annex, there, record)
        assert kept[node].claimed == expected
    kept = annex_ledger.note(site, annex, InPool(unknown="down"), record)
    assert kept[node].claimed == 120


def test_a_node_that_ec2_has_forgotten_ended_when_it_was_last_seen(
    site: Site, clock: FakeClock
) -> None:
    launch(site, count=1)
    annex = annexes.find(site.cloud, REGION, "grid")
    annex_ledger.note(site, annex, InPool(), None)
    seen = clock.time()
    clock.sleep(2 * HOUR)
    gone = annexes.Annex("grid", REGION)
    [use] = annex_ledger.note(site, gone, InPool(), None).values()
    assert use.ended == seen


def test_the_receipt_is_shown_while_it_runs_and_after_its_end(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    launch(site)
    recorded(site, failures={"InsufficientInstanceCapacity": 3})
    site.console = Console(as_json=True)
    assert show_receipt(site, "grid") == Exit.DONE
    assert json.loads(capsys.readouterr().out)["running"] == 2
    terminate(site, TerminateRequest("grid", yes=True))
    capsys.readouterr()
    assert show_receipt(site, "grid") == Exit.DONE
    said = json.loads(capsys.readouterr().out)
    assert (said["running"], said["total"]["nodes"]) == (0, 2)
    assert said["failures"] == {"InsufficientInstanceCapacity": 3}


def test_an_annex_that_ended_by_itself_has_its_receipt_too(
    site: Site, pool: FakePool, clock: FakeClock, capsys: Captured
) -> None:
    clock.now = time.time()  # moto's: it says when a node was launched
    ids = launch(site)
    recorded(site)
    site.console = Console(as_json=True)
    show_receipt(site, "grid")
    clock.sleep(HOUR / 4)
    site.cloud.call(REGION, "terminate_instances", InstanceIds=ids)
    capsys.readouterr()
    for _ in range(2):
        assert show_receipt(site, "grid") == Exit.DONE
        clock.sleep(9 * HOUR)
        said = json.loads(capsys.readouterr().out)
        assert (said["running"], said["total"]["nodes"]) == (0, 2)
        assert said["total"]["hours"] == pytest.approx(0.5, abs=0.05)


def test_the_table_says_what_is_an_estimate(site: Site, capsys: Captured) -> None:
    made = added_up("grid", [use(1, 2, claimed=None)], NOW, {"X": 1})
    annex_receipt.show(site, made)
    told = capsys.readouterr().out
    assert "about $0.20" in told
    assert "not known" in told
    assert "failed: 1 x X" in told


def test_an_annex_that_nobody_knows_is_an_error(site: Site, pool: FakePool) -> None:
    with pytest.raises(AnnexkitError, match="nothing is known here of an annex 'grid'"):
        show_receipt(site, "grid")


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"i-1": {}}'])
def test_a_damaged_ledger_only_costs_what_was_in_it(site: Site, damage: str) -> None:
    path = annexes.folder(site.state, "grid").ledger
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    assert annex_ledger.read(site, "grid") == {}
