"""Finding Packer: what a person gets told when it is not there, too old or another."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake.packer_program import Packer, PackerError, environment, find_packer
from annexkit.errors import UsageError


def program(folder: Path, text: str) -> str:
    path = folder / "packer"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_where_the_usual_packer_is_there_it_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packer = tmp_path / "packer"
    packer.write_text("")
    packer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no program 'pakcer'") as caught:
        find_packer("pakcer")
    assert caught.value.mend == "export INVOKE_ANNEXKIT_PACKER_PROGRAM=packer"


def test_no_packer_is_an_error_that_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed") as caught:
        find_packer("packer")
    assert "apt-get install packer" in caught.value.mend


@pytest.mark.usefixtures("real_processes")
@pytest.mark.parametrize(
    ("says", "match"),
    [
        ("echo Packer v1.5.1", "1.5.1 is too old"),
        ("echo cracklib 2.9", "cannot tell Packer's version"),
        ("exit 3", "cannot tell Packer's version: it said 'nothing'"),
    ],
)
def test_a_packer_that_cannot_be_used_is_refused(
    tmp_path: Path, says: str, match: str
) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        find_packer(program(tmp_path, says))
    assert caught.value.mend


@pytest.mark.usefixtures("real_processes")
def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "packer"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(UsageError, match="does not answer"):
        find_packer(str(path))


@pytest.mark.usefixtures("real_processes")
def test_a_newer_packer_is_taken_with_the_newer_dialect(tmp_path: Path) -> None:
    found = find_packer(program(tmp_path, "echo Packer v1.11.2; echo 'out of date'"))
    assert found.version == (1, 11, 2)
    assert found.dialect.plugins
    assert str(found) == "Packer 1.11.2"


@pytest.mark.packer
def test_the_installed_packer_is_found() -> None:
    assert find_packer("packer").version >= (1, 6, 6)


@pytest.mark.usefixtures("real_processes")
def test_a_plugin_that_cannot_be_installed_is_an_error_with_packers_words(
    tmp_path: Path,
) -> None:
    from annexkit.bake.packer_program import init

    path = program(tmp_path, 'echo "Error: no plugin $1 $2" >&2; exit 1')
    with pytest.raises(PackerError, match="no plugin init") as caught:
        init(Packer(path, (1, 11, 0)), tmp_path)
    assert caught.value.where == str(tmp_path)


def test_packers_environment_is_quiet_and_keeps_the_credentials() -> None:
    env = environment({"PACKER_LOG": "1", "AWS_SECRET_ACCESS_KEY": "s", "PATH": "/bin"})
    assert env == {
        "AWS_SECRET_ACCESS_KEY": "s",
        "PATH": "/bin",
        "CHECKPOINT_DISABLE": "1",
        "PACKER_NO_COLOR": "1",
    }


def test_a_failure_shows_the_error_then_the_guests_last_lines() -> None:
    error = PackerError(
        "Packer failed at '20-htcondor.sh': exit status 1",
        where="/log",
        errors=("exit status 1", "another"),
        guest=("E: no such package",),
        step="20-htcondor.sh",
    )
    first, reported, guest = (str(f) for f in error.findings)
    assert first.startswith("/log: Packer failed at '20-htcondor.sh'")
    assert reported == "Packer reported:\n  another"
    assert guest == "the last lines of 20-htcondor.sh:\n  E: no such package"
