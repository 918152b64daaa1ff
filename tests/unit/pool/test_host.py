from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annexkit.pool import host
from annexkit.pool.host import Host, this_host
from annexkit.pool.target import PoolError
from annexkit.process import CommandError, Completed

SAID = "$CondorVersion: 23.9.6 2026-07-12 PackageID: 23.9.6+dfsg-2.1+b10 $\n"


def answers(monkeypatch: pytest.MonkeyPatch, *answer: Any) -> list[tuple[str, ...]]:
    asked = []
    left = list(answer)

    def run(*args: str, **options: Any) -> Completed:
        asked.append(args)
        code, out, err = left.pop(0)
        done = Completed(args, code, out, err)
        if code == 127:
            raise CommandError(done)
        return done

    monkeypatch.setattr(host, "run", run)
    return asked


def test_the_version_is_what_condor_version_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, (0, SAID, ""))
    assert this_host() == Host("23.9.6")


@pytest.mark.parametrize("answer", [(127, "", ""), (0, "something else", "")])
def test_a_host_without_htcondor_is_none(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    answers(monkeypatch, answer)
    assert this_host() is None


def test_roles_are_the_daemons_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    daemons = "MASTER, COLLECTOR NEGOTIATOR schedd"
    answers(monkeypatch, (0, daemons, ""), (0, "MASTER STARTD", ""))
    assert Host("25.14.1").roles == ("cm", "ap")
    assert Host("25.14.1").roles == ()


def test_what_is_not_defined_is_empty_and_a_fault_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answers(
        monkeypatch,
        (1, "", "Not defined: X"),
        (1, "", "Configuration Error Line 3"),
        (1, "", "Not defined: LOCAL_CONFIG_DIR"),
        (0, "/usr/share/condor/config.d,/opt/etc/config.d", ""),
    )
    here = Host("25.14.1")
    assert here.value("X", "COLLECTOR") == ""
    assert asked == [("condor_config_val", "-subsystem", "COLLECTOR", "X")]
    with pytest.raises(PoolError, match="Line 3"):
        here.value("Y")
    assert here.path == Path("/etc/condor/config.d/80-annexkit-pool.config")
    assert here.path == Path("/opt/etc/config.d/80-annexkit-pool.config")


def test_files_come_in_the_order_in_which_htcondor_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "b/99_x_y.config",
        "b/99_x.config",
        "b/B",
        "b/a",
        "a/z",
        "a/z.rpmsave",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "b" / "folder").mkdir()
    folders = f"{tmp_path}/a, {tmp_path}/none {tmp_path}/b"
    answers(monkeypatch, (0, r"^((\..*)|(.*\.rpmsave))$", ""), (0, folders, ""))
    found = [str(path.relative_to(tmp_path)) for path in Host("25.14.1").files()]
    assert found == ["a/z", "b/99_x.config", "b/99_x_y.config", "b/B", "b/a"]


def test_an_expression_that_python_does_not_know_excludes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("")
    answers(monkeypatch, (0, "^(?|x", ""), (0, str(tmp_path), ""))
    assert list(Host("25.14.1").files()) == [tmp_path / "a"]


@pytest.mark.parametrize(
    ("said", "methods"),
    [
        ("FS,IDTOKENS,KERBEROS,SCITOKENS,SSL", ("FS", "IDTOKENS", "PASSWORD")),
        ("", ("FS", "IDTOKENS", "PASSWORD")),
        ("fs, ssl", ("FS", "SSL")),
    ],
)
def test_methods_that_a_pool_chose_stay_its_own(
    monkeypatch: pytest.MonkeyPatch, said: str, methods: tuple[str, ...]
) -> None:
    answers(monkeypatch, (0, said, ""))
    assert Host("25.14.1").methods == methods
