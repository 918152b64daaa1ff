"""A rehearsal for the tests that need real machines, apart from anybody's own.

``ANNEXKIT_REQUIRE_MACHINES=1`` makes it a failure when this machine cannot have one;
otherwise such tests are skipped, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from annexkit.errors import FindingsError
from annexkit.process import CommandError
from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from annexkit.sections import RehearsalSettings
from annexkit.settings import Settings
from tests.conftest import Baked
from tests.nights import SETTINGS as FOUR_REGIONS
from tests.nights import take_away
from tests.rehearsal.guests import Guest, Region, boot
from tests.stage import Place, Stage

if TYPE_CHECKING:
    from tests.rehearsal.access_point import AccessPoint

SETTINGS = RehearsalSettings(dir="cloud", machines=4)
CACHE = Settings().cache


def bring_up(root: Path, settings: RehearsalSettings = SETTINGS) -> Rehearsal:
    """Bring up a rehearsal below *root*, or say why there can be none."""
    try:
        return control.up(settings, root, cache=CACHE, progress=print)
    except (FindingsError, CommandError) as error:
        if os.environ.get("ANNEXKIT_REQUIRE_MACHINES") == "1":
            pytest.fail(f"this machine cannot rehearse: {error}")
        pytest.skip(f"this machine cannot rehearse: {error}")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


@pytest.fixture(scope="session")
def _rehearsal(root: Path) -> Iterator[Rehearsal]:
    try:
        yield bring_up(root)
    finally:
        control.down(SETTINGS, root)


@pytest.fixture
def rehearsal(
    _rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rehearsal]:
    """The rehearsal, with its environment set; nothing runs in it afterwards."""
    for name, value in control.environment(_rehearsal).items():
        monkeypatch.setenv(name, value)
    yield _rehearsal
    control.ask(_rehearsal, "faults", "DELETE")
    control.ask(_rehearsal, "knobs", "POST", {})
    machines = control.ask(_rehearsal, "status")["machines"]
    for name in {m["region"] for m in machines if m["state"] != "shutting-down"}:
        Region(_rehearsal, name).terminate_all()


@pytest.fixture
def region(rehearsal: Rehearsal) -> Region:
    """EC2 in one region."""
    return Region(rehearsal, "us-west-2")


@pytest.fixture
def powerless(rehearsal: Rehearsal, region: Region) -> Region:
    """EC2 whose machines are made and never switched on: for tests of the API."""
    control.ask(rehearsal, "knobs", "POST", {"never_boots": True})
    return region


@pytest.fixture
def guest(region: Region) -> Guest:
    """A machine that has booted, with a shell on it."""
    return boot(region)


@pytest.fixture
def access_point(
    request: pytest.FixtureRequest,
    stage: Stage,
    baked: Baked,
    again: dict[str, str],
    tmp_path: Path,
) -> Iterator[AccessPoint]:
    """An access point whose user looks after the recipe ``again`` in four regions.

    Its HTCondor is 25.14, or what a test asks for by ``indirect``.
    """
    from tests.rehearsal import access_point as point

    htcondor = getattr(request, "param", "25.14")
    place = Place(stage, baked.place.folder, again | FOUR_REGIONS)
    stage.calm()
    with point.access_point(place, tmp_path / "kept", htcondor) as there:
        yield there
        stage.calm()
        take_away(there.place, *point.IMAGES)
