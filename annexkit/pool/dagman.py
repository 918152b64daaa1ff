"""HTCondor's DAGMan on this host, its pool's access point (condor_submit_dag(1))."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annexkit.pool.target import PoolError
from annexkit.process import CommandError, run

SUBMIT, QUEUE = "condor_submit_dag", "condor_q"
# Of HTCondor's manual, "Job ClassAd Attributes". Nodes have the DAG's batch name, too.
SHOWN = ("JobUniverse", "JobStatus", "ClusterId", "DAGNodeName", "HoldReason")
HELD, DAGMAN, LOCAL = "5", "7", "12"
SECONDS = 120.0  # for the access point to answer


@dataclass(frozen=True)
class Job:
    """A DAG in the queue.

    ``held``: why it does not go on; empty when it does. ``nodes``: the names of its
    nodes that are held, and why.
    """

    cluster: str
    held: str = ""
    nodes: tuple[tuple[str, str], ...] = ()


def require(folder: Path) -> None:
    """Refuse to work where no DAG can be submitted, or DAGMan would not run it.

    It takes a log below /tmp for an error (DAGMAN_USE_STRICT).

    :param folder: where DAGs are to lie.
    :raises PoolError: HTCondor's commands are not here, or the folder will not do.
    """
    if str(folder).startswith("/tmp"):  # noqa: S108 - as DAGMan itself looks at it
        raise PoolError(
            "DAGMan keeps no log below /tmp, where the state folder lies",
            where=str(folder),
            mend="set annexkit.state_dir (invoke.yaml) to a folder elsewhere",
        )
    missing = [name for name in (SUBMIT, QUEUE) if shutil.which(name) is None]
    if missing:
        raise PoolError(
            f"no DAG can be submitted from this machine: it has no {missing[0]}",
            where="--via condor",
            mend="run it on the pool's access point, or leave --via out",
        )


def here() -> bool:
    """Whether this host has HTCondor's commands at all."""
    return shutil.which(QUEUE) is not None


def submit(dag: Path, name: str, environment: Mapping[str, str]) -> None:
    """Submit a DAG, or go on with one that left a rescue file.

    :param name: what the queue knows it by (its batch name).
    :param environment: all that the command gets: HTCondor may show it to everybody
        (DAGMAN_MANAGER_JOB_APPEND_GETENV).
    :raises PoolError: the access point refused it.
    """
    try:
        run(
            *(SUBMIT, "-notification", "never", "-batch-name", name, dag.name),
            cwd=dag.parent,
            env=environment,
            timeout=SECONDS,
        )
    except CommandError as error:
        said = f"{error.done.stderr} {error.done.stdout}"
        raise PoolError(
            f"the DAG was not taken: {' '.join(said.split())[-400:] or error.what}",
            where=str(dag),
            mend="correct what it names; condor_q shows whether HTCondor answers here",
        ) from error


def look(name: str) -> Job | None:
    """Return the DAG of that name that is in the queue; None when there is none.

    :raises PoolError: the access point does not answer.
    """
    asked = ("-allusers", "-constraint", f'JobBatchName =?= "{name}"')
    try:
        said = run(*(QUEUE, *asked, "-af", *SHOWN), timeout=SECONDS).stdout
    except CommandError as error:
        raise PoolError(
            f"the access point does not answer: {error.what}",
            where=QUEUE,
            mend="condor_q; on a host of the pool: systemctl status condor",
        ) from error
    jobs = [line.split(" ", len(SHOWN) - 1) for line in said.splitlines()]
    nodes = tuple((job[3], job[4]) for job in jobs if job[:2] == [LOCAL, HELD])
    for universe, status, cluster, _, reason in jobs:
        if universe == DAGMAN:
            return Job(cluster, reason if status == HELD else "", nodes)
    return None


def rescued(dag: Path) -> bool:
    """Whether a DAG that failed can be gone on with: it left a rescue file."""
    return any(dag.parent.glob(f"{dag.name}.rescue[0-9][0-9][0-9]"))
