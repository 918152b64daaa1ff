"""``invoke pool.config`` and the pool's file of the 2016 guide."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.files import FileError, write_beside
from annexkit.flows import pool_config, pool_files, pool_guide
from annexkit.flows.pool_config import ConfigRequest, configure
from annexkit.flows.site import Site
from annexkit.pool import guide
from annexkit.pool.dumped import Setting
from annexkit.pool.target import PoolError
from annexkit.settings import load
from tests.unit.flows.test_pool_config import FakeHost, host, path_in, site
from tests.unit.pool import guide_file

__all__ = ["host"]  # a fixture


@pytest.fixture
def guides(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's file where HTCondor reads it, and what HTCondor has for it."""
    path = tmp_path / guide_file.NAME
    path.write_text(guide_file.TEXT)

    def matching(pattern: str) -> dict[str, Setting]:
        found = {guide.KEY.lower(): Setting("/etc/condor/condor_pool_password")}
        for file in host.files():
            for line in guide.lines(file.read_text(errors="replace")):
                source = f"{file}, line {line.number}"
                value = line.value.replace(f"$({line.name})", "")
                found[line.name.lower()] = Setting(value, source)
        return {
            name: one for name, one in found.items() if re.search(pattern, name.upper())
        }

    monkeypatch.setattr(pool_guide, "matching", matching)
    return path


def beside(path: Path) -> Path:
    return path.with_name("99_condor_annex_passwd_annexkit.config")


