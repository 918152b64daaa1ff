"""A key pair of which a half is lost, or that was stopped on its way."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from annexkit import ssh
from annexkit.aws import AwsError
from annexkit.errors import Exit, UsageError
from annexkit.files import FileError
from annexkit.flows.site import Site
from annexkit.setup import keypair
from tests.unit.flows.pairs import (
    OTHER,
    Watch,
    in_ec2,
    make,
    refused,
    state_of,
)
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def test_a_file_whose_pair_is_gone_is_imported_again(
    site: Site, watch: Watch, kept: Path
) -> None:
    make(site)
    before = state_of(kept)
    site.cloud.call(REGION, "delete_key_pair", KeyName="annexkit")
    watch.made.clear()
    assert make(site) is Exit.DONE
    assert watch.names == [(REGION, "import_key_pair")]
    assert state_of(kept) == before
    assert in_ec2(site, ssh.load_key(kept))


def test_a_pair_whose_file_is_gone_is_told_and_found_again(
    site: Site, watch: Watch, kept: Path, tmp_path: Path, capsys: Captured
) -> None:
    make(site)
    moved = tmp_path / "moved"
    kept.rename(moved)
    watch.made.clear()
    error = refused(site)
    assert f"{kept} is not here" in error.findings[0].what
    capsys.readouterr()
    assert make(site, own=str(moved)) is Exit.DONE
    said = capsys.readouterr()
    assert "nothing to do" in said.out
    assert f"launch.key_file: {moved}" in said.err
    assert watch.made == []
    assert not kept.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_crash_between_file_and_ec2_loses_nothing(
    site: Site, watch: Watch, kept: Path, stop: type[BaseException]
) -> None:
    def crash(_: str) -> None:
        assert stat.S_IMODE(kept.stat().st_mode) == 0o400  # it is there before the call
        raise stop

    watch.on["import_key_pair"] = crash
    with pytest.raises(stop):
        make(site)
    before = state_of(kept)
    watch.on.clear()
    assert make(site) is Exit.DONE
    assert state_of(kept) == before
    assert in_ec2(site, ssh.load_key(kept))


def test_an_answer_that_was_lost_is_made_good_by_the_next_run(
    site: Site, watch: Watch, kept: Path
) -> None:
    def lost(region: str) -> None:
        keypair_of_ours = ssh.load_key(kept)
        watch.on.clear()
        keypair.give(site.cloud, region, "annexkit", keypair_of_ours)
        raise AwsError("gone", code="ReadTimeoutError", action="I", region=region)

    watch.on["import_key_pair"] = lost
    assert make(site) is Exit.FAILED
    watch.made.clear()
    assert make(site) is Exit.DONE
    assert watch.made == []


def test_a_pair_that_appears_meanwhile_is_not_taken_for_ours(
    site: Site, watch: Watch, kept: Path, capsys: Captured
) -> None:
    theirs = ssh.new_key()

    def faster(region: str) -> None:
        watch.on.clear()
        keypair.give(site.cloud, region, "annexkit", theirs)

    watch.on["import_key_pair"] = faster
    assert make(site) is Exit.FAILED
    assert "InvalidKeyPair.Duplicate" in capsys.readouterr().err
    assert in_ec2(site, theirs)


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    site: Site, watch: Watch, kept: Path, monkeypatch: Patch
) -> None:
    real = keypair.look

    def look(*args: Any) -> Any:
        ssh.new_key(kept)
        return real(*args)

    monkeypatch.setattr(keypair, "look", look)
    with pytest.raises(FileError, match="something of this name"):
        make(site)
    assert watch.made == []
    theirs = state_of(kept)
    monkeypatch.setattr(keypair, "look", real)
    assert make(site) is Exit.DONE
    assert state_of(kept) == theirs


def test_one_key_serves_every_region(site: Site, watch: Watch, kept: Path) -> None:
    assert make(site, regions=(REGION, OTHER)) is Exit.DONE
    assert sorted(watch.names) == [
        (OTHER, "import_key_pair"),
        (REGION, "import_key_pair"),
    ]
    key = ssh.load_key(kept)
    assert in_ec2(site, key)
    assert in_ec2(site, key, OTHER)


def test_a_region_that_refuses_stops_no_other_and_the_next_run_does_the_rest(
    site: Site, watch: Watch, kept: Path, capsys: Captured
) -> None:
    def one(region: str) -> None:
        if region == REGION:
            raise AwsError(
                "no", code="UnauthorizedOperation", action="I", region=region
            )

    watch.on["import_key_pair"] = one
    assert make(site, regions=(REGION, OTHER)) is Exit.PARTLY
    said = capsys.readouterr()
    assert "docs/iam-policy.json" in said.err
    assert "nothing to do" not in said.out
    assert in_ec2(site, ssh.load_key(kept), OTHER)
    watch.on.clear()
    watch.made.clear()
    assert make(site, regions=(REGION, OTHER)) is Exit.DONE
    assert watch.names == [(REGION, "import_key_pair")]


def test_an_unknown_region_is_refused_before_any_call(site: Site, watch: Watch) -> None:
    with pytest.raises(UsageError, match="unknown region"):
        make(site, regions=("us-wset-2",))
    assert not site.cloud.calls


@pytest.mark.parametrize(
    ("text", "mode"), [("no key", 0o400), ("open", 0o644), ("", 0o600)]
)
def test_a_file_that_is_there_and_no_use_is_left_as_it_is(
    site: Site, watch: Watch, kept: Path, text: str, mode: int
) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    kept.chmod(mode)
    before = state_of(kept)
    with pytest.raises(UsageError) as caught:
        make(site)
    assert caught.value.where == str(kept)
    assert "never overwritten" in caught.value.mend
    assert state_of(kept) == before
    assert watch.made == []


def test_a_link_that_leads_nowhere_is_not_followed(site: Site, kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    kept.symlink_to(site.root / "elsewhere")
    with pytest.raises(UsageError):
        make(site)
    assert not (site.root / "elsewhere").exists()


def test_a_disk_that_refuses_leaves_ec2_as_it_was(
    site: Site, watch: Watch, kept: Path
) -> None:
    site.state.mkdir(parents=True, exist_ok=True)
    kept.parent.write_text("a file in place of the folder")
    with pytest.raises(FileError):
        make(site)
    assert watch.made == []
