"""Places to bake and to launch from, and the sums of what was interrupted there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.registry import State
from tests.conftest import Baked
from tests.faults.annex_situation import ground
from tests.faults.moments import IMAGE
from tests.faults.tally import Tally
from tests.stage import Place, Stage

__all__ = ["ground"]

TALLY = pytest.StashKey[Tally]()
LAUNCHES = pytest.StashKey[Tally]()
NIGHTS = pytest.StashKey[Tally]()


@pytest.fixture
def place(
    stage: Stage,
    baked: Baked,
    again: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """A place whose registry holds the AMI of the first bake; EC2 is as it was after.

    The recipe starts from that AMI, so that all steps run and nothing is downloaded.
    """
    copied = baked.place.copy(tmp_path / "place")
    place = Place(stage, copied.folder, again)
    for name, value in place.environment.items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy")):
            monkeypatch.setenv(name, value)
    stage.calm()
    yield place
    stage.calm()
    take_away(place)


def take_away(place: Place) -> None:
    """Deregister what the test's bakes proved: the next one begins as this one did."""
    record = place.registry.images.get(IMAGE)
    for build in record.builds.values() if record else ():
        for region, there in build.regions.items():
            if there.state is State.READY:
                ec2 = place.stage.ec2(region)
                ec2.deregister_image(ImageId=there.ami)
                ec2.delete_snapshot(SnapshotId=there.snapshot)


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash.setdefault(TALLY, Tally())


@pytest.fixture
def launch_tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash.setdefault(LAUNCHES, Tally("launches"))


@pytest.fixture
def night_tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash.setdefault(NIGHTS, Tally("nights"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for key in (TALLY, LAUNCHES, NIGHTS):
        if key in config.stash:
            terminalreporter.write_line(str(config.stash[key]))
