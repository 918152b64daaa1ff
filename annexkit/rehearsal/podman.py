"""The rehearsal's door to podman: machines, images of machines, one network.

Everything carries the label ``annexkit.rehearsal=<id>``, so that all of it can be
found and removed by a process that knows nothing else.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from annexkit.process import CommandError, run
from annexkit.rehearsal.state import LABEL

# Pids of one user are counted over the whole host; podman refuses more here.
MOST_PROCESSES = 32768
KILLED = 128 + 9
# What a machine's root may do on EC2 and a container's may not: firewall, ping,
# power off and reboot (in a pid namespace: of itself only), and seeing the
# environment of its users' processes, by which HTCondor tracks jobs.
CAPABILITIES = ("NET_ADMIN", "NET_RAW", "SYS_BOOT", "SYS_PTRACE")
POWER_SWITCH = "/run/power-on"
# A machine-id of "uninitialized" makes systemd mount another over it, which a machine
# here may not; from an empty one it writes the file. And cloud-init believes in a
# container when PID 1 has the variable of that name.
INIT = (
    f"until [ -e {POWER_SWITCH} ]; do sleep 0.02; done; "
    "if grep -qsx uninitialized /etc/machine-id; then : >/etc/machine-id; fi; "
    "exec /usr/bin/env -u container /sbin/init"
)

# podman reads an image's names, changes them and writes them: of two calls at once, one
# is lost (4.3; copies of one AMI to several regions are names of one image).
NAMING = Lock()


@dataclass(frozen=True)
class MachineSpec:
    """What a machine is made of; *mounts* are (path here, path inside, options)."""

    name: str
    image: str
    address: str
    mac: str
    hostname: str
    labels: Sequence[tuple[str, str]] = ()
    mounts: Sequence[tuple[Path, str, str]] = ()


@dataclass(frozen=True)
class Podman:
    """podman with one OCI runtime, working for one rehearsal."""

    rehearsal: str
    runtime: str = ""
    _logs: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    def command(self, *args: str | Path) -> list[str]:
        """Return the whole command line of a podman call."""
        chosen = ["--runtime", self.runtime] if self.runtime else []
        return ["podman", *chosen, *(str(a) for a in args)]

    def call(self, *args: str | Path, timeout: float = 120) -> str:
        """Run podman and return what it printed."""
        return run(*self.command(*args), timeout=timeout).stdout

    @property
    def filter(self) -> str:
        """The filter that selects what belongs to the rehearsal."""
        return f"label={LABEL}={self.rehearsal}"

    def create(self, spec: MachineSpec, network: str) -> None:
        """Start a machine whose PID 1 waits for the power switch."""
        self.call(*machine_arguments(self.rehearsal, spec, network))

    def start(self, name: str) -> None:
        """Start a stopped machine again; PID 1 waits for the power switch."""
        self.call("start", name)

    def pid(self, name: str) -> int:
        """Return the process number of a machine's PID 1, 0 when it is off."""
        return int(self.call("inspect", "--format", "{{.State.Pid}}", name))

    def stop(self, name: str, grace: int) -> None:
        """Press the power button; pull the plug after *grace* seconds."""
        self.call("stop", "--time", str(grace), name, timeout=grace + 60)

    def exit_code(self, name: str) -> int:
        """Return the exit code of a machine that is off; KILLED when it is gone."""
        done = run(*self.command("wait", name), check=False)
        return int(done.stdout) if done.exit_code == 0 else KILLED

    def console(self, name: str) -> str:
        """Return all that the machine wrote to its console; empty when it is gone."""
        if name not in self._logs:
            asked = ("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", name)
            done = run(*self.command(*asked), check=False)
            if done.exit_code != 0:
                return ""
            self._logs[name] = Path(done.stdout.strip())
        try:
            return console_text(self._logs[name].read_bytes())
        except OSError:
            return ""

    def remove(self, name: str) -> None:
        """Remove a machine, running or not."""
        self._logs.pop(name, None)
        self.call("rm", "--force", "--ignore", "--time", "0", "--volumes", name)

    def commit(self, name: str, ref: str) -> None:
        """Capture a machine's file system as an image."""
        label = f"LABEL {LABEL}={self.rehearsal}"
        self.call("commit", "--quiet", "--change", label, name, ref, timeout=600)

    def tag(self, ref: str, other: str) -> None:
        """Give an image a second name."""
        with NAMING:
            self.call("tag", ref, other)

    def remove_image(self, ref: str) -> None:
        """Take a name from an image, and the image too when nothing else needs it."""
        with NAMING:
            done = run(*self.command("rmi", ref), check=False)
            if done.exit_code != 0:
                # a machine runs from it: the image stays, nameless, until `down`
                self.call("untag", ref, ref)

    def has_image(self, ref: str) -> bool:
        """Whether there is an image of that name."""
        done = run(*self.command("image", "exists", ref), check=False)
        return done.exit_code == 0

    def import_image(self, tarball: Path, ref: str) -> None:
        """Make an image from a root file system."""
        self.call("import", "--quiet", tarball, ref, timeout=600)

    def create_network(self, name: str, subnet: str) -> None:
        """Make the network of the machines, unless it is there."""
        if run(*self.command("network", "exists", name), check=False).exit_code == 0:
            return
        label = f"{LABEL}={self.rehearsal}"
        options = ("--disable-dns", "--subnet", subnet, "--label", label)
        self.call("network", "create", *options, name)

    def bridge(self, network: str) -> str:
        """Return the name of the network's bridge device on the host."""
        return str(
            json.loads(self.call("network", "inspect", network))[0]["network_interface"]
        )

    def subnets(self) -> Iterator[tuple[str, str]]:
        """Yield (network name, subnet) of every podman network on this host."""
        for name in self.call("network", "ls", "--quiet").split():
            done = run(*self.command("network", "inspect", name), check=False)
            if done.exit_code != 0:  # another rehearsal's, taken down meanwhile
                continue
            for subnet in json.loads(done.stdout)[0].get("subnets") or ():
                yield name, subnet["subnet"]

    def machines(self) -> list[str]:
        """Return the ids of the rehearsal's containers, running or not."""
        found = self.call(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", self.filter
        )
        return found.split()

    def images(self) -> list[str]:
        """Return the ids of the rehearsal's images (not of the base image)."""
        found = self.call(
            "images", "--all", "--quiet", "--no-trunc", "--filter", self.filter
        )
        return list(dict.fromkeys(found.split()))

    def names(self) -> list[str]:
        """Return the names that the rehearsal gave to images (``Images`` chooses them).

        A copy of the base image is a name of it, and has no label of the rehearsal.
        """
        found = self.call("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        ours = f"localhost/annexkit-{self.rehearsal}/"
        return [name for name in found if name.startswith(ours)]

    def networks(self) -> list[str]:
        """Return the names of the rehearsal's networks."""
        found = self.call("network", "ls", "--quiet", "--filter", self.filter)
        return found.split()

    def remove_machines(self) -> None:
        """Remove every machine of the rehearsal."""
        if found := self.machines():
            self.call("rm", "--force", "--time", "0", "--volumes", *found, timeout=300)

    def remove_everything(self) -> None:
        """Remove machines, images, their names, and networks of the rehearsal."""
        self.remove_machines()
        if images := self.images():
            # a layer may already be gone with its child
            self.call("rmi", "--force", "--ignore", *images, timeout=300)
        if names := self.names():  # what is left are names of the base image
            self.call("untag", names[0], *names)
        for network in self.networks():
            self.call("network", "rm", "--force", network)


def console_text(log: bytes) -> str:
    """Return what a log of podman's holds (its driver k8s-file), without its own words.

    Read here, because ``podman logs`` costs a sixth of a second of processor time, and
    consoles are asked for again and again. Each line has a time, a stream, ``F`` for a
    whole line or ``P`` for a part of one, and the text.
    """
    parts = []
    for line in log.decode(errors="replace").split("\n"):
        words = line.split(" ", 3)
        if len(words) == 4:
            parts.append(words[3] + ("" if words[2] == "P" else "\n"))
    return "".join(parts).replace("\r\n", "\n").replace("\r", "\n")


def machine_arguments(rehearsal: str, spec: MachineSpec, network: str) -> list[str]:
    """Return the arguments of the podman call that makes a machine.

    ``/proc/sys`` and ``/sys`` stay read-only, as podman mounts them when a container
    is not privileged: a guest cannot change this host's kernel settings. A terminal
    is given so that there is a ``/dev/console``, whose text podman keeps.
    """
    labels = [(LABEL, rehearsal), *spec.labels]
    files, processes = limits()
    return [
        *("run", "--detach", "--tty", "--systemd=always", "--log-driver=k8s-file"),
        *("--name", spec.name, "--hostname", spec.hostname, "--no-hosts"),
        *("--network", f"{network}:ip={spec.address},mac={spec.mac}"),
        *("--ulimit", f"nofile={files}:{files}"),
        *("--ulimit", f"nproc={processes}:{processes}"),
        *(f"--cap-add={name}" for name in CAPABILITIES),
        *(f"--label={key}={value}" for key, value in labels),
        *(f"--volume={here}:{inside}:{mode}" for here, inside, mode in spec.mounts),
        *(spec.image, "/bin/sh", "-c", INIT),
    ]


def limits() -> tuple[int, int]:
    """Return how many files and processes a machine may have: never above ours.

    podman asks for more than the caller's own limits by default, which fails without
    CAP_SYS_RESOURCE.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return _at_most(files, 1 << 20), _at_most(processes, MOST_PROCESSES)


def _at_most(hard: int, most: int) -> int:
    return most if hard == resource.RLIM_INFINITY else min(hard, most)


def working_runtime(image: str, tried_before: str = "") -> str:
    """Return the first OCI runtime that really starts a container here.

    crun refuses hybrid cgroups, runc is not installed everywhere: only trying tells.

    :raises CommandError: none does; the last one's own words.
    """
    usual = run("podman", "info", "--format", "{{.Host.OCIRuntime.Name}}").stdout
    names = dict.fromkeys(n for n in (tried_before, usual.strip(), "runc", "crun") if n)
    files, processes = limits()
    asked = (
        f"--ulimit=nofile={files}:{files}",
        f"--ulimit=nproc={processes}:{processes}",
    )
    failed: CommandError | None = None
    for name in names:
        try:
            run(
                *("podman", "--runtime", name, "run", "--rm", "--network=none"),
                *("--systemd=always", *asked, image, "/bin/true"),
            )
        except CommandError as error:
            failed = error
            continue
        return name
    if failed is None:  # pragma: no cover - names is never empty
        raise ValueError("no OCI runtime to try")
    raise failed
