from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import pool_secret
from annexkit.flows.site import Site
from annexkit.pool import password
from annexkit.settings import load

TEXT = "correct horse battery"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path / "pool_password"


@pytest.fixture
def site(path: Path) -> Site:
    settings = load({"pool": {"password_file": str(path)}})
    return Site(settings, path.parent, Console(as_json=True))


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def put(data: bytes) -> None:
        stdin = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(data))
        monkeypatch.setattr(sys, "stdin", stdin)

    return put


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    left = list(answers)
    monkeypatch.setattr(pool_secret, "getpass", lambda _: left.pop(0))
    stdin = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_a_piped_password_is_stored_for_root_alone(
    site: Site,
    path: Path,
    piped: Callable[[bytes], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    piped(f"{TEXT}\n".encode())
    assert pool_secret.store(site, replace=False) is Exit.DONE
    assert path.read_bytes() == password.scrambled(TEXT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    out, err = capfd.readouterr()
    assert '"changed": true' in out
    assert TEXT not in out + err


def test_the_same_password_again_changes_nothing_but_mends_the_mode(
    site: Site, path: Path, piped: Callable[[bytes], None]
) -> None:
    path.write_bytes(password.scrambled(TEXT))
    path.chmod(0o644)
    piped(TEXT.encode())
    assert pool_secret.store(site, replace=False) is Exit.DONE
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_password_needs_the_flag(
    site: Site, path: Path, piped: Callable[[bytes], None]
) -> None:
    path.write_bytes(b"old")
    piped(TEXT.encode())
    with pytest.raises(pool_secret.SecretError, match="another password") as error:
        pool_secret.store(site, replace=False)
    assert "--replace" in error.value.mend
    assert path.read_bytes() == b"old"
    piped(TEXT.encode())
    pool_secret.store(site, replace=True)
    assert path.read_bytes() == password.scrambled(TEXT)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"short", "shorter"),
        (b"x" * 256, "longer"),
        (b"two lines are\nnot one", "more than one line"),
        (b"a zero is\0in here", "zero byte"),
        (password.scrambled(TEXT), "plain ASCII"),
    ],
)
def test_what_is_no_password_is_refused(
    site: Site, path: Path, piped: Callable[[bytes], None], data: bytes, says: str
) -> None:
    piped(data)
    with pytest.raises(UsageError, match=says):
        pool_secret.store(site, replace=True)
    assert not path.exists()


def test_on_a_terminal_it_is_typed_twice(
    site: Site, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, TEXT, TEXT)
    assert pool_secret.store(site, replace=False) is Exit.DONE
    assert path.read_bytes() == password.scrambled(TEXT)
    typed(monkeypatch, TEXT, "something else")
    with pytest.raises(UsageError, match="the two differ"):
        pool_secret.store(site, replace=True)


def test_only_root_stores_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="only root"):
        pool_secret.store(site, replace=False)


def test_a_folder_that_is_not_there_is_said(
    path: Path, piped: Callable[[bytes], None]
) -> None:
    settings = load({"pool": {"password_file": str(path / "none" / "x")}})
    piped(TEXT.encode())
    with pytest.raises(Exception, match="could not be stored"):
        pool_secret.store(Site(settings, path.parent), replace=False)
