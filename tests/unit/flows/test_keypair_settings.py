"""Which key pair is meant: by flags, by settings, by a file of the user's own."""

from __future__ import annotations

from pathlib import Path

import paramiko
import pytest

from annexkit import ssh
from annexkit.errors import Exit, UsageError
from annexkit.flows import launch_key
from annexkit.flows.site import Site
from annexkit.sections import LaunchSettings
from tests.unit.flows.pairs import (
    Watch,
    configured,
    in_ec2,
    make,
    state_of,
)
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def test_a_launch_finds_what_was_made_by_its_name_alone(
    site: Site, kept: Path, capsys: Captured
) -> None:
    make(site)
    assert "launch.key_name: annexkit" in capsys.readouterr().err
    launch = LaunchSettings(key_name="annexkit")
    found = launch_key.find(site, launch, REGION)
    assert (found.pair, found.path) == ("annexkit", kept)
    configured(site, key_name="annexkit")
    make(site)
    assert "invoke.yaml" not in capsys.readouterr().err


def test_the_settings_name_the_pair_and_its_file(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "HTCondorAnnex.pem"
    configured(site, key_name="HTCondorAnnex", key_file=str(path))
    assert make(site) is Exit.DONE
    assert in_ec2(site, ssh.load_key(path), name="HTCondorAnnex")
    assert not (site.state / "keys").exists()
    found = launch_key.find(site, site.settings.launch, REGION)
    assert (found.pair, found.path) == ("HTCondorAnnex", path)


def test_another_name_does_not_take_the_file_of_the_settings_pair(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pem"
    configured(site, key_name="mine", key_file=str(path))
    make(site, name="other")
    assert not path.exists()
    assert in_ec2(site, ssh.load_key(site.state / "keys/other"), name="other")


def test_a_name_that_is_no_file_name_needs_a_file_of_the_settings(
    site: Site, watch: Watch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no name for the private file"):
        make(site, name="../../mine")
    assert watch.made == []
    path = tmp_path / "mine.pem"
    configured(site, key_name="../../mine", key_file=str(path))
    assert make(site) is Exit.DONE
    assert in_ec2(site, ssh.load_key(path), name="../../mine")


def test_an_empty_name_is_not_the_one_of_the_settings(site: Site) -> None:
    configured(site, key_name="mine")
    with pytest.raises(UsageError) as caught:
        make(site, name="")
    assert caught.value.where == "--key-name"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_of_the_users_own_is_imported_and_stays_where_it_is(
    site: Site, watch: Watch, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "id"
    if kind == "rsa":
        paramiko.RSAKey.generate(2048).write_private_key_file(str(path))
    else:
        ssh.new_key(path)
    before = state_of(path)
    for made in (1, 0):
        watch.made.clear()
        assert make(site, own=str(path), name="mine") is Exit.DONE
        assert len(watch.made) == made
    assert state_of(path) == before
    assert in_ec2(site, ssh.load_key(path), name="mine")
    assert not (site.state / "keys").exists()


@pytest.mark.parametrize("kind", ["missing", "public", "ecdsa"])
def test_what_cannot_be_imported_is_said_before_any_call(
    site: Site, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "id"
    if kind == "public":
        path.write_text(ssh.new_key().public_line)
        path.chmod(0o400)
    elif kind == "ecdsa":
        paramiko.ECDSAKey.generate(bits=256).write_private_key_file(str(path))
    with pytest.raises(UsageError) as caught:
        make(site, own=str(path))
    assert (caught.value.where, bool(caught.value.mend)) == (str(path), True)
    assert not site.cloud.calls


def test_an_empty_file_to_import_makes_no_key(site: Site, kept: Path) -> None:
    """An empty variable of a shell is not the wish for a new key."""
    with pytest.raises(UsageError) as caught:
        make(site, own="")
    assert caught.value.where == "--import"
    assert not kept.exists()
