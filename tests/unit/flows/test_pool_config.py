from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, FindingsError, UsageError
from annexkit.files import write_beside
from annexkit.flows import pool_config, pool_files
from annexkit.flows.pool_config import ConfigRequest, configure
from annexkit.flows.site import Site
from annexkit.pool.host import Host
from annexkit.pool.target import PoolError
from annexkit.settings import load


class FakeHost(Host):
    """A host whose configuration is a dict of the test's."""

    values: dict[str, str]

    def value(self, name: str, subsystem: str = "") -> str:
        if "broken" in self.values:
            raise PoolError(self.values["broken"])
        return self.values.get(name, "")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    made = FakeHost("25.14.1")
    made.__dict__["values"] = {
        "DAEMON_LIST": "MASTER COLLECTOR SCHEDD",
        "LOCAL_CONFIG_DIR": str(tmp_path),
        "TRUST_DOMAIN": "example.org",
        "UID_DOMAIN": "example.org",
    }
    monkeypatch.setattr(pool_config, "this_host", lambda: made)
    stdin = SimpleNamespace(isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    return made


def site(tmp_path: Path, **pool: Any) -> Site:
    values = {
        "collector": "cm.example.org",
        "trust_domain": "example.org",
        "uid_domain": "example.org",
    }
    settings = load({"pool": values | pool})
    return Site(settings, tmp_path, Console(as_json=True))


def path_in(folder: Path) -> Path:
    return folder / "80-annexkit-pool.config"


def test_without_the_flag_it_shows_the_difference_and_writes_nothing(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    assert configure(site(tmp_path), ConfigRequest()) is Exit.DONE
    said = json.loads(capfd.readouterr().out)
    assert "+    ALLOW_ADVERTISE_STARTD" in said["difference"]
    assert said["difference"].startswith("--- /dev/null")
    assert (said["written"], said["roles"]) == (False, ["cm", "ap"])
    assert not path_in(tmp_path).exists()


def test_it_writes_once_and_the_second_time_there_is_nothing_to_do(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(site(tmp_path), ConfigRequest(write=True))
    first = capfd.readouterr()
    assert "condor_reconfig" in first.err
    before = path_in(tmp_path).read_text()
    configure(site(tmp_path), ConfigRequest(write=True))
    again = capfd.readouterr()
    assert json.loads(again.out)["difference"] == ""
    assert "nothing to do" in again.err
    assert path_in(tmp_path).read_text() == before
    assert path_in(tmp_path).stat().st_mode & 0o777 == 0o644


def test_a_change_of_method_shows_what_goes_and_what_comes(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(site(tmp_path), ConfigRequest(write=True))
    capfd.readouterr()
    configure(site(tmp_path, method="password"), ConfigRequest(write=True))
    said = capfd.readouterr()
    difference = json.loads(said.out)["difference"]
    assert "-    ALLOW_ADVERTISE_STARTD" in difference
    assert "+SEC_PASSWORD_FILE" in difference
    assert "condor_restart" in said.err


def test_the_pools_own_methods_stay(tmp_path: Path, host: FakeHost) -> None:
    host.values["SEC_DEFAULT_AUTHENTICATION_METHODS"] = "FS, SSL"
    configure(site(tmp_path, method="password"), ConfigRequest(write=True))
    assert "METHODS = FS, SSL, PASSWORD\n" in path_in(tmp_path).read_text()


def test_what_htcondor_cannot_read_is_taken_back(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_in(tmp_path).write_text("# as it was\n")

    def breaking(*args: Any, **options: Any) -> None:
        write_beside(*args, **options)
        host.values["broken"] = "line 3"

    monkeypatch.setattr(f"{pool_files.__name__}.write_beside", breaking)
    with pytest.raises(PoolError, match="line 3"):
        configure(site(tmp_path), ConfigRequest(write=True))
    assert path_in(tmp_path).read_text() == "# as it was\n"


def test_undo_removes_its_file_and_nothing_else(tmp_path: Path, host: FakeHost) -> None:
    (tmp_path / "70-other.config").write_text("X = 1\n")
    configure(site(tmp_path), ConfigRequest(write=True))
    configure(site(tmp_path), ConfigRequest(undo=True))
    assert [p.name for p in tmp_path.iterdir()] == ["70-other.config"]
    assert configure(site(tmp_path), ConfigRequest(undo=True)) is Exit.DONE


def test_the_pools_domains_are_never_changed(tmp_path: Path, host: FakeHost) -> None:
    host.values["TRUST_DOMAIN"] = "other.org"
    with pytest.raises(FindingsError, match=r"set pool.trust_domain: other\.org"):
        configure(site(tmp_path), ConfigRequest(write=True))
    assert not path_in(tmp_path).exists()


def test_an_access_point_needs_no_file_for_tokens(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    host.values["DAEMON_LIST"] = "MASTER SCHEDD"
    configure(site(tmp_path), ConfigRequest(write=True))
    assert "needs nothing" in capfd.readouterr().err
    assert not path_in(tmp_path).exists()


def test_for_another_host_it_is_printed(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(site(tmp_path), ConfigRequest(htcondor="23.9.6", write=True))
    (text,) = json.loads(capfd.readouterr().out)["files"].values()
    assert "for HTCondor 23.9.6" in text
    assert not path_in(tmp_path).exists()


def test_where_there_is_no_pool_it_says_how_to_print(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.values["DAEMON_LIST"] = "MASTER STARTD"
    with pytest.raises(UsageError, match="neither a central manager"):
        configure(site(tmp_path), ConfigRequest())
    monkeypatch.setattr(pool_config, "this_host", lambda: None)
    with pytest.raises(UsageError, match="no HTCondor") as error:
        configure(site(tmp_path), ConfigRequest())
    assert "--htcondor" in error.value.mend


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("", False)])
def test_on_a_terminal_it_asks(
    tmp_path: Path,
    host: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    written: bool,
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda _: answer)
    asking = Site(site(tmp_path).settings, tmp_path)
    configure(asking, ConfigRequest())
    assert path_in(tmp_path).exists() is written
