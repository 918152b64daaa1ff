"""Bring a rehearsal up, down, and say how it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

import annexkit
from annexkit.errors import AnnexkitError, Finding, UsageError, raise_on_errors
from annexkit.files import make_folder
from annexkit.rehearsal import base_image, pool_host, preflight, state, subnets
from annexkit.rehearsal.podman import Podman, working_runtime
from annexkit.rehearsal.state import Rehearsal, ServerProcess
from annexkit.sections import RehearsalSettings
from annexkit.waiting import Clock, wait_for

Progress = Callable[[str], None]
PODMAN_STORAGE = Path("/var/lib/containers")
SERVER_START = 60

__all__ = ["Status", "console", "down", "environment", "shell", "status", "up"]


@dataclass(frozen=True)
class Status:
    """How a rehearsal is: machines and images as the server tells them."""

    dir: Path
    alive: bool
    endpoint: str = ""
    base: str = ""
    machines: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)


def folder_of(settings: RehearsalSettings, root: Path) -> Path:
    """Return the rehearsal's folder; a relative one is below *root*."""
    return (root / Path(settings.dir).expanduser()).resolve()


def up(
    settings: RehearsalSettings,
    root: Path,
    *,
    cache: Path,
    progress: Progress = lambda _: None,
    clock: Clock | None = None,
) -> Rehearsal:
    """Bring the rehearsal up; does nothing when it is up.

    What an earlier server left behind when it was killed is removed first.

    :param root: the folder that a relative ``rehearsal.dir`` is below.
    :param cache: where the base image is kept.
    :param progress: is told each step, one line of text.
    :raises FindingsError: this machine cannot rehearse; says all that is missing.
    :raises AnnexkitError: port or network taken, or the server does not start.
    """
    folder = folder_of(settings, root)
    if (found := _running(folder)) and _answers(found):
        return found
    raise_on_errors(_preflight(settings, folder, cache))
    with _locked(folder):
        if (found := _running(folder)) and _answers(found):
            return found
        progress("cleaning up what an earlier rehearsal left")
        identity = state.rehearsal_id(folder)
        _clean(folder, identity)
        state.set_aside(folder)
        rehearsal = _prepare(settings, folder, cache, progress)
        progress("starting the server")
        _start(rehearsal, clock)
        progress(f"up: {rehearsal.endpoint}")
        return rehearsal


def down(settings: RehearsalSettings, root: Path) -> bool:
    """Take the rehearsal down: server, machines, images, network; not the caches.

    :return: whether there was anything to take down.
    """
    folder = folder_of(settings, root)
    if not folder.exists():
        return False
    with _locked(folder):
        return _clean(folder, state.rehearsal_id(folder))


def status(settings: RehearsalSettings, root: Path) -> Status:
    """Return how the rehearsal is."""
    folder = folder_of(settings, root)
    rehearsal = _running(folder)
    if rehearsal is None:
        return Status(folder, alive=False)
    told = ask(rehearsal, "status")
    return Status(
        folder,
        alive=True,
        endpoint=rehearsal.endpoint,
        base=f"{rehearsal.base.name} ({rehearsal.base.ami_id})",
        machines=told["machines"],
        images=told["images"],
    )


def running(settings: RehearsalSettings, root: Path) -> Rehearsal:
    """Return the rehearsal that is up.

    :raises UsageError: it is not.
    """
    folder = folder_of(settings, root)
    if found := _running(folder):
        return found
    raise UsageError(
        "the rehearsal is not up", where=str(folder), mend="invoke rehearsal.up"
    )


def environment(rehearsal: Rehearsal, pool: str = pool_host.DEFAULT) -> dict[str, str]:
    """Return the variables that point annexkit, boto3 and Packer at the rehearsal.

    :param pool: the pool host that annexes join, when there is one of that name.
    """
    host = pool_host.load(pool_host.folder_of(rehearsal.dir, pool))
    return state.environment(rehearsal) | (host.environment() if host else {})


def ask(rehearsal: Rehearsal, what: str, method: str = "GET", data: Any = None) -> Any:
    """Ask the server's own side (``/_rehearsal/``): status, faults, knobs, calls.

    :raises AnnexkitError: the server does not answer, or refuses.
    """
    request = urllib.request.Request(  # noqa: S310 - our own server, over http
        f"{rehearsal.endpoint}/_rehearsal/{what}",
        method=method,
        data=None if data is None else json.dumps(data).encode(),
        headers={"Content-Type": "application/json"},
    )
    # not urlopen: the environment's proxy is for the world outside
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise AnnexkitError(
            f"the rehearsal's server refused: {error.read().decode()[:500]}",
            where=request.full_url,
            mend=f"see {rehearsal.log}",
        ) from error
    except OSError as error:
        raise AnnexkitError(
            f"the rehearsal's server does not answer: {error}",
            where=request.full_url,
            mend=f"see {rehearsal.log}, then invoke rehearsal.down and rehearsal.up",
        ) from error


def console(settings: RehearsalSettings, root: Path, instance: str) -> str:
    """Return what a machine wrote to its console.

    :raises UsageError: no such machine.
    """
    rehearsal = running(settings, root)
    name = _container(rehearsal, instance)
    return Podman(rehearsal.id, rehearsal.runtime).console(name)


