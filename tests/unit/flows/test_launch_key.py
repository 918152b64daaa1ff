"""The key of a launch: the annex's own, or a configured pair with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit import annexes, ssh
from annexkit.aws import AwsError
from annexkit.errors import FindingsError, UsageError
from annexkit.flows import launch_key
from annexkit.flows.launch_key import LaunchKey
from annexkit.flows.site import Site
from annexkit.sections import LaunchSettings
from tests.unit.flows.launching import errors
from tests.unit.helpers import REGION


def wanted(**changes: str) -> LaunchSettings:
    return LaunchSettings.model_validate({"annex_name": "grid"} | changes)


def find(site: Site, **changes: str) -> LaunchKey:
    return launch_key.find(site, wanted(**changes), REGION)


def refused(site: Site, **changes: str) -> FindingsError:
    with pytest.raises(FindingsError) as caught:
        find(site, **changes)
    assert all(found.mend for found in caught.value.findings)
    return caught.value


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The user's own private key."""
    path = tmp_path / "mine"
    ssh.new_key(path)
    return str(path)


def test_the_annexs_key_is_made_once_and_only_when_it_is_needed(site: Site) -> None:
    key = find(site)
    assert key.path == annexes.folder(site.state, "grid").key
    assert not key.path.exists()
    assert "is made" in str(key)
    made = key.load()
    assert key.path.stat().st_mode & 0o777 == 0o400
    again = find(site)
    assert "is there" in str(again)
    assert again.load().public_line == made.public_line


@pytest.mark.parametrize(("text", "mode"), [("damaged", 0o400), ("open", 0o644)])
def test_an_annexs_key_that_cannot_be_used_is_said_beforehand(
    site: Site, text: str, mode: int
) -> None:
    path = find(site).path
    find(site).load()
    path.chmod(0o600)
    if text == "damaged":
        path.write_text("no key")
    path.chmod(mode)
    with pytest.raises(UsageError) as caught:
        find(site)
    assert caught.value.where == str(path)
    assert f"chmod 0400 {path}" in caught.value.mend
    assert "logged in to any more" in caught.value.mend


def test_a_configured_pair_is_used_with_its_file(site: Site, mine: str) -> None:
    site.cloud.call(REGION, "create_key_pair", KeyName="alice")
    key = find(site, key_name="alice", key_file=mine)
    assert (key.pair, key.path, key.made) == ("alice", Path(mine), False)
    assert key.load().public_line == ssh.load_key(Path(mine)).public_line
    assert str(key) == f"key pair alice with {mine}"
    assert not annexes.folder(site.state, "grid").path.exists()


def test_a_tilde_is_the_home_folder(
    site: Site, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path(mine).parent))
    site.cloud.call(REGION, "create_key_pair", KeyName="alice")
    assert find(site, key_name="alice", key_file="~/mine").path == Path(mine)


def test_half_a_pair_is_refused(site: Site, mine: str) -> None:
    site.cloud.call(REGION, "create_key_pair", KeyName="alice")
    error = refused(site, key_name="alice")
    assert errors(error.findings) == ["annexkit.launch.key_file"]
    error = refused(site, key_file=mine)
    assert errors(error.findings) == ["annexkit.launch.key_name"]


def test_all_that_is_wrong_with_a_pair_is_said_at_once(site: Site) -> None:
    error = refused(site, key_name="nobody", key_file="/none/at/all")
    where = errors(error.findings)
    assert where == ["/none/at/all", "annexkit.launch.key_name"]
    assert f"no key pair 'nobody' in {REGION}" in str(error)


def test_another_error_of_ec2_is_no_missing_pair(
    site: Site, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(region: str, method: str, **_: object) -> None:
        raise AwsError("no", code="UnauthorizedOperation", action=method, region=region)

    monkeypatch.setattr(site.cloud, "call", denied)
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        find(site, key_name="alice", key_file=mine)


def test_a_name_alone_means_the_file_that_invoke_keypair_made(site: Site) -> None:
    path = site.state / "keys" / "alice"
    assert errors(refused(site, key_name="alice").findings) == [
        "annexkit.launch.key_file",
        "annexkit.launch.key_name",
    ]
    ssh.new_key(path)
    site.cloud.call(REGION, "create_key_pair", KeyName="alice")
    key = find(site, key_name="alice")
    assert (key.pair, key.path, key.made) == ("alice", path, False)


def test_a_name_alone_without_a_file_is_mended_by_invoke_keypair(site: Site) -> None:
    site.cloud.call(REGION, "create_key_pair", KeyName="the grid's")
    (found,) = refused(site, key_name="the grid's").findings
    assert found.where == "annexkit.launch.key_file"
    assert """invoke keypair --key-name 'the grid'"'"'s',""" in found.mend


def test_a_name_leads_to_no_file_outside_the_folder_of_keys(site: Site) -> None:
    ssh.new_key(site.state / "id")
    site.cloud.call(REGION, "create_key_pair", KeyName="../id")
    error = refused(site, key_name="../id")
    assert errors(error.findings) == ["annexkit.launch.key_file"]
