from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from annexkit.errors import Level
from annexkit.process import Completed
from annexkit.verify import checks
from tests.unit.verify.fake_node import FakeNode, node

__all__ = ["node"]


def expected(**changes: Any) -> checks.Expected:
    values: dict[str, Any] = {
        "build": "b",
        "digest": "d",
        "image": "debian13",
        "contract": "annexkit",
        "contracts": ("annexkit",),
        "family": "debian",
        "htcondor": "23.9.6",
        "files": "",
        "units": "",
        "hygiene": "",
        "now": 0.0,
        "job_user": "admin",
    }
    return checks.Expected(**values | changes)


@dataclass
class Answering:
    """A connection that gives one answer, and keeps what it was asked."""

    stdout: str
    stderr: str = ""
    exit_code: int = 0
    asked: list[str] = field(default_factory=list)

    def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60
    ) -> Completed:
        self.asked.append(command)
        return Completed((command,), self.exit_code, self.stdout, self.stderr)


class Local:
    """A connection to this machine, without sudo, and with an isolated Python."""

    def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60
    ) -> Completed:
        sudo, option, _, *arguments = shlex.split(command)
        assert (sudo, option) == ("sudo", "-n")
        text = stdin if isinstance(stdin, str) else stdin.decode()
        argv = [sys.executable, "-I", *arguments]  # -I: it cannot import annexkit
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, check=False, cwd="/"
        )
        return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def report(name: str = "i-1", **identity: tuple[str, ...]) -> checks.NodeReport:
    return checks.NodeReport(name=name, checks=(), identity=identity, boot_seconds=1.0)


def test_the_program_runs_by_itself_on_the_nodes_python(node: FakeNode) -> None:
    known = checks.Expected.model_fields
    want = {k: v for k, v in node.want.items() if k in known} | {"patience": 0.1}
    found = checks.run_checks(Local(), "i-1", checks.Expected(**want))
    outcome = {c.name: c for c in found.checks}
    assert len(outcome) == 21
    assert outcome["condor-version"].ok
    assert not outcome["contract"].ok, "this machine is no node"
    assert found.name == "i-1"
    assert {f.where for f in found.findings} == {"i-1"}


def test_what_is_expected_arrives_unchanged() -> None:
    connection = Answering('{"checks": [], "identity": {}, "boot_seconds": null}')
    checks.run_checks(connection, "i-1", expected(hygiene="a\tb\n'\"$(rm)\n"))
    (command,) = connection.asked
    argument = command.split()[-1]
    assert argument.isascii()
    assert not set(argument) & set("'\"$;&|<>() ")


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "sudo: a password is required", "a password is required"),
        ("", "", "silence"),
        ("[]", "", "did not run"),
        ('{"checks": [{"name": "x"}]}', "", "did not run"),
    ],
)
def test_an_answer_that_is_no_report_is_an_error(
    stdout: str, stderr: str, said: str
) -> None:
    connection = Answering(stdout, stderr, exit_code=1)
    with pytest.raises(checks.CheckError, match=said) as caught:
        checks.run_checks(connection, "i-1", expected())
    assert caught.value.where == "i-1"


def test_a_failed_check_is_a_finding_and_a_row() -> None:
    good = checks.Check(name="clock", ok=True, detail="+0.1 s", seconds=0.0)
    bad = checks.Check(name="lease", ok=False, detail="inactive", seconds=0.1)
    found = checks.NodeReport(
        name="i-1", checks=(good, bad), identity={}, boot_seconds=2.0
    )
    (finding,) = found.findings
    assert finding.level is Level.ERROR
    assert "lease" in finding.what
    assert "inactive" in finding.what
    assert found.rows() == [
        ("i-1", "clock", "ok", "+0.1 s"),
        ("i-1", "lease", "FAILED", "inactive"),
    ]


def test_nodes_that_differ_in_everything_are_fine() -> None:
    one, two = report(keys=("a", "b")), report("i-2", keys=("c",))
    assert checks.compare_uniqueness(one, two) == []


def test_one_shared_host_key_of_several_is_found() -> None:
    one, two = report(keys=("a", "b")), report("i-2", keys=("c", "b"))
    (finding,) = checks.compare_uniqueness(one, two)
    assert "i-1 and i-2 have the same keys" in finding.what
    assert "hygiene.tsv" in finding.mend


def test_an_empty_machine_id_is_found() -> None:
    one, two = report(machine=("",)), report("i-2", machine=("x",))
    assert [f.what for f in checks.compare_uniqueness(one, two)] == [
        "i-1 has no machine"
    ]
