"""The wait for a night's DAG: what its nodes say, and what keeps it.

The DAG does not need it: who stops waiting stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annexkit.errors import AnnexkitError
from annexkit.flows.nightly_parts import GO_ON, RESULTS, collect, plan_of, result_path
from annexkit.flows.nightly_record import LONGEST, Keeper, read_record
from annexkit.flows.site import Site
from annexkit.pool import dagman
from annexkit.pool.target import PoolError
from annexkit.publish import page
from annexkit.publish.night import Did
from annexkit.publish.night_dag import DAG, nodes_of
from annexkit.waiting import wait_for


def name_of(dag: Path) -> str:
    """Return what the queue knows a DAG by."""
    return f"annexkit {dag.parent.parent.name} {dag.parent.name}"


@dataclass
class _Waiting:
    """Looks at the queue, and tells of each node that has ended since."""

    site: Site
    folder: Path
    cluster: str = ""
    silent: bool = False
    told: dict[str, int] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)

    def over(self) -> bool:
        """Whether the DAG has left the queue.

        :raises PoolError: HTCondor holds it.
        """
        try:
            job = dagman.look(name_of(self.folder / DAG))
        except PoolError as error:  # it may be started again just now
            if not self.silent:
                self.site.console.error(error)
            self.silent = True
            return False
        self.silent = False
        self.tell()
        if job is None:
            return True
        self.cluster = job.cluster
        self.tell_held(job)
        if job.held:
            raise PoolError(
                f"HTCondor holds the night's DAG: {job.held}",
                where=f"cluster {job.cluster}",
                mend=f"condor_release {job.cluster}, once that is mended",
            )
        return False

    def tell_held(self, job: dagman.Job) -> None:
        """Tell of nodes that HTCondor holds; the DAG waits for them."""
        for held in set(job.nodes) - self.held:
            name, why = held
            mend = f"condor_release -constraint 'DAGNodeName == \"{name}\"'"
            self.site.console.step(f"{name} is held: {why}; once mended: {mend}")
        self.held |= {*job.nodes}

    def tell(self) -> None:
        """Tell of the nodes whose records are new."""
        for node in nodes_of(plan_of(self.folder)):
            path = result_path(self.folder, node)
            written = path.stat().st_mtime_ns if path.exists() else 0
            part = read_record(path) if written != self.told.get(path.name, 0) else None
            if part is None:
                continue
            self.told[path.name] = written
            wrong = [one.error for one in page.failures(part)]
            self.site.console.step(f"{node.name}: {'; '.join(wrong) or Did.DONE}")


def follow(site: Site, keeper: Keeper, folder: Path) -> None:
    """Wait until the DAG has left the queue, and take over what its last node wrote.

    :raises PoolError: HTCondor holds it.
    :raises AnnexkitError: it ended before its end.
    :raises Interrupted: a person stopped the waiting; the DAG goes on.
    """
    keeper.handed_over = True
    waiting = _Waiting(site, folder)
    waiting.told = _known(folder)
    try:
        wait_for(
            waiting.over,
            what="the night's DAG",
            timeout=LONGEST,
            poll=site.settings.poll,
            clock=site.clock,
            mend=GO_ON,
        )
    except BaseException:
        left = f"condor_rm {waiting.cluster}" if waiting.cluster else "condor_q -dag"
        site.console.step(f"the DAG stays in the queue; to wait: {GO_ON}; or {left}")
        raise
    keeper.handed_over = False
    night = read_record(keeper.path)
    if night is None or night.ended is None:
        keeper.night.images = collect(folder).images
        raise AnnexkitError(
            "the DAG has left the queue before its end",
            where=str(folder / f"{DAG}.dagman.out"),
            mend=GO_ON,
        )
    keeper.night = night


def _known(folder: Path) -> dict[str, int]:
    """Return which records there are, and of when: told of by an earlier run."""
    found = (folder / RESULTS).glob("*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}
