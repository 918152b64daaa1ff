"""Work in many regions at once: each ends by itself, a signal ends all of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from annexkit.errors import AnnexkitError, Interrupted
from annexkit.flows import regionwise
from annexkit.flows.regionwise import Ended, in_regions
from annexkit.flows.site import Site
from annexkit.settings import Settings
from annexkit.stopping import Stop
from annexkit.waiting import wait_for
from tests.unit.helpers import FakeClock

REGIONS = tuple(f"us-east-{n}" for n in range(1, 9))


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Site:
    return Site(Settings.model_validate({"registry": "r"}), tmp_path, clock=clock)


def test_each_region_ends_with_its_own_value(site: Site, cloud: Any) -> None:
    site.cloud = cloud
    ended = in_regions(site, REGIONS, lambda _, region: region.upper(), parallel=3)
    assert [one.region for one in ended] == list(REGIONS)
    assert [one.value for one in ended] == [region.upper() for region in REGIONS]


def test_how_long_it_took_is_told_and_makes_no_difference(
    site: Site, cloud: Any
) -> None:
    site.cloud = cloud

    def work(there: Site, region: str) -> str:
        there.clock.sleep(7)
        if region == REGIONS[1]:
            raise AnnexkitError("down")
        return region

    good, bad = in_regions(site, REGIONS[:2], work, parallel=1)
    assert (good.seconds, bad.seconds) == (7, 7)
    assert good == Ended(REGIONS[0], REGIONS[0])


def test_one_that_fails_stops_no_other(site: Site, cloud: Any) -> None:
    site.cloud = cloud

    def work(_: Site, region: str) -> str:
        if region == REGIONS[2]:
            raise AnnexkitError("down")
        return region

    seen: list[Ended[str]] = []
    ended = in_regions(site, REGIONS, work, parallel=2, ended=seen.append)
    assert [one.region for one in ended if one.error] == [REGIONS[2]]
    assert len([one for one in ended if one.value]) == 7
    assert sorted(one.region for one in seen) == list(REGIONS)


@pytest.mark.parametrize("parallel", [1, 3, 20])
def test_no_more_at_once_than_asked(site: Site, cloud: Any, parallel: int) -> None:
    site.cloud = cloud
    least = min(parallel, len(REGIONS))
    together = threading.Barrier(least)
    running, most, lock = 0, 0, threading.Lock()

    def work(_: Site, region: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if REGIONS.index(region) < least:  # the first ones are all under way at once
            together.wait(20)
        with lock:
            running -= 1

    in_regions(site, REGIONS, work, parallel=parallel)
    assert most == least


def test_no_region_is_no_work(site: Site) -> None:
    assert in_regions(site, (), lambda *_: None, parallel=4) == []


def test_a_defect_is_shown_and_not_taken_for_a_result(site: Site, cloud: Any) -> None:
    site.cloud = cloud

    def work(_: Site, region: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_regions(site, REGIONS, work, parallel=2)


def test_a_signal_ends_each_wait_once_and_lets_clean_up_wait(
    site: Site, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.cloud = cloud
    waiting = threading.Barrier(3)
    stopped = threading.Event()
    cleaned: list[str] = []

    def work(there: Site, region: str) -> None:
        try:
            waiting.wait(20)
            wait_for(
                lambda: stopped.is_set() and None,
                what="never",
                timeout=1e9,
                poll=5,
                clock=there.clock,
            )
        except Interrupted:
            there.clock.sleep(30)  # what it made has to end
            cleaned.append(region)
            raise

    def signal(*_: Any) -> Any:
        waiting.wait(20)
        raise Stop("SIGINT")

    monkeypatch.setattr(regionwise, "_next", signal)
    with pytest.raises(Stop):
        in_regions(site, REGIONS, work, parallel=2)
    assert sorted(cleaned) == list(REGIONS[:2]), "what waited for its turn never began"
