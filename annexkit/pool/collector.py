"""What the pool's collector knows of an annex's nodes.

HTCondor's bindings answer, in a process of their own (``ask.py``): a bad configuration
makes them end the process they are in, and while they wait for a connection no other
thread of it moves. A question costs 0.13 s of processor time for that.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annexkit.pool.target import Pool, PoolError
from annexkit.process import CommandError, Completed, run

ASK = Path(__file__).with_name("ask.py")
TIMEOUT = 10.0
# Where HTCondor itself looks for a configuration when CONDOR_CONFIG is unset.
CONFIGS = ("/etc/condor/condor_config", "/usr/local/etc/condor_config")

# The ad's attribute of each field that every daemon of a node advertises ...
OF_NODE = {
    "name": "Name",
    "machine": "Machine",
    "instance_id": "EC2InstanceID",
    "annex": "AnnexName",
    "launch": "AnnexLaunch",
    "owner": "AnnexOwner",
    "authenticated_identity": "AuthenticatedIdentity",
    "authentication_method": "AuthenticationMethod",
    "lease_expires": "AnnexLeaseExpires",
    "drain_at": "AnnexDrainAt",
    "build": "AnnexImageBuild",
    "digest": "AnnexImageDigest",
    "version": "CondorVersion",
    "heard": "LastHeardFrom",
    "clock": "MyCurrentTime",
}
# ... and of those that only a slot has.
OF_SLOT = {
    "state": "State",
    "activity": "Activity",
    "claimed_by": "RemoteOwner",
    "start": "Start",
    "cpus": "Cpus",
    "memory": "Memory",
    "slot_type": "SlotType",
    "job_starts": "JobStarts",
    "claimed_busy": "TotalTimeClaimedBusy",
    "claimed_idle": "TotalTimeClaimedIdle",
    "draining": "Draining",
    "spot_notice": "AnnexSpotNotice",
    "leased": "AnnexLeased",
}
OF_COLLECTOR = {
    "name": "Name",
    "machine": "Machine",
    "version": "CondorVersion",
    "ccb_targets": "CCBEndpointsConnected",
    "started": "DaemonStartTime",
}


@dataclass(frozen=True, slots=True)
class Ad:
    """What a daemon of a node says, and what the collector saw of it.

    ``heard``: when the collector last got it, by its clock; ``clock``: by the node's
    own clock. Both, ``lease_expires`` and ``drain_at`` (from when no job starts; START
    may speak of it) are epoch seconds. Empty or None is what the ad does not have.
    """

    name: str = ""
    machine: str = ""
    instance_id: str = ""
    annex: str = ""
    launch: str = ""
    owner: str = ""
    authenticated_identity: str = ""
    authentication_method: str = ""
    lease_expires: int | None = None
    drain_at: int | None = None
    build: str = ""
    digest: str = ""
    version: str = ""
    heard: int | None = None
    clock: int | None = None


@dataclass(frozen=True, slots=True)
class Slot(Ad):
    """One slot. ``memory`` is MiB; the claimed times are seconds, of this slot alone;
    ``spot_notice`` epoch seconds. ``leased``: False on probation.

    ``start``: whether it takes jobs of the user who was asked for, None when that
    cannot be told. ``slot_type``: Partitionable, Dynamic or Static.
    """

    state: str = ""
    activity: str = ""
    claimed_by: str = ""
    start: bool | None = None
    cpus: float | None = None
    memory: int | None = None
    slot_type: str = ""
    job_starts: int | None = None
    claimed_busy: int | None = None
    claimed_idle: int | None = None
    draining: bool | None = None
    spot_notice: int | None = None
    leased: bool | None = None

    @property
    def dynamic(self) -> bool:
        """Whether it was cut from another slot for a job."""
        return self.slot_type == "Dynamic"

    @property
    def claimed(self) -> bool:
        """Whether somebody has it now."""
        return self.state == "Claimed"


@dataclass(frozen=True, slots=True)
class About:
    """What the collector says of itself.

    ``ccb_targets``: how many daemons call out through it; None when it serves no CCB.
    ``started``: epoch seconds, by its own clock.
    """

    name: str = ""
    machine: str = ""
    version: str = ""
    ccb_targets: int | None = None
    started: int | None = None


@dataclass(frozen=True)
class Collector:
    """The pool's collector, asked from here. ``timeout``: seconds a question."""

    pool: Pool
    timeout: float = TIMEOUT

    def slots(self, annex: str = "", launch: str = "", user: str = "") -> list[Slot]:
        """Return the slots of an annex's nodes, or of one launch of it, in one query.

        :param user: whose jobs ``start`` is about; the annex's owner's when empty.
        :raises PoolError: the collector did not answer, or not to us.
        """
        rows = self._ask("Startd", _where(annex, launch), OF_NODE | OF_SLOT, user)
        return [Slot(**row) for row in rows]

    def masters(self, annex: str = "", launch: str = "") -> list[Ad]:
        """Return what the masters of an annex's nodes say; one a node.

        :raises PoolError: the collector did not answer, or not to us.
        """
        rows = self._ask("Master", _where(annex, launch), OF_NODE)
        return [Ad(**row) for row in rows]

    def builds(self) -> Counter[str]:
        """Return how many slots advertise each build of ours (60-advertise.sh).

        :raises PoolError: the collector did not answer, or not to us.
        """
        name = OF_NODE["build"]
        rows = self._ask("Startd", {}, {"build": name}, present=(name,))
        return Counter(row["build"] for row in rows if row.get("build"))

    def about(self) -> About:
        """Return what the collector says of itself.

        :raises PoolError: it did not answer, or not to us.
        """
        rows = self._ask("Collector", {}, OF_COLLECTOR)
        return About(**rows[0]) if rows else About()

    def clock_within(self, earliest: float, latest: float) -> bool:
        """Say whether the collector's clock is between these epoch seconds now.

        :raises PoolError: it did not answer, or not to us.
        """
        window = (int(earliest), int(latest))
        return bool(self._ask("Collector", {}, OF_COLLECTOR, time=window))

    def _ask(
        self,
        kind: str,
        where: Mapping[str, str],
        fields: Mapping[str, str],
        user: str = "",
        *,
        time: tuple[int, int] | None = None,
        present: tuple[str, ...] = (),
    ) -> list[dict[str, Any]]:
        question = {
            "collector": self.pool.collector,
            "type": kind,
            "where": where,
            "user": user,
            "time": time,
            "present": present,
            "attributes": list(fields.values()),
            "timeout": max(1, round(self.timeout)),
            "configured": _configured(),
        }
        done = self._run(json.dumps(question))
        try:
            said = json.loads(done.stdout)
        except ValueError:
            raise self._ended(done) from None
        if "ads" not in said:
            raise self._refused(said, done.stderr)
        # What is undefined is left to the field's own default.
        names = tuple(fields)
        return [
            {n: v for n, v in zip(names, row, strict=True) if v is not None}
            for row in said["ads"]
        ]

    def _run(self, question: str) -> Completed:
        # -P: a module of this folder must not stand in for one of the library's.
        try:
            return run(
                *(sys.executable, "-P", ASK),
                stdin=question,
                timeout=self.timeout + 5,
                check=False,
            )
        except CommandError as error:
            if error.done.exit_code != 124:
                raise
            raise self._unreached() or self._silent() from None

    def _ended(self, done: Completed) -> PoolError:
        """Say why the bindings ended before they answered: their configuration."""
        tail = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        return PoolError(
            f"HTCondor's bindings cannot start: {' '.join(tail)[-400:]}",
            where=f"CONDOR_CONFIG={os.environ.get('CONDOR_CONFIG', '')}",
            mend="correct the configuration (condor_config_val -summary shows it), or "
            "set CONDOR_CONFIG=ONLY_ENV to do without one",
        )

    def _refused(self, said: Mapping[str, str], log: str) -> PoolError:
        if said["error"] == "no-module":
            return PoolError(
                f"the pool cannot be asked from here: {said['said']}",
                where="htcondor",
                mend="pip install htcondor (on Linux), in annexkit's environment",
            )
        return self._unreached() or self._unwanted(log) or self._silent()

    def _unreached(self) -> PoolError | None:
        """Say what is wrong on the way to the collector; None when nothing is."""
        where, port = self.pool.collector, self.pool.port
        try:
            with socket.create_connection((self.pool.host.strip("[]"), port), 5):
                return None
        except socket.gaierror as error:
            what = f"no address is known for {self.pool.host}: {error.strerror}"
            mend = "correct pool.collector, or mend the name service (getent hosts)"
        except ConnectionRefusedError:
            what = f"nothing listens at port {port}"
            start = f"as root on {self.pool.host}: systemctl start condor"
            mend = f"{start}; or correct the port"
        except TimeoutError:
            what = "no answer within 5 s: a firewall, or the host is down"
            mend = f"let this machine reach it at {port}/tcp"
        except OSError as error:
            what = f"it cannot be reached: {error.strerror or error}"
            mend = "check the network on the way there"
        return PoolError(f"the collector: {what}", where=where, mend=mend)

    def _unwanted(self, log: str) -> PoolError | None:
        """Say that the collector knows us not, or will not tell us; else None."""
        errors = [line for line in log.splitlines() if "ERROR:" in line]
        if not errors:
            return None
        said = errors[-1].partition("ERROR:")[2].strip()[:400]
        if "AUTHENTICATE" in said:
            return PoolError(
                "the collector wants to know who we are, and no method of "
                f"authentication worked: {said}",
                where=self.pool.collector,
                mend="put a token that allows READ into ~/.condor/tokens.d, mode 0600 "
                "(condor_token_create -authz READ, on the central manager)",
            )
        return PoolError(
            f"the collector does not answer to us: {said}",
            where=self.pool.collector,
            mend="allow this machine or user to READ (ALLOW_READ there)",
        )

    def _silent(self) -> PoolError:
        return PoolError(
            "the collector's port is open, but it did not answer the question",
            where=self.pool.collector,
            mend="see its CollectorLog; ALLOW_READ there may leave this machine out",
        )


def _where(annex: str, launch: str) -> dict[str, str]:
    named = {"AnnexName": annex, "AnnexLaunch": launch}
    return {name: value for name, value in named.items() if value}


def _configured() -> bool:
    """Say whether HTCondor would find a configuration: without one it just ends."""
    return "CONDOR_CONFIG" in os.environ or any(Path(p).is_file() for p in CONFIGS)
