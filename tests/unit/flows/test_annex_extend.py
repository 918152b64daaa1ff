"""A lease is moved: what it costs, that nodes get a token, and that they know it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from annexkit import annexes
from annexkit.annexes import Record
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import annex_extend
from annexkit.flows.annex_end import new_end
from annexkit.flows.annex_extend import ExtendRequest, extend
from annexkit.flows.site import Site
from annexkit.launch import parameter
from annexkit.pool.collector import Slot
from annexkit.pool.credentials import Secret
from annexkit.pool.target import Pool, PoolError
from annexkit.settings import Settings
from tests.unit.flows.annex import (
    HOUR,
    LAUNCH,
    FakePool,
    a_slot,
    ends,
    launch,
    living,
    recorded,
    with_pool,
)
from tests.unit.flows.conftest import GONE
from tests.unit.helpers import REGION, FakeClock, an_entry

Captured = pytest.CaptureFixture[str]
SIX = datetime(2023, 11, 14, 18, 0, tzinfo=UTC).timestamp()


@pytest.fixture
def minted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lifetimes of the tokens that were asked for."""
    asked: list[float] = []

    def mint(pool: Pool, lifetime: float) -> Secret:
        asked.append(lifetime)
        return Secret("a.b.c", "idtokens", pool.identity, 1_700_000_000 + lifetime)

    monkeypatch.setattr(annex_extend, "new_secret", mint)
    return asked


@pytest.fixture
def pool(site: Site, monkeypatch: pytest.MonkeyPatch) -> FakePool:
    """A pool in which each node says the end that its tag says."""
    fake = with_pool(site, monkeypatch)
    fake.slots = lambda: following(site)
    return fake


def following(site: Site) -> list[Slot]:
    known = {one: int(end) for one, end in ends(site).items() if end}
    return [a_slot(one, lease_expires=end) for one, end in known.items()]


def move(site: Site, lease: str = "3h", **asked: Any) -> Exit:
    return extend(site, ExtendRequest("grid", lease=lease, **asked))


def with_launch(site: Site, **changes: Any) -> None:
    launch_settings = site.settings.launch.model_dump() | changes
    site.settings = Settings.model_validate(
        site.settings.model_dump() | {"launch": launch_settings}
    )


def secrets(site: Site) -> list[str]:
    return [one.name for one in parameter.listed(site.cloud, REGION)]


def test_nodes_get_the_end_and_a_token_that_outlives_it(
    site: Site, pool: FakePool, minted: list[float], capsys: Captured
) -> None:
    ids = launch(site)
    now = site.clock.time()
    site.console = Console(as_json=True)
    assert move(site) == Exit.DONE
    assert ends(site) == dict.fromkeys(ids, now + 3 * HOUR)
    assert minted == [3 * HOUR + HOUR]
    assert secrets(site) == []  # the nodes have it
    [said] = json.loads(capsys.readouterr().out)["extended"]
    assert (said["expires"], sorted(said["nodes"])) == (now + 3 * HOUR, ids)


def test_the_token_lies_there_before_the_lease_moves(
    site: Site, pool: FakePool, minted: list[float]
) -> None:
    launch(site, expires_in=600)
    there: list[list[str]] = []

    def slots() -> list[Slot]:
        there.append(secrets(site))
        return following(site)

    pool.slots = slots
    move(site)
    assert there == [[f"/annexkit/grid/{LAUNCH}"]]


