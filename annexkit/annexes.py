"""What this checkout keeps of an annex, and how EC2 is asked for its nodes.

Everything in the folder can be lost: an annex is found, extended and ended by its tags.
Only SSH needs the folder, for the key that was made for the annex.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from annexkit import instances, tags
from annexkit.aws import Cloud
from annexkit.errors import AnnexkitError, UsageError
from annexkit.files import write_beside
from annexkit.instances import ENDED, Instance
from annexkit.sections import AnnexName

ALIVE = ["pending", "running", "stopping", "stopped"]
NAME: TypeAdapter[str] = TypeAdapter(AnnexName)


class RecordError(AnnexkitError):
    """The record of an annex cannot be used."""


class LaunchRecord(BaseModel):
    """One run of ``invoke launch``: times in epoch seconds, prices in USD an hour.

    ``price`` is what one node costs, by instance type and market (``type/market``).
    ``token_expires`` is when its nodes' token ends; 0 when that is not known.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    created: float
    image: str
    build: str
    ami: str
    ssh_user: str
    wanted: int
    expires: float
    idle: float
    method: str
    price: dict[str, float] = {}
    failures: dict[str, int] = {}
    ids: list[str] = []
    token_expires: float = 0.0


class Record(BaseModel):
    """What is known here of one annex; ``schema_version`` 1."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    name: str
    account: str
    endpoint: str
    region: str
    owner: str
    launches: list[LaunchRecord] = []


@dataclass(frozen=True)
class AnnexFolder:
    """The folder of one annex in the state folder."""

    path: Path

    @property
    def key(self) -> Path:
        """The private key that was made for the annex; mode 0400."""
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Its nodes' host keys, by instance id."""
        return self.path / "known_hosts"

    @property
    def ledger(self) -> Path:
        """What was seen of each of its nodes; the receipt comes from it."""
        return self.path / "ledger.json"

    @property
    def receipt(self) -> Path:
        """What it came to, as JSON."""
        return self.path / "receipt.json"

    def read(self) -> Record | None:
        """Return the record; None when there is none.

        :raises RecordError: it is there and cannot be read.
        """
        path = self.path / "record.json"
        try:
            return Record.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ValidationError) as error:
            raise RecordError(
                "the record of this annex cannot be read",
                where=str(path),
                mend=f"remove {path}: tags find the annex without it",
            ) from error

    def write(self, record: Record) -> None:
        """Keep the record, readable by its owner only."""
        text = record.model_dump_json(indent=2) + "\n"
        write_beside(self.path / "record.json", text, mode=0o600)

    def remove(self) -> None:
        """Forget the annex, its key and its host keys; the receipt stays."""
        kept = (self.path / "record.json", self.key, self.known_hosts, self.ledger)
        for path in kept:
            path.unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            shutil.rmtree(self.path)


@dataclass(frozen=True)
class Annex:
    """An annex in one region, as EC2 describes it now; ended nodes are not in it."""

    name: str
    region: str
    nodes: tuple[Instance, ...] = field(default=())

    @property
    def launches(self) -> tuple[str, ...]:
        """The ids of the launches that its nodes came from."""
        return tuple(sorted({node.tags[tags.LAUNCH] for node in self.nodes}))

    @property
    def expires(self) -> float | None:
        """When the last of its leases ends, in epoch seconds."""
        ends = [tags.expiry(node.tags) for node in self.nodes]
        return max((end for end in ends if end is not None), default=None)


def check_name(name: str) -> str:
    """Return the name of an annex as it was given.

    :raises UsageError: it is none; a wildcard would reach other people's annexes.
    """
    try:
        return NAME.validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name[:80]!r} is no annex's name: 1 to 27 of A-Z, a-z, 0-9 and -",
            where="--annex-name",
            mend="see: invoke status",
        ) from None


def folder(state: Path, name: str) -> AnnexFolder:
    """Return the folder of an annex; it need not exist."""
    return AnnexFolder(state / "annexes" / name)


def find(
    cloud: Cloud, region: str, name: str, *, launch: str = "", ended: bool = False
) -> Annex:
    """Ask EC2 for an annex's nodes, by exact name, in pages (DescribeInstances).

    :param launch: only what this launch made.
    :param ended: also those that are shutting down or terminated.
    """
    filters = {f"tag:{tags.ANNEX}": [name], "tag-key": [tags.LAUNCH]}
    if launch:
        filters[f"tag:{tags.LAUNCH}"] = [launch]
    if not ended:
        filters["instance-state-name"] = ALIVE
    found = instances.find(cloud, region, filters)
    # A filter's value may hold wildcards on EC2; the name is compared once more.
    return Annex(name, region, tuple(_sorted(found, name)))


def find_all(cloud: Cloud, region: str) -> list[Annex]:
    """Ask EC2 for every annex of a region, sorted by name."""
    filters = {"tag-key": [tags.LAUNCH], "instance-state-name": ALIVE}
    by_name: dict[str, list[Instance]] = {}
    for node in instances.find(cloud, region, filters):
        by_name.setdefault(node.tags.get(tags.ANNEX, ""), []).append(node)
    return [
        Annex(name, region, tuple(_sorted(nodes, name)))
        for name, nodes in sorted(by_name.items())
    ]


def _sorted(nodes: list[Instance], name: str) -> list[Instance]:
    mine = [n for n in nodes if n.tags.get(tags.ANNEX) == name]
    return sorted(mine, key=lambda node: (node.launched, node.id))


def alive(nodes: tuple[Instance, ...]) -> list[Instance]:
    """Return those that still may bill."""
    return [node for node in nodes if node.state not in ENDED]
