"""The checks of a node as values: what is expected, what was found, what differs."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from annexkit.errors import AnnexkitError, Finding, Level
from annexkit.process import Completed

# What runs on the node, in the order in which one needs the other.
MODULES = (
    "node_base",
    "node_system",
    "node_imds",
    "node_condor",
    "node_pool",
    "node_check",
)
# Makes modules of the sources in the node's Python, so that they import each other
# there as here; nothing is written to the node's disk.
LOADER = """
import sys, types
for name, source in {sources!r}:
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(sys.argv[1])
"""
HERE = Path(__file__).parent
TIMEOUT = 300.0
MEND = "look at the node: journalctl -b -u 'annexkit-*' -u condor -u cloud-final"


class CheckError(AnnexkitError):
    """The checks could not be run on a node."""


class Connection(Protocol):
    """What is needed of an SSH connection."""

    def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60
    ) -> Completed:
        """Run a command and return its exit code and output."""
        ...


class Expected(BaseModel):
    """What a node should be.

    :param files: content of ``provision/files.tsv``.
    :param packages: those that the recipe names, for the tables' rows ``package=``.
    :param units: content of ``provision/units.tsv``.
    :param hygiene: content of ``provision/hygiene.tsv``.
    :param now: our own time, in epoch seconds.
    :param job_user: as whom a test job is submitted.
    :param patience: seconds that all waiting on the node together may take.
    :param mode: what the user data asked for; a node of a pool is not asked to run a
        job, and nothing waits for the end of its boot.
    :param lease_expires: when the node must end, in epoch seconds; None: as it was told
        at its start.
    """

    model_config = ConfigDict(frozen=True)

    build: str
    digest: str
    image: str
    contract: str
    contracts: tuple[str, ...]
    family: str
    packages: tuple[str, ...] = ()
    htcondor: str
    files: str
    units: str
    hygiene: str
    now: float
    job_user: str
    patience: float = 120.0
    mode: Literal["one-node", "pool"] = "one-node"
    lease_expires: float | None = None


class Check(BaseModel):
    """One check and how it went."""

    name: str
    ok: bool
    detail: str
    seconds: float


class NodeReport(BaseModel):
    """Everything one node said of itself."""

    name: str = ""
    checks: tuple[Check, ...]
    identity: dict[str, tuple[str, ...]]
    boot_seconds: float | None

    @property
    def findings(self) -> list[Finding]:
        """Each check that failed, as an error."""
        return [
            Finding(
                Level.ERROR,
                f"check '{check.name}' failed: {check.detail or 'no detail'}",
                self.name,
                MEND,
            )
            for check in self.checks
            if not check.ok
        ]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the checks for a table: node, check, result, detail."""
        return [
            (self.name, c.name, "ok" if c.ok else "FAILED", c.detail)
            for c in self.checks
        ]


def program(modules: Sequence[str] = MODULES) -> str:
    """Return a program for the node's Python; the last module's ``main`` is run.

    :param modules: names in this package, in the order in which one needs the other.
    """
    package = __name__.rpartition(".")[0]
    parents = [(package.partition(".")[0], ""), (package, "")]
    sources = [
        (f"{package}.{name}", (HERE / f"{name}.py").read_text(encoding="utf-8"))
        for name in modules
    ]
    return LOADER.format(sources=parents + sources)


def run_checks(connection: Connection, name: str, expected: Expected) -> NodeReport:
    """Run all checks on a node: one command, one JSON document.

    :param name: what the node is called in findings, its instance id.
    :raises CheckError: the node did not run them, or its answer is no report.
    """
    argument = base64.b64encode(expected.model_dump_json().encode()).decode()
    done = connection.run(
        f"sudo -n python3 - {argument}",
        stdin=program(),
        timeout=TIMEOUT,
    )
    try:
        said: Any = json.loads(done.stdout)
        return NodeReport.model_validate({**said, "name": name})
    except (ValueError, TypeError, ValidationError) as error:
        heard = (done.stderr or done.stdout).strip()[-500:]
        raise CheckError(
            f"the checks did not run: exit code {done.exit_code}, {heard or 'silence'}",
            where=name,
            mend=MEND,
        ) from error


def compare_uniqueness(*reports: NodeReport) -> list[Finding]:
    """Return a finding for each identity that two nodes share."""
    found = []
    for at, one in enumerate(reports):
        for other in reports[at + 1 :]:
            found += [
                Finding(
                    Level.ERROR,
                    f"{one.name} and {other.name} have the same {what}",
                    mend="the image carries it: add a rule to provision/hygiene.tsv",
                )
                for what in one.identity
                if set(one.identity[what]) & set(other.identity.get(what, ()))
            ]
        found += [
            Finding(Level.ERROR, f"{one.name} has no {what}", mend=MEND)
            for what, values in one.identity.items()
            if not any(values)
        ]
    return found