def test_the_guides_file_is_mended_beside_it_after_the_difference(
    tmp_path: Path, guides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert configure(site(tmp_path), ConfigRequest()) is Exit.DONE
    said = json.loads(capfd.readouterr().out)
    assert f"--- {guides}\n+++ {beside(guides)}\n" in said["difference"]
    assert "+SEC_CLIENT_AUTHENTICATION_METHODS = FS, IDTOKENS, PASSWORD" in (
        said["difference"].splitlines()
    )
    (file,) = said["guide"]
    levels = [line["level"] for line in file["lines"]]
    assert (len(levels), levels.count("error")) == (15, 4)
    assert sorted(tmp_path.iterdir()) == [guides]
    configure(site(tmp_path), ConfigRequest(write=True))
    assert "condor_restart" in capfd.readouterr().err
    assert path_in(tmp_path).exists()
    assert "SEC_PASSWORD_FILE = /etc/condor" in beside(guides).read_text()
    assert guides.read_text() == guide_file.TEXT


def test_once_it_is_mended_there_is_nothing_to_do(
    tmp_path: Path, guides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(site(tmp_path), ConfigRequest(write=True))
    before = beside(guides).read_text()
    capfd.readouterr()
    configure(site(tmp_path), ConfigRequest(write=True))
    again = capfd.readouterr()
    assert (json.loads(again.out)["difference"], beside(guides).read_text()) == (
        "",
        before,
    )
    assert again.err.count("nothing to do") == 2


def test_the_hosts_own_methods_stay_in_what_works(
    tmp_path: Path, host: FakeHost, guides: Path
) -> None:
    host.values["SEC_DEFAULT_AUTHENTICATION_METHODS"] = "FS, SSL"
    configure(site(tmp_path), ConfigRequest(write=True))
    assert "CLIENT_AUTHENTICATION_METHODS = FS, SSL, PASSWORD" in (
        beside(guides).read_text()
    )


def test_undo_takes_what_works_away_too_and_leaves_the_guides_file(
    tmp_path: Path, guides: Path
) -> None:
    configure(site(tmp_path), ConfigRequest(write=True))
    configure(site(tmp_path), ConfigRequest(undo=True))
    assert list(tmp_path.iterdir()) == [guides]


def test_what_htcondor_excludes_is_no_file_of_the_guide(
    tmp_path: Path, host: FakeHost, guides: Path
) -> None:
    host.values["LOCAL_CONFIG_DIR_EXCLUDE_REGEXP"] = r"^(.*\.rpmsave)$"
    saved = guides.rename(f"{guides}.rpmsave")
    configure(site(tmp_path), ConfigRequest(write=True))
    assert sorted(tmp_path.iterdir()) == [path_in(tmp_path), saved]


def test_a_file_of_somebody_elses_in_its_place_is_left_alone(
    tmp_path: Path, guides: Path
) -> None:
    beside(guides).write_text("# mine\n")
    with pytest.raises(UsageError, match=r"none of annexkit's"):
        configure(site(tmp_path), ConfigRequest(write=True))
    with pytest.raises(UsageError, match=r"none of annexkit's"):
        configure(site(tmp_path), ConfigRequest(guide=str(guides), undo=True))
    assert beside(guides).read_text() == "# mine\n"


def test_what_is_no_text_in_its_place_is_left_alone(
    tmp_path: Path, guides: Path
) -> None:
    beside(guides).write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="no text"):
        configure(site(tmp_path), ConfigRequest(write=True))
    assert beside(guides).read_bytes() == b"\xff\xfe"


def test_both_files_are_taken_back_when_htcondor_cannot_read_them(
    tmp_path: Path, host: FakeHost, guides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(path: Path, *args: Any, **options: Any) -> None:
        write_beside(path, *args, **options)
        host.values["broken"] = "line 3"

    monkeypatch.setattr(pool_files, "write_beside", breaking)
    with pytest.raises(PoolError, match="line 3"):
        configure(site(tmp_path), ConfigRequest(write=True))
    assert list(tmp_path.iterdir()) == [guides]


def test_a_disk_that_is_full_leaves_all_as_it_was(
    tmp_path: Path, guides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *args: Any, **options: Any) -> None:
        if path == beside(guides):
            raise FileError("no room")
        write_beside(path, *args, **options)

    monkeypatch.setattr(pool_files, "write_beside", full)
    with pytest.raises(FileError, match="no room"):
        configure(site(tmp_path), ConfigRequest(write=True))
    assert list(tmp_path.iterdir()) == [guides]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's file on a machine without HTCondor."""
    monkeypatch.setattr(pool_config, "this_host", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    path = tmp_path / "copy" / guide_file.NAME
    path.parent.mkdir()
    path.write_text(guide_file.TEXT)
    return path


def test_a_file_that_is_named_is_mended_where_it_lies(
    tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = Site(load({}), tmp_path, Console(as_json=True))
    assert configure(bare, ConfigRequest(guide=str(elsewhere))) is Exit.DONE
    shown = capfd.readouterr()
    assert f"invoke pool.config --from {elsewhere} --write" in shown.err
    assert not beside(elsewhere).exists()
    configure(bare, ConfigRequest(guide=str(elsewhere), write=True))
    said = json.loads(capfd.readouterr().out)
    assert (said["written"], said["difference"]) == (
        True,
        json.loads(shown.out)["difference"],
    )
    assert "FS, IDTOKENS, PASSWORD" in beside(elsewhere).read_text()
    configure(bare, ConfigRequest(guide=str(elsewhere), undo=True))
    assert list(elsewhere.parent.iterdir()) == [elsewhere]


def test_people_are_told_each_line_and_its_mend(
    tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(Site(load({}), tmp_path), ConfigRequest(guide=str(elsewhere)))
    said = capfd.readouterr()
    assert said.err.count(f"{elsewhere}, line ") == 15
    assert f"mend: invoke pool.config --from {elsewhere} --write" in said.err
    assert "+SEC_TOKEN_POOL_SIGNING_KEY_FILE = " in said.out


def test_what_works_already_is_left_alone(
    tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fine = elsewhere.with_name("fine.config")
    fine.write_text("SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD\n")
    request = ConfigRequest(guide=str(fine), write=True)
    assert configure(Site(load({}), tmp_path), request) is Exit.DONE
    assert "nothing to do" in capfd.readouterr().err
    assert sorted(elsewhere.parent.iterdir()) == [elsewhere, fine]


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"\xff\xfe", "no text"), (b"X = 1\n", "sets nothing")],
)
def test_what_is_no_file_of_the_guide_is_refused(
    tmp_path: Path, elsewhere: Path, content: bytes | None, says: str
) -> None:
    other = tmp_path / "other"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        configure(Site(load({}), tmp_path), ConfigRequest(guide=str(other)))
