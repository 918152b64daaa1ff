"""Waiting for the end of annexes in moto's EC2."""

from __future__ import annotations

import json
import time

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import annex_ledger
from annexkit.flows.annex_watch import watch
from annexkit.flows.site import Site
from annexkit.waiting import Deadline
from tests.unit.flows.annex import HOUR, launch, recorded
from tests.unit.helpers import REGION, FakeClock

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def nodes(site: Site, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nodes of an annex that end while somebody waits, one every minute."""
    clock.now = time.time()  # moto's: it says when a node was launched
    ids = launch(site)
    recorded(site)
    begun, left, sleep = clock.time(), list(ids), clock.sleep

    def ending(seconds: float) -> None:
        sleep(seconds)
        if left and clock.time() - begun >= 60 * (len(ids) - len(left) + 1):
            site.cloud.call(REGION, "terminate_instances", InstanceIds=[left.pop(0)])

    monkeypatch.setattr(clock, "sleep", ending)
    return ids


def test_each_end_is_told_and_noted_for_the_receipt(
    site: Site, clock: FakeClock, nodes: list[str], capsys: Captured
) -> None:
    site.console = Console(as_json=True)
    begun = clock.time()
    assert watch(site, ["grid"], REGION, HOUR) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == nodes
    assert rows[0]["early"] == pytest.approx(HOUR - 60, abs=10)
    uses = annex_ledger.read(site, "grid")
    ends = [(uses[one].ended or 0) - begun for one in nodes]
    assert ends == pytest.approx([60, 120], abs=10)


def test_what_lives_on_is_an_error_with_its_mend(site: Site, nodes: list[str]) -> None:
    with pytest.raises(Deadline, match="the end of grid") as caught:
        watch(site, ["grid"], REGION, 30)
    assert "invoke terminate" in caught.value.mend


def test_an_annex_without_nodes_cannot_be_waited_for(site: Site) -> None:
    with pytest.raises(UsageError, match="no node of grid is alive"):
        watch(site, ["grid"], REGION, 30)
