"""A pool host that is up: what is kept of it, and how it is spoken to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from annexkit.errors import AnnexkitError
from annexkit.files import write_beside
from annexkit.process import Completed, run
from annexkit.rehearsal.state import Value

DEFAULT = "pool"
DOMAIN = "pool.test"
PORT = 9618
FOLDER = "pool"
DESCRIPTION = "host.json"


class PoolHost(Value):
    """A central manager and access point in one machine.

    :param folder: what this host needs to ask the pool: ``condor_config``, a token
        that may read, copies of the pool's secrets.
    :param digest: of all that it was made from.
    """

    name: str
    hostname: str
    address: str
    container: str
    htcondor: str
    version: str
    method: str
    users: tuple[str, ...]
    folder: Path
    digest: str

    @property
    def collector(self) -> str:
        """The collector's address, as nodes and this host reach it."""
        return f"{self.address}:{PORT}"

    def run(
        self,
        user: str,
        *argv: str,
        stdin: str | bytes | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> Completed:
        """Run a command on the host as one of its users, in that user's home.

        :raises CommandError: it failed while *check* is set, or took too long.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        return run(
            *("podman", "exec", "--interactive", "--user", user, "--workdir", home),
            *("--env", f"HOME={home}", self.container, *argv),
            stdin=stdin,
            check=check,
            timeout=timeout,
        )

    def issue_token(
        self, identity: str, authz: Sequence[str], lifetime: int | None = None
    ) -> str:
        """Return a new token of the pool; *lifetime* in seconds."""
        limited = [word for one in authz for word in ("-authz", one)]
        living = [] if lifetime is None else ["-lifetime", str(lifetime)]
        command = ("condor_token_create", "-identity", identity, *living, *limited)
        return self.run("root", *command).stdout.strip()

    @property
    def token_command(self) -> str:
        """The setting ``pool.token_command`` for this pool."""
        filled = "-identity {identity} -lifetime {lifetime} {authz}"
        called = f"podman exec {shlex.quote(self.container)} condor_token_create"
        return f"{called} {filled}"

    def environment(self) -> dict[str, str]:
        """Return the variables that make this the pool of annexkit's settings."""
        found = {
            "CONDOR_CONFIG": str(self.folder / "condor_config"),
            "INVOKE_ANNEXKIT_POOL_COLLECTOR": self.collector,
            "INVOKE_ANNEXKIT_POOL_METHOD": self.method,
            "INVOKE_ANNEXKIT_POOL_TOKEN_COMMAND": self.token_command,
            "INVOKE_ANNEXKIT_POOL_TRUST_DOMAIN": DOMAIN,
            "INVOKE_ANNEXKIT_POOL_UID_DOMAIN": DOMAIN,
            "INVOKE_ANNEXKIT_POOL_UPDATE_INTERVAL": "5",
        }
        password = secrets_of(self.folder) / "condor_pool_password"
        if password.exists():
            found["INVOKE_ANNEXKIT_POOL_PASSWORD_FILE"] = str(password)
        return found


def folder_of(rehearsal: Path, name: str) -> Path:
    """Return where what is kept of a pool host lies."""
    return rehearsal / FOLDER / name


def secrets_of(folder: Path) -> Path:
    """Return where the copies of a pool's secrets lie."""
    return folder / "secrets"


def save(host: PoolHost) -> None:
    """Keep a pool host's description."""
    write_beside(host.folder / DESCRIPTION, host.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> PoolHost | None:
    """Read a pool host's description; None when there is none.

    :raises AnnexkitError: the file is there and not readable as one.
    """
    path = folder / DESCRIPTION
    try:
        return PoolHost.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise AnnexkitError(
            "the pool host's description is damaged or from another version",
            where=str(path),
            mend="invoke rehearsal.down, then invoke rehearsal.up",
        ) from error


def standing(rehearsal: Path) -> list[PoolHost]:
    """Return the pool hosts of a rehearsal's folder."""
    folders = sorted((rehearsal / FOLDER).glob("*"))
    return [host for folder in folders if (host := load(folder))]
