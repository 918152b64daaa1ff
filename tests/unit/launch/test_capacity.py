"""What had no capacity lately: kept on disk, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from annexkit.errors import Level
from annexkit.launch import capacity
from annexkit.launch.capacity import CapacityTable
from tests.unit.helpers import REGION, FakeClock
from tests.unit.launch.fake_ec2 import target

A, B = target("a"), target("b")
CODE = "InsufficientInstanceCapacity"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "capacity.json"


def table(path: Path, clock: FakeClock, pause: float = 600) -> CapacityTable:
    return CapacityTable(path, pause, clock.time)


def test_what_is_closed_is_closed_for_the_next_run_until_its_end(
    path: Path, clock: FakeClock
) -> None:
    table(path, clock).close(REGION, A, CODE)
    other = table(path, clock)
    found = other.closed(REGION, A)
    assert found is not None
    assert (found.code, found.until) == (CODE, clock.time() + 600)
    assert other.closed(REGION, B) is None
    assert other.closed("eu-west-1", A) is None
    assert other.closed(REGION, target("a", market="spot")) is None
    clock.sleep(600)
    assert other.closed(REGION, A) is None


def test_a_quota_closes_its_family_in_its_market(path: Path, clock: FakeClock) -> None:
    table(path, clock).close_family(REGION, A, "VcpuLimitExceeded")
    other = table(path, clock)
    assert other.closed(REGION, target("c", "c6i.large"))
    assert other.closed(REGION, target("a", "g5.xlarge")) is None
    assert other.closed(REGION, target("a", market="spot")) is None


def test_two_runs_lose_nothing_of_each_other(path: Path, clock: FakeClock) -> None:
    one, two = table(path, clock), table(path, clock)
    assert one.closed(REGION, A) is two.closed(REGION, B) is None
    one.close(REGION, A, CODE)
    two.close(REGION, B, CODE)
    third = table(path, clock)
    assert third.closed(REGION, A)
    assert third.closed(REGION, B)


def test_what_is_over_is_not_kept(path: Path, clock: FakeClock) -> None:
    table(path, clock).close(REGION, A, CODE)
    clock.sleep(700)
    table(path, clock).close(REGION, B, CODE)
    assert list(json.loads(path.read_text())["closed"]) == [
        f"{REGION}/on-demand/m7i.large/{REGION}b"
    ]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"closed": {"x": 1}}', '{"other": 1}', "\x00"]
)
def test_a_damaged_table_starts_anew_with_a_warning(
    path: Path, clock: FakeClock, text: str
) -> None:
    path.parent.mkdir()
    path.write_text(text)
    found = table(path, clock)
    assert found.closed(REGION, A) is None
    [warning] = found.findings
    assert (warning.level, warning.where) == (Level.WARNING, str(path))
    found.close(REGION, A, CODE)
    assert table(path, clock).closed(REGION, A)


def test_a_clock_that_was_wrong_closes_nothing_for_years(
    path: Path, clock: FakeClock
) -> None:
    future = FakeClock(clock.now + 1e9)
    table(path, future).close(REGION, A, CODE)
    assert table(path, clock).closed(REGION, A) is None


def test_a_disk_that_refuses_does_not_stop_a_launch(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "file").write_text("")
    found = table(tmp_path / "file" / "capacity.json", clock)
    found.close(REGION, A, CODE)
    found.close(REGION, B, CODE)
    assert found.closed(REGION, A), "this run still knows"
    assert {f.level for f in found.findings} == {Level.WARNING}


def test_a_lock_that_is_held_does_not_stop_a_launch(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "LOCK_SECONDS", 0.05)
    path.parent.mkdir()
    with FileLock(f"{path}.lock"):
        found = table(path, clock)
        found.close(REGION, A, CODE)
    assert found.closed(REGION, A)
    [warning] = found.findings
    assert "not kept" in warning.what