def shell(settings: RehearsalSettings, root: Path, instance: str) -> list[str]:
    """Return the command that opens a root shell in a machine.

    :raises UsageError: no such machine.
    """
    rehearsal = running(settings, root)
    podman = Podman(rehearsal.id, rehearsal.runtime)
    name = _container(rehearsal, instance)
    return podman.command("exec", "-it", name, "/bin/bash", "-l")


def _container(rehearsal: Rehearsal, instance: str) -> str:
    machines = ask(rehearsal, "status")["machines"]
    for machine in machines:
        if machine["instance"] == instance:
            return str(machine["container"])
    there = ", ".join(m["instance"] for m in machines) or "none"
    raise UsageError(
        f"no machine '{instance}' in the rehearsal", mend=f"there are: {there}"
    )


def _running(folder: Path) -> Rehearsal | None:
    if state.load_server(folder) is None:
        return None
    return state.load(folder)


def _answers(rehearsal: Rehearsal) -> bool:
    try:
        ask(rehearsal, "status")
    except AnnexkitError:
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with FileLock(make_folder(folder) / "up.lock"):
        yield


def _preflight(settings: RehearsalSettings, folder: Path, cache: Path) -> list[Finding]:
    warm = any((cache / "rehearsal").glob("base-*.tar"))
    storage = preflight.ROOM_WARM if warm else preflight.ROOM_COLD
    rooms = {PODMAN_STORAGE: storage, cache: storage // 3, folder: 1024**2}
    return list(preflight.check(preflight.Host.here(), rooms, settings.machines))


def _clean(folder: Path, identity: str) -> bool:
    """Remove everything of a rehearsal but its caches and its records."""
    process = state.load_server(folder)
    if process:
        process.end()
    podman = Podman(identity)
    there = bool(process or podman.machines() or podman.images() or podman.networks())
    podman.remove_everything()
    (folder / state.SERVER).unlink(missing_ok=True)
    shutil.rmtree(folder / pool_host.FOLDER, ignore_errors=True)
    _remove_firmware(folder / "machines")
    return there


def _remove_firmware(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
        path.rmdir() if path.is_dir() else path.unlink()


def _prepare(
    settings: RehearsalSettings, folder: Path, cache: Path, progress: Progress
) -> Rehearsal:
    identity = state.rehearsal_id(folder)
    before = _before(folder)
    podman = Podman(identity)
    # What may be refused is asked for before the base image, which takes minutes.
    _port(settings.port, 0)
    subnet = _network(settings.subnet, podman, cache)
    recipe = base_image.recipe(settings.suite)
    base = base_image.ensure(recipe, cache, podman, progress)
    rehearsal = Rehearsal(
        id=identity,
        dir=folder,
        port=_port(settings.port, before.port if before else 0),
        subnet=subnet,
        runtime=working_runtime(base.ref, before.runtime if before else ""),
        machines=settings.machines,
        base=base,
    )
    state.save(rehearsal)
    return rehearsal


def _network(wanted: str, podman: Podman, cache: Path) -> str:
    """Make the machines' network; two rehearsals that start together get two."""
    name = state.network_name(podman.rehearsal)
    with FileLock(make_folder(cache / "rehearsal") / "network.lock"):
        network = subnets.choose(wanted, subnets.taken(podman.subnets(), name))
        podman.create_network(name, str(network))
    return str(network)


def _before(folder: Path) -> Rehearsal | None:
    try:
        return state.load(folder)
    except AnnexkitError:
        return None  # of another version; what it says is only a preference


def _port(wanted: int, before: int) -> int:
    if wanted and not preflight.port_is_free(wanted):
        raise UsageError(
            f"port {wanted} is taken",
            where="annexkit.rehearsal.port",
            mend="set it to a free port, or to 0 for any",
        )
    if wanted:
        return wanted
    if before and preflight.port_is_free(before):
        return before
    return preflight.free_port()


def _start(rehearsal: Rehearsal, clock: Clock | None) -> None:
    """Start the server in a session of its own and wait until it answers.

    Not through :func:`annexkit.process.run`: it outlives us.
    """
    package = Path(annexkit.__file__).parent.parent
    with rehearsal.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "annexkit.rehearsal.server", str(rehearsal.dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(package)},
            cwd="/",
        )
    server = ServerProcess.of(process.pid)
    state.save_server(rehearsal.dir, server)
    try:
        _wait_answer(rehearsal, process, clock)
    except BaseException:  # Ctrl-C too: no server stays that nobody waited for
        server.end()
        raise


def _wait_answer(
    rehearsal: Rehearsal, process: subprocess.Popen[bytes], clock: Clock | None
) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            tail = rehearsal.log.read_text(errors="replace").splitlines()[-5:]
            raise AnnexkitError(
                f"the rehearsal's server ended at once: {' / '.join(tail)}",
                where=str(rehearsal.log),
                mend="read the log, then: invoke rehearsal.up",
            )
        return _answers(rehearsal)

    wait_for(
        answers,
        what="the rehearsal's server to answer",
        timeout=SERVER_START,
        poll=0.05,
        clock=clock,
        mend=f"see {rehearsal.log}",
    )
