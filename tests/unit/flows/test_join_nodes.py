from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annexkit.flows import join_nodes
from annexkit.flows.join_nodes import Joined, wait_joined
from annexkit.flows.site import Site
from annexkit.pool.collector import Slot
from annexkit.pool.target import Pool, PoolError
from annexkit.settings import Settings
from annexkit.verify.pool_side import Join
from tests.unit.helpers import FakeClock
from tests.unit.verify.test_pool_side import POOL, slot

IDS = ["i-1", "i-2", "i-3"]


class FakeCollector:
    """Gives one answer after another; the last one stays. Counts what it is asked."""

    def __init__(self, answers: list[list[str] | PoolError]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, pool: Pool) -> FakeCollector:
        assert pool is POOL
        return self

    def slots(self, annex: str = "", launch: str = "") -> list[Slot]:
        self.asked.append(annex)
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, PoolError):
            raise said
        return [slot(instance_id=one) for one in said]


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Site:
    return Site(Settings.model_validate({"poll": 2}), tmp_path, clock=clock)


def wait(
    site: Site,
    patch: pytest.MonkeyPatch,
    *answers: list[str] | PoolError,
    ids: list[str] = IDS,
    **options: Any,
) -> tuple[Joined, list[Join], FakeCollector]:
    fake = FakeCollector(list(answers))
    patch.setattr(join_nodes, "Collector", fake)
    told: list[Join] = []
    found = wait_joined(
        site, POOL, "grid", ids, on_joined=told.append, timeout=100, **options
    )
    return found, told, fake


def down() -> PoolError:
    return PoolError("the collector: nothing listens at port 9618")


def test_one_question_each_time_is_for_all_nodes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[list[str]] = [[], ["i-1"], ["i-1", "i-9"], IDS]
    found, told, fake = wait(site, monkeypatch, *answers)
    assert fake.asked == ["grid"] * 4
    assert [join.id for join in told] == IDS
    assert {k: v.seconds for k, v in found.joins.items()} == {
        "i-1": 2.0,
        "i-2": 6.0,
        "i-3": 6.0,
    }
    assert found.not_checked is None
    assert found.missing(IDS) == []


def test_those_that_do_not_come_are_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    found, told, _ = wait(site, monkeypatch, ["i-2"])
    assert clock.slept == 100
    assert [join.id for join in told] == ["i-2"]
    assert found.missing(IDS) == ["i-1", "i-3"]
    assert found.not_checked is None


def test_a_pool_that_never_answers_is_not_checked_and_soon_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    found, told, _ = wait(site, monkeypatch, down())
    assert join_nodes.UNANSWERED <= clock.slept < 70
    assert told == []
    assert "nothing listens" in str(found.not_checked)


def test_a_collector_that_restarts_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [down() for _ in range(40)]
    found, _, _ = wait(site, monkeypatch, ["i-1"], *gone, IDS)
    assert found.missing(IDS) == []
    assert found.not_checked is None


def test_a_collector_that_is_gone_at_the_end_leaves_the_rest_unknown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, _ = wait(site, monkeypatch, ["i-1"], down())
    assert found.missing(IDS) == ["i-2", "i-3"]
    assert found.not_checked is not None


def test_for_no_node_nobody_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, fake = wait(site, monkeypatch, down(), ids=[])
    assert fake.asked == []
    assert found == Joined()
