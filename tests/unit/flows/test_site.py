"""Where things lie, and that nothing is asked of AWS before it is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annexkit.aws import AwsError
from annexkit.flows.site import Site
from annexkit.registry import RegistryError
from annexkit.settings import Settings
from tests.unit.helpers import ACCOUNT


def site(root: Path, **settings: str) -> Site:
    return Site(Settings.model_validate(settings), root)


def test_relative_places_start_at_the_checkout(tmp_path: Path) -> None:
    here = site(tmp_path, registry="r.json", state_dir="state", cache_dir="cache")
    assert here.registry.path == tmp_path / "r.json"
    assert here.state == tmp_path / "state"
    assert here.journal.folder == tmp_path / "state" / "journal"
    assert here.cache == tmp_path / "cache"


def test_absolute_places_stay_where_they_are(tmp_path: Path) -> None:
    far = str(tmp_path / "far")
    there = site(tmp_path / "checkout", registry=far, state_dir=far, cache_dir=far)
    assert str(there.registry.path) == str(there.state) == str(there.cache) == far


def test_a_site_needs_no_credentials_until_it_asks_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    here = site(tmp_path, registry="r.json")
    assert here.registry.read().images == {}
    with pytest.raises(AwsError, match="nobody"):
        _ = here.cloud


@pytest.mark.usefixtures("cloud")
def test_the_account_is_checked_against_the_registry(tmp_path: Path) -> None:
    here = site(tmp_path, registry="r.json")
    here.check_account()  # nobody's yet
    here.registry.update(here.registry.claim(ACCOUNT, "aws"))
    here.check_account()
    other = replace(here)
    (tmp_path / "r.json").write_text(
        (tmp_path / "r.json").read_text().replace(ACCOUNT, "2" * 12)
    )
    with pytest.raises(RegistryError, match="belongs to account 222222222222"):
        other.check_account()
