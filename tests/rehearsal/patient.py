"""A person before the doctor's page: who reads it, and does what it says, literally."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from annexkit.registry import Channels, ImageRecord, Registry, RegistryFile, State
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import ACCOUNT
from tests import aws_words
from tests.stage import LONGEST, REGION, Place
from tests.unit.helpers import BUILD, a_build, in_region

BEGINS = re.compile(
    r"(aws|chmod|export|git|invoke|systemctl|unset) |[a-z]+=\$\((aws|invoke) "
)
# Where words go on after a command in the same sentence.
ENDS = re.compile(r",? \(or |, (?:and|or|which) ")
MOST_PAGES = 3  # after which a line has to be well


def commands(mend: str) -> list[str]:
    """Return the commands that a mend begins with, as they are to be typed.

    Parts of a mend stand between semicolons; one that begins with a word such as "or"
    is another way. Words before a colon say what a command is for.

    >>> commands("leave it out: export A=1; or wait")
    ['export A=1']
    """
    found: list[str] = []
    for part in mend.split("; "):
        text = part if BEGINS.match(part) else part.partition(": ")[2]
        if part.startswith(("or ", "else ")) or not BEGINS.match(text):
            break
        found.append(ENDS.split(text)[0])
    return found


@contextmanager
def terminal() -> Iterator[int]:
    """Yield a terminal on which somebody types yes, whatever is asked."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"y\n" * 3)
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


@dataclass
class Patient:
    """A shell in a checkout; what is exported there lasts.

    :param flags: of ``invoke doctor``.
    :param host: the pool's, on which ``systemctl`` is typed.
    """

    place: Place
    bin: Path
    env: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    host: PoolHost | None = None
    typed: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, place: Place, bin_folder: Path, **more: Any) -> Patient:
        """Return who stands at a place, with an ``aws`` of our own on the PATH."""
        bin_folder.mkdir(parents=True, exist_ok=True)
        aws_words.install(bin_folder, sys.executable)
        place.folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(
            [str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        home = {"HOME": str(place.folder), "PATH": path}
        return cls(place, bin_folder, place.environment | home, **more)

    def page(self) -> dict[str, list[dict[str, str]]]:
        """Ask the doctor; return the lines by their checks."""
        done = self._shell(shlex.join(["invoke", "doctor", "--json", *self.flags]))
        assert done.returncode in (0, 1), done.stderr
        found: dict[str, list[dict[str, str]]] = {}
        for line in json.loads(done.stdout)["lines"]:
            found.setdefault(line["check"], []).append(line)
        return found

    def obey(self, mend: str) -> None:
        """Type what a mend says; the shell keeps what it exports.

        A command that other lines said before, and that was typed, is done.
        """
        found = commands(mend)
        assert found, f"no command in: {mend}"
        whole = "; ".join(found)
        if whole in self.typed:
            return
        self.typed.append(whole)
        if found[0].startswith("systemctl "):
            assert self.host is not None
            self.host.run("root", "sh", "-c", whole)
        elif found[0].startswith("invoke doctor "):
            self.flags = tuple(shlex.split(found[0])[2:])
        else:
            self._type(whole)

    def _type(self, whole: str) -> None:
        after = self.place.folder / "environment"
        with terminal() as typed:
            script = f"{whole}\nstatus=$?; env -0 >{after}; exit $status"
            done = self._shell(script, typed)
        assert done.returncode == 0, f"{whole}: {done.stdout}{done.stderr}"
        told = dict(
            line.split("=", 1) for line in after.read_text().split("\0") if "=" in line
        )
        self.env = {k: v for k, v in told.items() if k not in ("_", "SHLVL")}

    def _shell(
        self, script: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.place.stage.checkout,
            env=self.env,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )

    def set(self, **settings: str) -> None:
        """Give settings of annexkit other values: ``BAKE_IMAGE="x"``."""
        for name, value in settings.items():
            self.env[f"INVOKE_ANNEXKIT_{name}"] = value

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client of the account, past annexkit."""
        session: Any = boto3.Session("test", "test", region_name=region)
        url = self.place.stage.rehearsal.endpoint
        return session.client(service, endpoint_url=url)

    @property
    def key(self) -> Path:
        """The private key of the annex of the settings."""
        return self.place.state / "annexes" / "annex" / "id_ed25519"

    def default_vpc(self, region: str = REGION) -> str:
        wanted = [{"Name": "is-default", "Values": ["true"]}]
        (vpc,) = self.client("ec2", region).describe_vpcs(Filters=wanted)["Vpcs"]
        return str(vpc["VpcId"])

    def main_table(self) -> str:
        """Return the main route table of the default VPC."""
        wanted = [
            {"Name": "vpc-id", "Values": [self.default_vpc()]},
            {"Name": "association.main", "Values": ["true"]},
        ]
        (table,) = self.client("ec2").describe_route_tables(Filters=wanted)[
            "RouteTables"
        ]
        return str(table["RouteTableId"])

    def register(self, path: Path | None = None) -> Path:
        """Write a registry that names an AMI, as a bake leaves it."""
        path = path or self.place.registry_path

        def put(registry: Registry) -> None:
            registry.account = ACCOUNT
            registry.endpoint = self.place.stage.rehearsal.endpoint
            registry.images["debian13"] = ImageRecord(
                builds={BUILD: a_build({REGION: in_region(State.READY)})},
                channels={"x86_64": {REGION: Channels(current=BUILD)}},
            )

        path.parent.mkdir(parents=True, exist_ok=True)
        RegistryFile(path).update(put)
        return path


@dataclass(frozen=True)
class Ailment:
    """One thing that is wrong: done by *spoil*, told by *check* in some *words*."""

    name: str
    check: str
    words: str
    spoil: Callable[[Patient], object]


@dataclass(frozen=True)
class Visit:
    """Ailments of different checks, told on one page."""

    name: str
    ailments: Sequence[Ailment]
    flags: tuple[str, ...] = ()

    def pass_through(self, patient: Patient) -> None:
        """See everything told, do what is said, and see every line well."""
        patient.flags = self.flags
        for one in self.ailments:
            one.spoil(patient)
        page = patient.page()
        for one in self.ailments:
            assert ill(page, one.check), (one.name, page.get(one.check))
            told = [line["what"] for line in page[one.check]]
            assert any(one.words in what for what in told), (one.name, told)
        for _ in range(MOST_PAGES):
            left = [line for one in self.ailments for line in ill(page, one.check)]
            if not left:
                break
            for line in left:
                if line["mend"]:  # what starts from another check waits for that
                    patient.obey(line["mend"])
            page = patient.page()
        for one in self.ailments:
            assert page.get(one.check), (one.name, "is not on the page")
            assert not ill(page, one.check), (one.name, page[one.check], patient.typed)


def ill(page: dict[str, list[dict[str, str]]], check: str) -> list[dict[str, str]]:
    """Return the lines of a check that are not ok."""
    return [line for line in page.get(check, []) if line["status"] != "ok"]
