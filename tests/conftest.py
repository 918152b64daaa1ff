"""One rehearsal with one proved AMI, for all tests that bake by the command line."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import hypothesis
import pytest

from annexkit.process import Completed
from annexkit.registry import Build, RegionBuild
from annexkit.rehearsal import control
from annexkit.sections import RehearsalSettings
from tests.machine_count import (
    pytest_configure,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from tests.stage import REGION, Place, Stage, copy_checkout, write_again

__all__ = [
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
]
# What else this machine does must not make a property false.
hypothesis.settings.register_profile("annexkit", deadline=None)
hypothesis.settings.load_profile("annexkit")
# A run in a script's background has Ctrl-C ignored (POSIX shell, 2.11), and so would
# the commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
STAGE = RehearsalSettings(dir="cloud", machines=8)


@dataclass(frozen=True)
class Baked:
    """The first bake: what it said, what it left, and what it used as a secret.

    ``handed_out``: what the cloud gave away during it: private keys, tokens.
    """

    place: Place
    done: Completed
    called: list[str]
    left: frozenset[str]
    secrets: dict[str, str]
    handed_out: tuple[str, ...]

    @property
    def build_id(self) -> str:
        (build_id,) = self.place.registry.images["debian13"].builds
        return build_id

    @property
    def build(self) -> Build:
        return self.place.registry.images["debian13"].builds[self.build_id]

    @property
    def there(self) -> RegionBuild:
        return self.build.regions[REGION]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A rehearsal and a checkout that no other test uses."""
    from tests.rehearsal.conftest import bring_up

    root = tmp_path_factory.mktemp("stage")
    try:
        rehearsal = bring_up(root, STAGE)
        yield Stage(rehearsal, copy_checkout(root / "checkout"))
    finally:
        control.down(STAGE, root)


@pytest.fixture(scope="session")
def baked(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """``invoke bake`` with no flags, once for all tests."""
    used = {
        "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        "AWS_SESSION_TOKEN": secrets.token_urlsafe(90),
    }
    folder = tmp_path_factory.mktemp("baked")
    stage.calm()
    before = stage.inventory()
    done = Place(stage, folder, used).invoke("bake")
    called = stage.called()
    left = stage.inventory() - before
    given = tuple(secret for secret in stage.ask("secrets") if secret)
    return Baked(Place(stage, folder), done, called, left, used, given)


@pytest.fixture(scope="session")
def again(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a second recipe, which starts from the AMI of the first bake."""
    assert baked.done.exit_code == 0, baked.done.stderr
    (image,) = baked.place.stage.ec2().describe_images(ImageIds=[baked.there.ami])[
        "Images"
    ]
    return write_again(tmp_path_factory.mktemp("recipes"), image["Name"])
