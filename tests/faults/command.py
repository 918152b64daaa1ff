"""annexkit's command line in a checkout of its own, in this process, with moto for EC2.

What a person can do wrong is done here: to the files of the checkout, to the
environment, to the account, or by an EC2 that refuses.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from invoke import Program
from moto.ec2.models.amis import Ami

from annexkit.bake import index, sources
from annexkit.registry import RegionBuild, RegistryFile, State
from annexkit.registry.edits import put_build, set_candidate
from annexkit.registry.store import dump, json_schema
from tests.unit.bake.repo import Repo
from tests.unit.helpers import ACCOUNT, BUILD, NOON, REGION, a_build

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("tasks.py", "invoke.yaml", "packer/images", "provision", "cloud-init")
BASE = "ami-00000000000000001"
OWNER = "136693071363"
RECIPE = "packer/images/debian13.pkrvars.hcl"
REGISTRY = "ami_registry.json"
# What moto says of the root of every AMI, in GiB; the real recipe has 10.
MOTO_ROOT = 15


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    exit_code: int
    out: str
    err: str

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Each error as (where and what, mend)."""
        more = r"(?:\n(?!error:|warning:|info:|> |  mend:).*)*"
        each = rf"^error: (.*{more})(?:\n  mend: (.*))?"
        found = re.findall(each, self.err, re.MULTILINE)
        return [(what.strip(), mend.strip()) for what, mend in found]


@dataclass
class Scene:
    """A checkout in which ``invoke bake`` would go well, until something is done."""

    root: Path
    patch: pytest.MonkeyPatch
    read_output: Callable[[], Any]
    cleanup: Callable[[Callable[[], object]], None]
    repo: Repo = field(init=False)

    def __post_init__(self) -> None:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, self.root / name)
        self.replace(RECIPE, "size       = 10", f"size       = {MOTO_ROOT}")
        self.repo = Repo(self.root / "mirror")
        self.repo.publish("trixie", "23.9.6+dfsg-2.1")
        self._this_machine_is_debian()
        self.write(REGISTRY, "")
        self.claim(ACCOUNT, "aws")
        self.write("ami_registry.schema.json", json_schema())
        for name, value in {
            "STATE_DIR": str(self.root / "state"),
            "CACHE_DIR": str(self.root / "cache"),
            "POLL": "0.05",
            "BAKE_SSH_CIDRS": "192.0.2.7/32",
        }.items():
            self.set(f"INVOKE_ANNEXKIT_{name}", value)

    def _this_machine_is_debian(self) -> None:
        """Have the mirrors read from an apt folder of ours; the reader is the real."""
        apt, read = self.root / "apt", sources.read_sources
        self.write("apt/sources.list", f"deb {self.repo.uri} trixie main\n")
        self.patch.setattr(index, "read_sources", lambda _: read(apt))
        self.patch.setattr(index, "codename", lambda: "trixie")

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (self.root / name).write_text(text.replace(old, new, 1))

    def recipe(self, old: str, new: str) -> None:
        self.replace(RECIPE, old, new)

    def set(self, name: str, value: str) -> None:
        self.patch.setenv(name, value)

    def unset(self, *names: str) -> None:
        for name in names:
            self.patch.delenv(name, raising=False)

    def claim(self, account: str, endpoint: str) -> None:
        """Write an empty registry that belongs to this account."""
        self.write(REGISTRY, dump(RegistryFile(self.root / "none").read()))
        if account:
            self.replace(REGISTRY, '"account": ""', f'"account": "{account}"')
        self.replace(REGISTRY, '"endpoint": "aws"', f'"endpoint": "{endpoint}"')

    @property
    def registry(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.root / REGISTRY).read_text())
        return data

    def edit_registry(self, **changed: Any) -> None:
        self.write(REGISTRY, json.dumps({**self.registry, **changed}))

    def base_ami(self, ami: str = BASE, name: str = "20260101-0001") -> None:
        """Put a Debian AMI into moto, as Debian's account would have published it."""
        backend = ec2()
        backend.amis[ami] = Ami(
            backend,
            ami,
            name=f"debian-13-amd64-{name}",
            owner_id=OWNER,
            virtualization_type="hvm",
            architecture="x86_64",
            creation_date=datetime(2026, 1, 1, tzinfo=UTC),
            root_device_type="ebs",
            root_device_name="/dev/xvda",
            public=True,
        )

    def baked_before(self, state: State = State.PENDING) -> str:
        """Record a build of the very input that lies here; return its AMI."""
        planned = self.run("bake", "--dry-run", "--json")
        assert planned.exit_code == 0, planned.err
        digest = json.loads(planned.out)["regions"][REGION]["digest"]
        ami = Ami(ec2(), "ami-00000000000000002", name="annexkit-debian13-baked")
        ec2().amis[ami.id] = ami
        there = RegionBuild(
            ami=ami.id,
            state=state,
            verified_at=NOON if state is State.READY else None,
        )

        def change(registry: Any) -> None:
            put_build(
                registry, "debian13", BUILD, a_build({REGION: there}, digest=digest)
            )
            set_candidate(registry, "debian13", BUILD, REGION)

        RegistryFile(self.root / REGISTRY).update(change)
        return str(ami.id)

    def run(self, *argv: str) -> Said:
        """Run ``invoke`` in the checkout."""
        self.read_output()
        code = 0
        try:
            Program().run(["invoke", "--search-root", str(self.root), *argv])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self.read_output()
        return Said(code, said.out, said.err)

    def files(self) -> dict[str, bytes]:
        """All that must not change: everything but caches, locks and what is rendered.

        What a reap saw is its own notebook.
        """
        passing = ("cache/", "packer/build/", "state/builds/", "state/reap-seen.json")
        found = {
            p.relative_to(self.root).as_posix(): p.read_bytes()
            for p in self.root.rglob("*")
            if p.is_file() and p.suffix not in {".lock", ".pyc"}
        }
        return {n: data for n, data in found.items() if not n.startswith(passing)}


def ec2() -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][REGION]


@contextmanager
def refusing(action: str, code: str, message: str) -> Iterator[str]:
    """Serve an EC2 and STS that refuses one action; yields its address.

    The error is written as EC2 and STS write it (EC2 API reference, Error codes).
    """
    identity = f"<Account>{ACCOUNT}</Account>"
    asked = re.compile(rf"\bAction={action}\b".encode())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            refused = bool(asked.search(body))
            error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            inner = (
                f"<ErrorResponse>{error}</ErrorResponse>"
                if b"2011-06-15" in body  # STS's version of the query protocol
                else f"<Response><Errors>{error}</Errors></Response>"
            )
            answer = (
                inner
                if refused
                else "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                f"{identity}</GetCallerIdentityResult></GetCallerIdentityResponse>"
            ).encode()
            self.send_response(400 if refused else 200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback for as long as the block lasts; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
