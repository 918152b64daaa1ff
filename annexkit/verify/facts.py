"""Facts that a node tells of itself when asked why it is not in the pool."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, ValidationError

from annexkit.verify import checks

MODULES = ("node_base", "node_imds", "node_why")
TIMEOUT = 60.0


class CloudInit(BaseModel):
    """What cloud-init says of itself."""

    status: str
    errors: tuple[str, ...] = ()


class Reach(BaseModel):
    """Whether the node reaches the collector; ``error`` is empty when it does."""

    address: str
    error: str


class Facts(BaseModel):
    """What the node found; None is what it could not find out (see ``unknown``).

    :param now: the node's clock, in epoch seconds.
    :param failed: one word and a sentence, as the contract wrote it; empty when fine.
    :param role: name of the instance's role; empty without one.
    :param log: lines of HTCondor's logs about connections and rights.
    """

    model_config = ConfigDict(frozen=True)

    now: float
    system: str | None = None
    failed_units: tuple[str, ...] | None = None
    cloud_init: CloudInit | None = None
    failed: str = ""
    role: str | None = None
    secret: bool | None = None
    condor: str | None = None
    config: str = ""
    collector: Reach | None = None
    start: str | None = None
    log: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def gather(connection: checks.Connection, name: str) -> Facts:
    """Ask a node for its facts: one command, one JSON document.

    :raises CheckError: its answer is none.
    """
    done = connection.run(
        "sudo -n python3 - '{}'", stdin=checks.program(MODULES), timeout=TIMEOUT
    )
    try:
        return Facts.model_validate(json.loads(done.stdout))
    except (ValueError, ValidationError) as error:
        heard = (done.stderr or done.stdout).strip()[-500:]
        raise checks.CheckError(
            f"the node told nothing: exit code {done.exit_code}, {heard or 'silence'}",
            where=name,
            mend=checks.MEND,
        ) from error
