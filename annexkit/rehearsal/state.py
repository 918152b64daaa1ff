"""What a rehearsal keeps on disk, and which process serves it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from annexkit import processes
from annexkit.errors import AnnexkitError
from annexkit.files import write_beside
from annexkit.waiting import Clock

ACCOUNT = "123456789012"
REGION = "us-west-2"
LABEL = "annexkit.rehearsal"
CONFIG = "rehearsal.json"
SERVER = "server.json"
REGISTRY = "registry"


class Value(BaseModel):
    """A value that is written as JSON; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseImage(Value):
    """The operating system that stands for Debian's official AMI."""

    suite: str
    digest: str
    ami_id: str
    name: str
    created: str
    ref: str


class Rehearsal(Value):
    """One rehearsal: where it is and what it owns on this machine."""

    id: str
    dir: Path
    port: int
    subnet: str
    runtime: str
    machines: int
    base: BaseImage

    @property
    def endpoint(self) -> str:
        """URL of the API; loopback only."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def network(self) -> str:
        """Name of the podman network."""
        return network_name(self.id)

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.dir / "server.log"


class ServerProcess(Value):
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ServerProcess:
        """Describe the running process *pid*."""
        return cls(pid=pid, started=processes.start_time(pid) or 0)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return processes.same_process(self.pid, self.started)

    def end(self, grace: float = 30, clock: Clock | None = None) -> None:
        """Ask it to end, and kill it when it has not after *grace* seconds."""
        processes.end_group(self.pid, self.started, grace=grace, clock=clock)


def rehearsal_id(folder: Path) -> str:
    """Derive the id from the folder, so that two clones stand side by side."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]


def network_name(identity: str) -> str:
    """Name the podman network of the rehearsal with this id."""
    return f"annexkit-{identity}"


def save(rehearsal: Rehearsal) -> None:
    """Keep the rehearsal's description in its folder."""
    write_beside(rehearsal.dir / CONFIG, rehearsal.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> Rehearsal | None:
    """Read a rehearsal's description; None when there is none.

    :raises AnnexkitError: the file is there and not readable as one.
    """
    path = folder / CONFIG
    try:
        return Rehearsal.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise AnnexkitError(
            "the rehearsal's description is damaged or from another version",
            where=str(path),
            mend=f"remove {path} and bring the rehearsal up again",
        ) from error


def save_server(folder: Path, process: ServerProcess) -> None:
    """Record which process serves the rehearsal."""
    write_beside(folder / SERVER, process.model_dump_json() + "\n")


def load_server(folder: Path) -> ServerProcess | None:
    """Return the recorded server when it is alive, otherwise None."""
    try:
        process = ServerProcess.model_validate_json((folder / SERVER).read_text())
    except (OSError, ValidationError):
        return None
    return process if process.alive else None


def set_aside(folder: Path) -> None:
    """Move registry and journal of an earlier cloud out of the way.

    moto keeps everything in memory: what they name does not exist any more. One
    generation is kept, in ``before/``, for a look at what happened.
    """
    before = folder / "before"
    shutil.rmtree(before, ignore_errors=True)
    for name in (REGISTRY, "state"):
        if (folder / name).exists():
            before.mkdir(parents=True, exist_ok=True)
            (folder / name).rename(before / name)


def environment(rehearsal: Rehearsal) -> dict[str, str]:
    """Return the variables that point annexkit, boto3 and Packer at the rehearsal."""
    folder = rehearsal.dir
    return {
        "AWS_ENDPOINT_URL": rehearsal.endpoint,
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_POLL_DELAY_SECONDS": "1",
        "INVOKE_ANNEXKIT_REGISTRY": str(folder / REGISTRY / "ami_registry.json"),
        "INVOKE_ANNEXKIT_STATE_DIR": str(folder / "state"),
        "INVOKE_ANNEXKIT_POLL": "0.2",
        "INVOKE_ANNEXKIT_SSH_INTERFACE": "private_ip",
        "INVOKE_ANNEXKIT_BAKE_IMAGE_POLL": "1",
        # asking AWS for this machine's public address makes no sense here
        "INVOKE_ANNEXKIT_BAKE_SSH_CIDRS": rehearsal.subnet,
        "INVOKE_ANNEXKIT_LAUNCH_SSH_CIDRS": rehearsal.subnet,
        "INVOKE_ANNEXKIT_LAUNCH_OWNER": "alice",
        "INVOKE_ANNEXKIT_LAUNCH_INSTANCE_TYPES": "t3.small",
        "INVOKE_ANNEXKIT_LAUNCH_HOURLY_PRICE": "t3.small=0.0208,t3.micro=0.0104",
        "INVOKE_ANNEXKIT_PROVE_SMOKE_IDLE": "45s",
        "INVOKE_ANNEXKIT_LAUNCH_LEASE_POLL": "2",
        "INVOKE_ANNEXKIT_LAUNCH_BOOT_TIMEOUT": "60s",
        "INVOKE_ANNEXKIT_LAUNCH_JOIN_TIMEOUT": "60s",
        **_past_proxy(),
    }


def _past_proxy() -> dict[str, str]:
    """Keep calls to loopback from a proxy that this system has for the world."""
    if not any(os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY")):
        return {}
    there = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = ",".join(filter(None, [there, "127.0.0.1"]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}
