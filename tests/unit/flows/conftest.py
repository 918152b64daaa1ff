"""A site of its own for every test: moto's account, a fresh registry and journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit.aws import Cloud
from annexkit.errors import AnnexkitError
from annexkit.flows import registry_move
from annexkit.flows.site import Site
from annexkit.journal import this_process
from annexkit.publish.standing import Held
from annexkit.settings import Settings
from tests.unit.flows.launching import World, a_world
from tests.unit.flows.pairs import Watch
from tests.unit.flows.retiring import Shelf
from tests.unit.flows.shift import Shift, a_shift
from tests.unit.helpers import ACCOUNT, REGION, FakeClock
from tests.unit.publish.aging import teach

ALIVE = this_process()
GONE = ALIVE.model_copy(update={"start_time": ALIVE.start_time - 1})


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, cloud: Cloud) -> Site:
    settings = Settings.model_validate(
        {
            "registry": "r.json",
            "state_dir": "state",
            "reap": {"regions": [REGION, "us-east-1"]},
        }
    )
    site = Site(settings, tmp_path, clock=clock)
    site.cloud = cloud
    site.registry.update(site.registry.claim(ACCOUNT, "aws"))
    return site


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> World:
    """A site in which a launch of two nodes goes well."""
    return a_world(site, monkeypatch)


@pytest.fixture
def watch(site: Site, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The calls of ``invoke keypair`` that change something."""
    return Watch(site, monkeypatch)


@pytest.fixture
def kept(site: Site) -> Path:
    """The private file of ``invoke keypair`` when nothing else is said."""
    return site.state / "keys" / "annexkit"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let something happen between the plan of a promotion and its moves."""
    real = registry_move.ask_regions

    def prepare(event: Callable[[], None]) -> None:
        def ask(site: Site, wanted: Any) -> dict[str, Held | AnnexkitError]:
            found = real(site, wanted)
            event()
            return found

        monkeypatch.setattr(registry_move, "ask_regions", ask)

    return prepare


@pytest.fixture
def shelf(site: Site, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A registry to fill with old builds, and an EC2 that can deprecate AMIs."""
    teach(monkeypatch, site.clock.time)
    return Shelf(site)


@pytest.fixture
def shift(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Shift:
    """A night's ground: home and three regions, nothing baked yet."""
    teach(monkeypatch, clock.time)
    return a_shift(tmp_path, clock, cloud, monkeypatch)