def test_without_a_token_nothing_changes(
    site: Site, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(site)
    before = ends(site)

    def refuse(*_: object) -> Secret:
        raise PoolError("no token was made")

    monkeypatch.setattr(annex_extend, "new_secret", refuse)
    with pytest.raises(PoolError):
        move(site)
    assert (ends(site), secrets(site)) == (before, [])


def test_a_token_that_lives_long_enough_is_kept(
    site: Site, pool: FakePool, minted: list[float]
) -> None:
    launch(site)
    recorded(site, token_expires=site.clock.time() + 4 * HOUR)
    assert move(site) == Exit.DONE
    assert minted == []
    assert move(site, "5h") == Exit.DONE
    assert minted == [6 * HOUR]
    [known] = read(site).launches
    assert known.expires == site.clock.time() + 5 * HOUR
    assert known.token_expires == 1_700_000_000 + 6 * HOUR


def read(site: Site) -> Record:
    record = annexes.folder(site.state, "grid").read()
    assert record is not None
    return record


def test_a_pool_that_cannot_be_asked_is_told_and_leaves_the_token(
    site: Site, pool: FakePool, minted: list[float], capsys: Captured
) -> None:
    launch(site)
    pool.down = True
    assert move(site) == Exit.PARTLY
    assert secrets(site) == [f"/annexkit/grid/{LAUNCH}"]
    assert "the collector does not answer" in capsys.readouterr().err


def test_a_node_that_does_not_see_it_is_named(
    site: Site, pool: FakePool, minted: list[float], clock: FakeClock, capsys: Captured
) -> None:
    deaf, good = launch(site)
    pool.slots = lambda: [s for s in following(site) if s.instance_id == good]
    began = clock.time()
    assert move(site) == Exit.PARTLY
    assert clock.time() - began == 2 * 60 + 300
    told = capsys.readouterr().err
    assert f"1 of 2 nodes did not say yet that they saw it: {deaf}" in told
    assert f"invoke why {deaf}" in told


def test_a_node_that_ended_meanwhile_is_not_waited_for_in_the_report(
    site: Site, pool: FakePool, minted: list[float]
) -> None:
    gone, good = launch(site)

    def slots() -> list[Slot]:
        if gone in living(site):
            site.cloud.call(REGION, "terminate_instances", InstanceIds=[gone])
        return [s for s in following(site) if s.instance_id == good]

    pool.slots = slots
    assert move(site) == Exit.DONE


def test_an_end_that_was_later_is_told_to_be_earlier(
    site: Site, pool: FakePool, minted: list[float], capsys: Captured
) -> None:
    launch(site, expires_in=5 * HOUR)
    assert move(site) == Exit.DONE
    assert "120 min earlier than it was" in capsys.readouterr().err


def test_the_nodes_of_a_dead_launch_are_somebodys_again(
    site: Site, pool: FakePool, minted: list[float]
) -> None:
    launch(site)
    entry = an_entry(GONE, kind="launch", launch=LAUNCH, annex="grid", build="")
    site.journal.write(entry)
    move(site)
    assert site.journal.entries() == []


def test_an_annex_that_is_not_there_is_told(site: Site, pool: FakePool) -> None:
    launch(site, "gridiron")
    with pytest.raises(UsageError, match="there is no annex 'grid'"):
        move(site)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_hourly_cost": 0.1}, "price of m7i.large is not known"),
        (
            {"max_hourly_cost": 0.1, "hourly_price": {"m7i.large": 0.1}},
            r"costs \$0.20 an hour, the ceiling is \$0.10",
        ),
    ],
)
def test_the_ceiling_holds_for_a_longer_lease(
    site: Site,
    pool: FakePool,
    minted: list[float],
    changes: dict[str, Any],
    message: str,
) -> None:
    launch(site)
    before = ends(site)
    with_launch(site, **changes)
    with pytest.raises(UsageError, match=message):
        move(site)
    assert (ends(site), minted) == (before, [])


def test_a_dry_run_says_the_price_and_changes_nothing(
    site: Site, pool: FakePool, minted: list[float], capsys: Captured
) -> None:
    launch(site)
    before = ends(site)
    with_launch(site, hourly_price={"m7i.large": 0.1})
    assert move(site, dry_run=True) == Exit.DONE
    assert "2 nodes until 2023-11-15 01:13:20 UTC, about $0.60" in (
        capsys.readouterr().err
    )
    assert (ends(site), minted) == (before, [])


@pytest.mark.parametrize(
    ("lease", "until", "expected"),
    [
        ("3h", "", SIX + 3 * HOUR),
        ("", "19:00Z", SIX + HOUR),
        ("", "18:00Z", SIX + 24 * HOUR),
        ("", "17:59Z", SIX + 24 * HOUR - 60),
        ("", "01:00+09:00", SIX + 22 * HOUR),
        ("", "20:00-05:00", SIX + 7 * HOUR),
        ("", "2023-11-14T19:00Z", SIX + HOUR),
        ("", "2023-11-14T20:00:00+01:00", SIX + HOUR),
    ],
)
def test_every_way_to_say_an_end_is_read(
    lease: str, until: str, expected: float
) -> None:
    assert new_end(lease, until, SIX) == expected


@pytest.mark.parametrize(
    ("lease", "until", "message"),
    [
        ("", "", "say either"),
        ("3h", "19:00Z", "say either"),
        ("soon", "", "not a duration"),
        ("119s", "", "would end in 119 s"),
        ("", "2020-01-01T00:00Z", "would end in 0 s"),
        ("", "19:00", "no time with a zone"),
        ("", "25:00Z", "no time with a zone"),
        ("", "tomorrow", "no time with a zone"),
        ("", "2023-13-14T19:00Z", "no time with a zone"),
    ],
)
def test_what_is_no_end_is_refused_with_its_flag(
    lease: str, until: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        new_end(lease, until, SIX)
    assert caught.value.where.startswith("--")
    assert caught.value.mend


def test_an_end_in_a_moment_can_be_forced() -> None:
    assert new_end("5s", "", SIX, force=True) == SIX + 5
