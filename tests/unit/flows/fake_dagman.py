"""A stand-in for HTCondor's DAGMan: reads the DAG, runs its nodes in this process.

It knows what the nights use: parents, retries, the last node, and rescue files. The
real one runs in tests/rehearsal/test_nightly_dag.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError
from annexkit.flows.nightly_step import StepRequest, nightly_step
from annexkit.flows.site import Site
from annexkit.pool import dagman
from annexkit.pool.dagman import Job
from annexkit.pool.target import PoolError
from annexkit.publish.night_dag import REMOVED, SECRETS
from tests.unit.flows.bakery import Event, nothing

JOB = re.compile(r"^(JOB|FINAL) (\S+) step\.sub$", re.MULTILINE)
VARS = re.compile(r'^VARS (\S+) what="([^"]*)"$', re.MULTILINE)
RETRY = re.compile(r"^RETRY (\S+) (\d+)$", re.MULTILINE)
PARENT = re.compile(r"^PARENT (\S+) CHILD (\S+)$", re.MULTILINE)


@dataclass
class Dagman:
    """``ran``: every node that was run, in order, also when it was tried again.

    ``before``: what happens before a node. ``lost``: nodes that end without a word.
    ``jobs``: what the queue shows, one look after another, before it shows nothing.
    ``removed``: the node at which somebody removes the DAG. ``environments``: what it
    was submitted with.
    """

    site: Callable[[], Site]
    ran: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    before: dict[str, Event] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    jobs: list[Job | PoolError] = field(default_factory=list)
    removed: str = ""
    no_end: bool = False
    no_rescue: bool = False

    def submit(self, dag: Path, name: str, environment: Mapping[str, str]) -> None:
        self.names.append(name)
        self.environments.append(dict(environment))
        text = dag.read_text()
        night = dag.parent.parent.name
        rescues = sorted(dag.parent.glob("*.rescue*"))
        done = set(rescues[-1].read_text().split()) if rescues else set()
        done = self._nodes(night, text, done)
        if self.no_end:
            return
        called = dict(VARS.findall(text))["end"]
        ended = self._one(night, "end", called, REMOVED if self.removed else "0")
        if not ended and not self.no_rescue:
            path = dag.with_name(f"{dag.name}.rescue{len(rescues) + 1:03d}")
            path.write_text("\n".join(sorted(done)))

    def _nodes(self, night: str, text: str, done: set[str]) -> set[str]:
        """Run what is not done and whose parent is; return all that is done then."""
        parents = {child: parent for parent, child in PARENT.findall(text)}
        called, retries = dict(VARS.findall(text)), dict(RETRY.findall(text))
        for kind, node in JOB.findall(text):
            if node == self.removed:
                break
            if kind == "FINAL" or node in done:
                continue
            if parents.get(node, node) not in {node, *done}:
                continue
            tries = 1 + int(retries.get(node, 0))
            if any(self._one(night, node, called[node]) for _ in range(tries)):
                done = {*done, node}
        return done

    def _one(self, night: str, node: str, called: str, status: str = "0") -> bool:
        self.ran.append(node)
        self.before.get(node, nothing)()
        if node in self.lost:
            return False
        words = called.replace("=$(DAG_STATUS)", f" {status}").split()
        given = dict(zip((w[2:] for w in words[::2]), words[1::2], strict=True))
        calls = self.site().cloud.calls
        ours = dict(calls)
        calls.clear()  # a node is a process of its own
        try:
            return nightly_step(self.site(), StepRequest(night, **given)) == 0
        except AnnexkitError:
            return False
        finally:
            calls.clear()
            calls.update(ours)

    def look(self, name: str) -> Job | None:
        if not self.jobs:
            return None
        job = self.jobs.pop(0)
        if isinstance(job, PoolError):
            raise job
        return job


CREDENTIALS = "[default]\naws_access_key_id = x\naws_secret_access_key = x\n"


def put_in(site: Callable[[], Site], folder: Path, patch: pytest.MonkeyPatch) -> Dagman:
    """Put it in the place of HTCondor's; the credentials stand in a file, as they must.

    :param folder: where that file goes.
    """
    found = Dagman(site)
    patch.setattr(dagman, "require", lambda _: None)
    patch.setattr(dagman, "submit", found.submit)
    patch.setattr(dagman, "look", found.look)
    patch.setattr(dagman, "here", lambda: True)
    for name in SECRETS:
        patch.delenv(name, raising=False)
    path = folder / "credentials"
    path.write_text(CREDENTIALS)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return found
