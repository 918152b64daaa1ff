from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import Exit
from annexkit.flows import pool_check, pool_guide
from annexkit.flows.pool_check import check, check_guide
from annexkit.flows.site import Site
from annexkit.pool import guide
from annexkit.pool.collector import About, Collector
from annexkit.pool.credentials import Secret
from annexkit.pool.dumped import Setting
from annexkit.pool.host import Host
from annexkit.pool.target import PoolError
from annexkit.settings import load
from tests.unit.helpers import FakeClock
from tests.unit.pool import guide_file

ABOUT = About("My Pool", "cm.example.org", "$CondorVersion: 25.14.1 x $", 0)
METHODS = "SEC_DEFAULT_AUTHENTICATION_METHODS"
KEY = "SEC_TOKEN_POOL_SIGNING_KEY_FILE"


class FakeHost(Host):
    """A central manager whose configuration is a dict of the test's."""

    values: dict[str, str]

    def value(self, name: str, subsystem: str = "") -> str:
        return self.values.get(name, "")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pool answers; a test changes it."""
    given: dict[str, Any] = {"about": ABOUT, "on_time": True, "secret": None}

    def get(name: str) -> Any:
        if isinstance(given[name], Exception):
            raise given[name]
        return given[name]

    monkeypatch.setattr(Collector, "about", lambda self: get("about"))
    monkeypatch.setattr(Collector, "clock_within", lambda *_: get("on_time"))
    given["secret"] = Secret("x.y.z", "idtokens", "annex@example.org", 1.0)
    monkeypatch.setattr(pool_check, "new_secret", lambda *_: get("secret"))
    monkeypatch.setattr(pool_check, "this_host", lambda: given.get("host"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return given


@pytest.fixture
def host(tmp_path: Path, answers: dict[str, Any]) -> FakeHost:
    key = tmp_path / "passwords.d" / "POOL"
    key.parent.mkdir()
    key.write_bytes(b"key")
    shared = tmp_path / "shared"
    shared.write_bytes(bytes(8))
    made = FakeHost("25.14.1")
    made.__dict__["values"] = {
        "DAEMON_LIST": "MASTER COLLECTOR",
        "TRUST_DOMAIN": "example.org",
        "UID_DOMAIN": "example.org",
        METHODS: "FS, IDTOKENS",
        "ALLOW_ADVERTISE_STARTD": "condor@*, annex@example.org",
        "ALLOW_ADVERTISE_MASTER": "condor@* annex@example.org",
        "ALLOW_ADMINISTRATOR": "root@example.org",
        "SEC_PASSWORD_DIRECTORY": str(key.parent),
        "SEC_PASSWORD_FILE": str(key),
        KEY: str(key),
    }
    answers["host"] = made
    return made


def run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], **pool: Any
) -> tuple[Exit, dict[str, Any], list[str]]:
    values = {
        "collector": "cm.example.org",
        "trust_domain": "example.org",
        "uid_domain": "example.org",
        "password_file": str(tmp_path / "shared"),
    }
    settings = load({"pool": values | pool})
    site = Site(settings, tmp_path, Console(as_json=True), clock=FakeClock())
    code = check(site)
    said = json.loads(capfd.readouterr().out)
    errors = [f["where"] for f in said["findings"] if f["level"] == "error"]
    return code, said, errors


def test_a_pool_that_is_ready_has_no_errors(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said, errors = run(tmp_path, capfd)
    assert (code, errors) == (Exit.DONE, [])
    assert said["collector"]["name"] == "My Pool"
    assert "x.y.z" not in json.dumps(said)


def test_unusable_settings_ask_nobody(
    tmp_path: Path, answers: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    answers["about"] = AssertionError("it was asked")
    code, said, errors = run(tmp_path, capfd, collector="")
    assert (code, said["collector"]) == (Exit.USAGE, None)
    assert errors == ["annexkit.pool.collector"]


def test_what_was_not_seen_from_here_is_said(
    tmp_path: Path, answers: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    code, said, _ = run(tmp_path, capfd)
    assert code is Exit.DONE
    assert any("was not checked from here" in f["what"] for f in said["findings"])


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("about", PoolError("nothing listens", where="cm"), "cm"),
        ("about", About("P", "cm", "$CondorVersion: 8.8.5 x $", 0), "8.8.5"),
        ("about", About("P", "cm", ABOUT.version), "cm.example.org:9618"),
        ("on_time", False, "cm.example.org:9618"),
        ("secret", PoolError("no token", where="token_command"), "token_command"),
    ],
)
def test_what_the_pool_lacks_fails_the_check(
    tmp_path: Path,
    answers: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    *,
    name: str,
    value: object,
    where: str,
) -> None:
    answers[name] = value
    code, _, errors = run(tmp_path, capfd)
    assert code is Exit.FAILED
    assert len(errors) == 1
    assert where in errors[0]


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("ALLOW_ADVERTISE_STARTD", "condor@*", "ALLOW_ADVERTISE_STARTD"),
        ("ALLOW_ADVERTISE_MASTER", "", "ALLOW_ADVERTISE_MASTER"),
        ("ALLOW_ADMINISTRATOR", "annex@example.org", "ALLOW_ADMINISTRATOR"),
        (METHODS, "FS", METHODS),
        ("TRUST_DOMAIN", "other.org", "annexkit.pool.trust_domain"),
        (KEY, "/none", "/none"),
    ],
)
def test_what_the_central_manager_lacks_for_tokens_is_named(
    tmp_path: Path,
    host: FakeHost,
    capfd: pytest.CaptureFixture[str],
    *,
    name: str,
    value: str,
    wrong: str,
) -> None:
    host.values[name] = value
    code, _, errors = run(tmp_path, capfd)
    assert (code, errors) == (Exit.FAILED, [wrong])


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("", "", None),
        ("ALLOW_ADMINISTRATOR", "root@example.org condor@*", "ALLOW_ADMINISTRATOR"),
        (METHODS, "FS, IDTOKENS", METHODS),
        ("SEC_PASSWORD_FILE", "/other", "SEC_PASSWORD_FILE"),
        (KEY, "shared", KEY),
    ],
)
def test_what_goes_wrong_with_the_password_is_named(
    tmp_path: Path,
    host: FakeHost,
    capfd: pytest.CaptureFixture[str],
    *,
    name: str,
    value: str,
    wrong: str | None,
) -> None:
    shared = str(tmp_path / "shared")
    host.values |= {METHODS: "FS, PASSWORD", "SEC_PASSWORD_FILE": shared}
    host.values[name] = shared if value == "shared" else value
    code, _, errors = run(tmp_path, capfd, method="password")
    assert errors == ([wrong] if wrong else [])
    assert code is (Exit.FAILED if wrong else Exit.DONE)


def test_a_plain_password_on_a_pools_host_is_found(
    tmp_path: Path, host: FakeHost, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    shared.write_text("correct horse battery")
    host.values |= {METHODS: "FS, PASSWORD", "SEC_PASSWORD_FILE": str(shared)}
    _, said, errors = run(tmp_path, capfd, method="password")
    assert errors == [str(shared)]
    assert "horse" not in json.dumps(said)


def test_who_is_not_root_cannot_see_the_key(
    tmp_path: Path,
    host: FakeHost,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, said, _ = run(tmp_path, capfd)
    assert code is Exit.DONE
    assert any("only root can see" in f["what"] for f in said["findings"])


@pytest.fixture
def guides(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The 2016 guide's file among those that the host reads."""
    path = tmp_path / "config.d" / guide_file.NAME
    path.parent.mkdir()
    path.write_text(guide_file.TEXT)
    host.values["LOCAL_CONFIG_DIR"] = str(path.parent)
    live = {
        line.name.lower(): Setting(", PASSWORD", f"{path}, line {line.number}")
        for line in guide.lines(guide_file.TEXT)
        if line.name.endswith("_METHODS")
    }
    monkeypatch.setattr(pool_guide, "matching", lambda _: live)
    return path


