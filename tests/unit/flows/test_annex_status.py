"""What status says of annexes: true, with gaps where nobody answered, and fast."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.stub import Stubber

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.console import Console
from annexkit.errors import Exit
from annexkit.flows import annex_ledger
from annexkit.flows.annex_status import show_status
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.pool.collector import Slot
from annexkit.settings import Settings
from tests.unit.flows.annex import (
    HOUR,
    LAUNCH,
    FakePool,
    a_slot,
    arm,
    launch,
    recorded,
    with_pool,
)
from tests.unit.helpers import REGION, FakeClock

Captured = pytest.CaptureFixture[str]
NODES = 10_000


@pytest.fixture
def pool(site: Site, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> FakePool:
    # moto launches by the real clock.
    clock.now = float(int(time.time()))
    return with_pool(site, monkeypatch)


def as_json(site: Site, capsys: Captured, name: str = "") -> dict[str, Any]:
    site.console = Console(as_json=True)
    capsys.readouterr()
    assert show_status(site, name) == Exit.DONE
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_a_line_says_all_of_an_annex(
    site: Site, pool: FakePool, clock: FakeClock, capsys: Captured
) -> None:
    first, second = ids = launch(site, more={tags.OWNER: "alice"})
    arm(site, ids, clock.time() + HOUR)
    recorded(site)
    pool.slots = lambda: [
        a_slot(first, state="Claimed", cpus=1.0),
        a_slot(first, name="slot1_1", cpus=1.0),
    ]
    clock.sleep(1800)
    [line] = as_json(site, capsys)["annexes"]
    assert (line["name"], line["region"], line["owner"]) == ("grid", REGION, "alice")
    assert (line["wanted"], line["running"], line["in_pool"]) == (2, 2, 1)
    assert (line["claimed"], line["cores"]) == (1.0, 2.0)
    assert line["expires"] == clock.now + HOUR
    assert line["hourly"] == pytest.approx(0.2)
    assert line["spent"] == pytest.approx(0.1, rel=0.02)
    assert line["layers"] == ["the node's own timer", "2 schedules", "invoke reap"]
    assert "nodes" not in line
    assert second in ids


def test_the_table_shows_each_node_of_a_named_annex(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    first, _ = launch(site)
    launch(site, "gridiron")
    pool.slots = lambda: [a_slot(first)]
    show_status(site, "grid")
    told = capsys.readouterr().out
    assert "gridiron" not in told
    [row] = [line for line in told.splitlines() if first in line]
    for word in ("m7i.large", "on-demand", "running", "yes", "annex@example.org"):
        assert word in row


def test_a_pool_that_cannot_be_asked_leaves_a_gap_and_a_note(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    launch(site)
    pool.down = True
    assert show_status(site) == Exit.DONE
    told = capsys.readouterr()
    assert "the collector does not answer" in told.err
    assert "?" in told.out
    [line] = as_json(site, capsys)["annexes"]
    assert (line["in_pool"], line["claimed"]) == (None, None)


def test_a_price_that_is_not_known_is_not_a_zero(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    launch(site)
    [line] = as_json(site, capsys)["annexes"]
    assert (line["hourly"], line["spent"], line["wanted"]) == (None, None, None)


@pytest.mark.parametrize("waited", [1190, 1300])
def test_a_node_that_does_not_join_in_time_is_flagged(
    site: Site,
    pool: FakePool,
    clock: FakeClock,
    capsys: Captured,
    waited: float,
) -> None:
    [late, good] = launch(site)
    pool.slots = lambda: [a_slot(good)]
    clock.sleep(waited)
    show_status(site)
    assert (f"mend: invoke why {late}" in capsys.readouterr().err) is (waited > 1200)


def test_nothing_there_is_told_with_where_it_was_looked_for(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    show_status(site)
    assert f"there is no annex in {REGION}" in capsys.readouterr().out
    assert pool.asked == 0


def test_a_region_that_cannot_be_asked_makes_it_partly_done(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    with Stubber(site.cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_instances", "OptInRequired", "not enabled")
        assert show_status(site) == Exit.PARTLY
    assert "OptInRequired" in capsys.readouterr().err


def test_what_was_seen_is_kept_for_the_receipt_where_the_annex_is_known(
    site: Site, pool: FakePool
) -> None:
    first, second = launch(site)
    show_status(site, "grid")
    assert annex_ledger.read(site, "grid") == {}  # somebody else's annex
    recorded(site)
    pool.slots = lambda: [a_slot(first, claimed_busy=60, claimed_idle=5)]
    show_status(site, "grid")
    kept = annex_ledger.read(site, "grid")
    assert {one: use.claimed for one, use in kept.items()} == {first: 65, second: 0}


class ManyNodes:
    """EC2 with ten thousand nodes; each answer costs nothing."""

    def __init__(self, expires: int) -> None:
        self.asked = 0
        self.session = SimpleNamespace()
        own = {tags.ANNEX: "grid", tags.LAUNCH: LAUNCH, tags.EXPIRES: str(expires)}
        self.tags = as_tags(own)

    def check_regions(self, _: object) -> None: ...

    def pages(self, *_: object, **__: object) -> Iterator[dict[str, Any]]:
        self.asked += 1
        launched = datetime(2023, 11, 14, 22, 0, tzinfo=UTC)
        for number in range(NODES):
            node = {
                "InstanceId": f"i-{number:017x}",
                "InstanceType": "m7i.large",
                "State": {"Name": "running"},
                "LaunchTime": launched,
                "Placement": {"AvailabilityZone": "us-west-2a"},
                "Tags": self.tags,
            }
            yield {"Instances": [node]}

    def call(self, *_: object, **__: object) -> dict[str, Any]:
        self.asked += 1
        return {"Schedules": [{"Name": f"{LAUNCH}-{n}"} for n in range(100)]}


@pytest.mark.parametrize("name", ["", "grid"])
def test_ten_thousand_nodes_cost_less_than_five_seconds_of_our_own(
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    name: str,
) -> None:
    site = Site(Settings.model_validate({"state_dir": "s"}), tmp_path, clock=clock)
    fake = ManyNodes(int(clock.time()) + HOUR)
    site.cloud = cast(Cloud, fake)
    asked = with_pool(site, monkeypatch)
    slots: list[Slot] = [
        a_slot(f"i-{n:017x}", name=f"slot1_{k}", state="Claimed")
        for n in range(NODES)
        for k in range(2)
    ]
    asked.slots = lambda: slots
    recorded(site, wanted=NODES)
    began = time.process_time()
    assert show_status(site, name) == Exit.DONE
    spent = time.process_time() - began
    print(f"status of {NODES} nodes: {spent:.2f} s")
    assert spent < 5
    assert (fake.asked, asked.asked) == (2, 1)
    assert str(NODES) in capsys.readouterr().out
