"""A node in a folder: files below a root, and programs that answer as on a node."""

from __future__ import annotations

import getpass
import http.server
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit.verify import node_check
from annexkit.verify.node_base import Node
from tests.unit.ssh.keys import host_key

BUILD, DIGEST, DATE = "20240517T120000-0a1b2c", "ab" * 32, "2024-05-17T12:00:00Z"
INSTANCE = "i-0123456789abcdef0"
LEASE = int(time.time()) + 3600
IMAGE = {
    "image": "debian13",
    "build": BUILD,
    "digest": DIGEST,
    "date": DATE,
    "contracts": ["annexkit"],
}
AD = {"AnnexImageBuild": BUILD, "AnnexImageDigest": DIGEST, "AnnexImageDate": DATE}
FILES = (
    "# path, mode, step, only\n"
    "/usr/lib/annexkit/imds.py\t0644\t40\t-\n"
    "/usr/lib/annexkit/contract_annexkit.py\t0755\t40\tcontract=annexkit\n"
    "/opt/aws/bin/cfn-init\t0755\t40\tcontract=seed-cfn\n"
    "/etc/yum.conf\t0644\t10\tfamily=el\n"
    "/etc/cvmfs/default.local\t0644\t25\tpackage=osg-oasis\n"
)
UNITS = (
    "condor.service\tdisabled\t20\t-\n"
    "annexkit-select.service\tenabled\t40\tfamily=debian\n"
    "yum.timer\tdisabled\t10\tfamily=el\n"
    "autofs.service\tdisabled\t25\tpackage=osg-oasis\n"
    "annexkit-gone.timer\toff\t10\tpackage=fetch-crl\n"
)
HYGIENE = (
    "# name, action, path, when, why\n"
    "guard\tremove\t/usr/sbin/policy-rc.d\talways\tno service would start\n"
    "tarballs\tremove\t/etc/condor/*.tar.gz\talways\tholds secrets\n"
    "host-keys\tremove\t/etc/ssh/ssh_host_*\tbake\tmust differ\n"
)
SYSTEMCTL = """
case "$*" in
  is-system-running*) echo running ;;
  "is-active condor.service") echo active ;;
  "is-enabled condor.service") echo disabled; exit 1 ;;
  "is-enabled annexkit-gone.timer") exit 1 ;;
  is-enabled*) echo enabled ;;
  *annexkit-lease.timer) echo ActiveState=active; echo NextElapseUSecRealtime=@LEASE ;;
  *annexkit-deadline.timer)
    echo ActiveState=active; echo "NextElapseUSecMonotonic=1h 2s" ;;
  show*) echo UserspaceTimestampMonotonic=1000000
    echo FinishTimestampMonotonic=3500000 ;;
  list-units*) ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
PROGRAMS = {
    "systemctl": SYSTEMCTL.replace("LEASE", str(LEASE)),
    "cloud-init": 'echo \'{"status": "done", "errors": []}\'',
    "condor_version": "echo '$CondorVersion: 23.9.6 2024-08-08 Debian-23.9.6 $'",
    "condor_config_val": """
case "$1" in
  -dump) echo "A = B" ;;
  DAEMON_LIST) echo "MASTER, COLLECTOR, STARTD" ;;
  *) echo "Not defined"; exit 1 ;;
esac""",
    "condor_status": f"echo '{json.dumps([AD | {'Name': 'node'}])}'",
    "runuser": 'shift 3\nexec "$@"',
    "condor_submit": 'echo "uid=1000($(id -un)) gid=1000" > out',
    "condor_wait": "exit 0",
}


@dataclass
class FakeNode:
    """The folder of a node; change what you like before :meth:`check`."""

    root: Path
    bin: Path
    want: dict[str, Any] = field(default_factory=dict)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def check(self, name: str) -> dict[str, Any]:
        """The outcome of one check, by its name."""
        (check,) = (c for c in node_check.CHECKS if node_check.name_of(c) == name)
        return node_check.run(check, Node(self.want))

    def report(self) -> dict[str, Any]:
        return node_check.report(self.want)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    found = FakeNode(tmp_path / "root", tmp_path / "bin")
    found.bin.mkdir()
    for name, text in PROGRAMS.items():
        found.program(name, text)
    monkeypatch.setenv("PATH", f"{found.bin}:{os.environ['PATH']}")
    found.write("/run/annexkit/contract", "annexkit\n")
    found.write("/etc/annexkit/image.json", json.dumps(IMAGE))
    found.write("/etc/annexkit/annex.json", json.dumps({"lease_expires": LEASE}), 0o600)
    for name in ("49-annexkit-instance", "50-annex", "51-annex-lease"):
        found.write(f"/etc/condor/config.d/{name}.config", "")
    found.write("/usr/lib/annexkit/imds.py", "")
    found.write("/usr/lib/annexkit/contract_annexkit.py", "", 0o755)
    found.write("/etc/machine-id", "0" * 31 + "1\n")
    found.write("/etc/ssh/ssh_host_ed25519_key.pub", host_key().line + " root@node\n")
    with metadata() as address:
        found.want = {
            "root": str(found.root),
            "imds": address,
            "image": "debian13",
            "build": BUILD,
            "digest": DIGEST,
            "contract": "annexkit",
            "contracts": ["annexkit"],
            "family": "debian",
            "packages": ["fetch-crl"],
            "htcondor": "23.9.6+dfsg-2.1",
            "files": FILES,
            "units": UNITS,
            "hygiene": HYGIENE,
            "now": time.time(),
            "job_user": getpass.getuser(),
            "patience": 0.3,
            "skip": ["imds-for-users"],
        }
        yield found


class Metadata(http.server.BaseHTTPRequestHandler):
    """IMDSv2 in small: a token, and with it the instance id."""

    def do_PUT(self) -> None:
        self._answer(200, "token")

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") == "token"
        self._answer(*((200, INSTANCE) if known else (401, "")))

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def metadata(
    handler: type[http.server.BaseHTTPRequestHandler] = Metadata,
) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
