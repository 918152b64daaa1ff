"""SSH clients that run one command on many hosts, each set up as its users do.

Run as a program, it does one job with one client in a process of its own and prints
what that took: ``ssh_clients.py NAME < job.json``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import peak_mb


@dataclass(frozen=True)
class Job:
    """One command for many hosts.

    :param targets: address and public host key line of each.
    :param known_hosts: the same as a file for those who read one.
    """

    targets: list[tuple[str, str]]
    user: str
    key: str
    known_hosts: str
    command: str
    answer: str
    workers: int

    def write(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


Outputs = Iterator[str]


def ours(job: Job) -> Callable[[], Outputs]:
    """annexkit: paramiko with pinned keys in threads, as ``invoke verify`` uses it."""
    ssh: Any = importlib.import_module("annexkit.ssh")
    fleet: Any = importlib.import_module("annexkit.verify.fleet")

    def everywhere() -> Outputs:
        key = ssh.load_key(Path(job.key))
        targets = (
            fleet.Target(address, address, job.user, (ssh.HostKey.parse(line),))
            for address, line in job.targets
        )
        for done in fleet.run_on_all(
            targets, job.command, key=key, workers=job.workers, timeout=120
        ):
            yield str(done.error) if done.error else done.value.stdout

    return everywhere


def asyncssh(job: Job) -> Callable[[], Outputs]:
    """asyncssh: one event loop, known_hosts read once."""
    library: Any = importlib.import_module("asyncssh")
    logging = importlib.import_module("logging")
    logging.getLogger("asyncssh").setLevel("ERROR")

    async def everywhere() -> list[str]:
        known = library.read_known_hosts(job.known_hosts)
        key = library.read_private_key(job.key)
        free = asyncio.Semaphore(job.workers)

        async def one(address: str) -> str:
            async with free:
                try:
                    async with library.connect(
                        address,
                        username=job.user,
                        client_keys=[key],
                        known_hosts=known,
                        config=None,
                        agent_path=None,
                    ) as connection:
                        done = await connection.run(job.command)
                except (OSError, library.Error) as error:
                    return str(error)
                return str(done.stdout)

        return await asyncio.gather(*(one(address) for address, _ in job.targets))

    return lambda: iter(asyncio.run(everywhere()))


def fabric(job: Job, *, check: bool = False) -> Callable[[], Outputs]:
    """fabric as it comes: any host key will do."""
    library: Any = importlib.import_module("fabric")
    paramiko: Any = importlib.import_module("paramiko")
    importlib.import_module("logging").getLogger("paramiko").setLevel("CRITICAL")
    how = {"key_filename": job.key, "allow_agent": False, "look_for_keys": False}

    def one(target: tuple[str, str]) -> str:
        address, line = target
        # One for each: threads that share a configuration break one another's.
        config = library.Config(overrides={"load_ssh_configs": False})
        try:
            with library.Connection(
                address, user=job.user, config=config, connect_kwargs=dict(how)
            ) as connection:
                if check:
                    kind, blob = line.split()[:2]
                    host_key = paramiko.PKey.from_type_string(kind, _decoded(blob))
                    connection.client.get_host_keys().add(address, kind, host_key)
                    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy)
                done = connection.run(job.command, hide=True, in_stream=False)
                return str(done.stdout)
        except (OSError, EOFError, paramiko.SSHException) as error:
            return str(error)

    return lambda: _in_threads(one, job)


def fabric_checking(job: Job) -> Callable[[], Outputs]:
    """fabric with RejectPolicy and the host's key added by hand."""
    return fabric(job, check=True)


def parallel_ssh(job: Job) -> Callable[[], Outputs]:
    """parallel-ssh: libssh2 under gevent; it has no check of host keys."""
    clients: Any = importlib.import_module("pssh.clients")

    def everywhere() -> Outputs:
        client = clients.ParallelSSHClient(
            [address for address, _ in job.targets],
            user=job.user,
            pkey=job.key,
            pool_size=job.workers,
            allow_agent=False,
        )
        for host in client.run_command(job.command, stop_on_errors=False):
            lines = [] if host.exception else [f"{line}\n" for line in host.stdout]
            yield "".join(lines)

    return everywhere


def ssh_binary(job: Job) -> Callable[[], Outputs]:
    """OpenSSH's client, one process a host."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": job.known_hosts,
        "GlobalKnownHostsFile": "none",
        "IdentitiesOnly": "yes",
        "ControlMaster": "no",
        "LogLevel": "ERROR",
    }
    how = [f"-o{name}={value}" for name, value in options.items()]

    def one(target: tuple[str, str]) -> str:
        command = ["ssh", "-F", "none", *how, "-i", job.key, "-l", job.user, target[0]]
        done = subprocess.run(
            [*command, job.command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return lambda: _in_threads(one, job)


@dataclass(frozen=True)
class Client:
    """A client and what is known of it; whether it checks is measured as well."""

    prepare: Callable[[Job], Callable[[], Outputs]]
    name: str


CLIENTS = {
    client.prepare.__name__: client
    for client in (
        Client(ours, "**annexkit**"),
        Client(asyncssh, "asyncssh"),
        Client(fabric_checking, "fabric, RejectPolicy"),
        Client(ssh_binary, "ssh, StrictHostKeyChecking"),
        Client(fabric, "fabric as it comes"),
        Client(parallel_ssh, "parallel-ssh"),
    )
}


def _in_threads(one: Callable[[tuple[str, str]], str], job: Job) -> Outputs:
    with ThreadPoolExecutor(job.workers) as pool:
        yield from pool.map(one, job.targets)


def _decoded(blob: str) -> bytes:
    return bytes(importlib.import_module("base64").b64decode(blob))


def cpu() -> float:
    """Return the seconds of CPU that this process and its ended children used."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, both))


def main() -> None:
    """Do one job from standard input with the client named in the arguments."""
    given = json.load(sys.stdin)
    job = Job(**{**given, "targets": [(a, k) for a, k in given["targets"]]})
    begin = CLIENTS[sys.argv[1]].prepare(job)
    want = Path(job.answer).read_text(encoding="ascii")
    used, began = cpu(), time.monotonic()
    good, other = 0, ""
    for said in begin():
        good += said == want
        other = other if said == want else said
    wall, used = time.monotonic() - began, cpu() - used
    took = {"good": good, "wall": wall, "cpu": used, "peak_mb": peak_mb()}
    print(json.dumps({**took, "other": other[:300]}))


if __name__ == "__main__":
    main()