def test_a_host_with_the_guides_file_is_told_what_each_line_breaks(
    tmp_path: Path, host: FakeHost, guides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said, errors = run(tmp_path, capfd)
    assert code is Exit.FAILED
    assert errors == [f"{guides}, line {number}" for number in (4, 8, 12, 17)]
    of_file = [f for f in said["findings"] if str(guides) in f["where"]]
    assert len(of_file) == 15
    assert {f["mend"] for f in of_file if f["level"] == "error"} == {
        "invoke pool.config --write"
    }


def test_a_file_of_the_guide_that_is_mended_is_one_line(
    tmp_path: Path,
    host: FakeHost,
    guides: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = f"{guide.beside(guides)}, line 5"
    live = {
        line.name.lower(): Setting("x", later) for line in guide.lines(guide_file.TEXT)
    } | {guide.KEY.lower(): Setting("/other", later)}
    monkeypatch.setattr(pool_guide, "matching", lambda _: live)
    code, said, errors = run(tmp_path, capfd)
    assert (code, errors) == (Exit.DONE, [])
    (one,) = [f for f in said["findings"] if str(guides) in f["where"]]
    assert "no harm" in one["what"]


def test_with_the_guides_file_a_token_pool_has_administrators_by_the_password(
    tmp_path: Path, host: FakeHost, guides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.values["ALLOW_ADMINISTRATOR"] = "condor@* condor@password root@*"
    _, said, _ = run(tmp_path, capfd)
    (one,) = [f for f in said["findings"] if f["where"] == "ALLOW_ADMINISTRATOR"]
    assert (one["level"], "condor@* condor@password" in one["what"]) == (
        "warning",
        True,
    )
    guides.unlink()
    _, said, _ = run(tmp_path, capfd)
    assert "ALLOW_ADMINISTRATOR" not in {f["where"] for f in said["findings"]}


def test_another_password_file_of_the_guides_is_mended_in_the_settings(
    tmp_path: Path, host: FakeHost, guides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.values["SEC_PASSWORD_FILE"] = "/etc/condor/condor_pool_password"
    _, said, _ = run(tmp_path, capfd, method="password")
    (one,) = [f for f in said["findings"] if f["where"] == "SEC_PASSWORD_FILE"]
    assert one["mend"] == "set pool.password_file: /etc/condor/condor_pool_password"


def test_a_named_file_of_the_guide_is_judged_without_any_pool(
    tmp_path: Path, answers: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    answers["about"] = AssertionError("it was asked")
    path = tmp_path / "copy"
    path.write_text(guide_file.TEXT)
    bare = Site(load({}), tmp_path, Console(as_json=True))
    assert check_guide(bare, str(path)) is Exit.FAILED
    (file,) = json.loads(capfd.readouterr().out)["guide"]
    assert [line["line"] for line in file["lines"] if line["level"] == "error"] == [
        *(4, 8, 12, 17)
    ]
    path.write_text("SEC_DAEMON_AUTHENTICATION_METHODS = FS, PASSWORD\n")
    assert check_guide(Site(load({}), tmp_path), str(path)) is Exit.DONE
    assert "SEC_DAEMON_AUTHENTICATION_METHODS: works" in capfd.readouterr().err
