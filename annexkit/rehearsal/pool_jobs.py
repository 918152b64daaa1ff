"""Real jobs on a rehearsal's pool, submitted by an ordinary user of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from annexkit.errors import AnnexkitError
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.waiting import Clock, wait_for

COMPLETED = 4  # JobStatus (HTCondor manual, job ClassAd attributes)
# The user's own shell command; what it prints is brought back by HTCondor.
SUBMIT = """\
executable = /bin/sh
arguments = "-c 'sleep {seconds}; hostname; id -un'"
transfer_executable = false
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
output = job.$(Cluster).$(Process).out
error = job.$(Cluster).$(Process).err
log = job.$(Cluster).log
request_cpus = 1
request_memory = 32
request_disk = 16384
requirements = AnnexName == "{annex}"
job_machine_attrs = AnnexName, EC2InstanceID
{also}
queue {count}
"""
ATTRIBUTES = "ProcId,JobStatus,ExitCode,LastRemoteHost,MachineAttrEC2InstanceID0"


@dataclass(frozen=True)
class Job:
    """One job that is done: where it ran, how it ended, what it printed."""

    id: str
    node: str
    exit_code: int
    output: str


def jobs(
    host: PoolHost,
    count: int,
    annex: str,
    *,
    user: str = "alice",
    seconds: float = 1,
    timeout: float = 180,
    also: str = "",
    clock: Clock | None = None,
) -> list[Job]:
    """Submit jobs that only run on *annex*, and wait until all are done.

    :param seconds: how long each job sleeps.
    :param also: more lines of the submit description.
    :raises Deadline: not all completed in time.
    :raises CommandError: the access point refused them.
    """
    cluster = submit(host, count, annex, user=user, seconds=seconds, also=also)
    wait_for(
        lambda: len(done(host, cluster, user)) >= count,
        what=f"{count} jobs on annex {annex} to complete",
        timeout=timeout,
        poll=0.5,
        clock=clock,
        mend=f"podman exec {host.container} condor_q -all -better-analyze {cluster}",
    )
    return done(host, cluster, user)


def submit(
    host: PoolHost,
    count: int,
    annex: str,
    *,
    user: str = "alice",
    seconds: float = 1,
    also: str = "",
) -> str:
    """Submit jobs and return their cluster's number, without waiting for them."""
    text = SUBMIT.format(count=count, annex=annex, seconds=seconds, also=also)
    said = host.run(user, "condor_submit", "-terse", "-", stdin=text).stdout
    cluster = said.strip().partition(".")[0]
    if not cluster.isdecimal():
        raise AnnexkitError(f"condor_submit names no cluster: {said.strip()[:200]}")
    return cluster


def done(host: PoolHost, cluster: str, user: str = "alice") -> list[Job]:
    """Return the jobs of a cluster that are completed, in order."""
    asked = ("condor_history", cluster, "-json", "-attributes", ATTRIBUTES)
    told = host.run(user, *asked).stdout.strip()
    rows = [r for r in json.loads(told or "[]") if r.get("JobStatus") == COMPLETED]
    return [_job(host, cluster, user, row) for row in sorted(rows, key=_number)]


def _number(row: dict[str, object]) -> int:
    return int(str(row["ProcId"]))


def _job(host: PoolHost, cluster: str, user: str, row: dict[str, object]) -> Job:
    number = _number(row)
    said = host.run(user, "cat", f"job.{cluster}.{number}.out", check=False).stdout
    node = row.get("MachineAttrEC2InstanceID0") or row.get("LastRemoteHost") or ""
    code = int(str(row.get("ExitCode", -1)))
    return Job(f"{cluster}.{number}", str(node), code, said.strip())
