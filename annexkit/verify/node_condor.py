"""Checks of the contract and of HTCondor, run on the node; see node_check."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Optional

from annexkit.verify.node_base import Node, command, differing, expect

FAILED = "/run/annexkit/failed"
CONTRACT = "annexkit-contract-annexkit.service"
IMAGE = "/etc/annexkit/image.json"
ATTRIBUTES = {
    "AnnexImageBuild": "build",
    "AnnexImageDigest": "digest",
    "AnnexImageDate": "date",
}
SUBMIT = """\
executable = /usr/bin/id
transfer_executable = False
request_memory = 32MB
request_disk = 1MB
output = out
error = err
log = log
queue
"""


def contract(node: Node) -> str:
    """The selector chose the contract that the user data asked for."""
    found = node.read("/run/annexkit/contract").strip()
    return expect(found == node.want["contract"], found or "empty")


def description(node: Node) -> str:
    """The image says that it is the build we think it is."""
    found = node.json(IMAGE)
    keys = [k for k in ("image", "build", "digest", "date") if node.want.get(k)]
    wrong = differing((key, found.get(key), node.want[key]) for key in keys)
    return expect(not wrong, f"build {found.get('build')}", wrong)


def condor_service(node: Node) -> str:
    """HTCondor was started, by the contract."""

    def active() -> bool:
        said = command("systemctl", "is-active", "condor.service", check=False)
        if said != "active":
            _given_up(node)
        return said == "active"

    node.wait(active, "condor.service is not active")
    return "active"


def _given_up(node: Node) -> None:
    """Say why the contract failed, if it has: a kind, then a sentence.

    The reason stands there while the contract still tries, too.
    """
    if node.path(FAILED).exists():
        state = command("systemctl", "is-active", CONTRACT, check=False)
        kind, _, why = node.read(FAILED).strip().partition(" ")
        expect(state != "failed", "", f"{why} ({kind})")


def condor_version(node: Node) -> str:
    """HTCondor is of the version that the build recorded.

    A distribution's package version adds an epoch before it and a revision after it
    (Debian Policy, section 5.6.12).
    """
    match = re.search(r"\$CondorVersion: ([\d.]*\d)", command("condor_version"))
    found = match.group(1) if match else "none"
    recorded = node.want["htcondor"]
    if not recorded and node.want.get("mode") == "pool":
        return f"{found}; this registry does not know the build"
    wanted = re.match(r"(?:\d+:)?([\d.]*\d)", recorded)
    ok = wanted is not None and wanted.group(1) == found
    return expect(ok, found, f"{found}, expected {recorded or 'a recorded version'}")


def condor_config(node: Node) -> str:
    """The configuration can be read, and nothing in it keeps jobs from running."""
    broken = command("sh", "-c", "condor_config_val -dump 2>&1 >/dev/null", check=False)
    expect(not broken, "", f"it cannot be read: {broken}")
    daemons = command("condor_config_val", "DAEMON_LIST")
    ok = {"MASTER", "STARTD"} <= set(re.split(r"[,\s]+", daemons))
    expect(ok, "", f"DAEMON_LIST is {daemons}")
    found = command("condor_config_val", "ENCRYPT_EXECUTE_DIRECTORY", check=False)
    what = "ENCRYPT_EXECUTE_DIRECTORY is TRUE: no job can run"
    return expect(found.lower() != "true", daemons, what)


def condor_ads(node: Node) -> str:
    """Master and every slot advertise which image this is, in the node's own pool."""
    wanted = {a: node.want.get(key) for a, key in ATTRIBUTES.items()}
    wanted["AnnexImageDate"] = wanted["AnnexImageDate"] or node.json(IMAGE).get("date")
    shown = []
    for kind in ("master", "startd"):
        ads = node.wait(partial(_ads, kind), f"the collector has no {kind} ad")
        for ad in ads:
            pairs = ((f"{kind} ad: {a}", ad.get(a), v) for a, v in wanted.items())
            wrong = differing(pairs)
            expect(not wrong, "", wrong)
            shown.append(f"{ad.get('Name')} ({kind})")
    return ", ".join(shown)


def _ads(kind: str) -> Optional[list[dict[str, Any]]]:  # noqa: UP045
    names = ",".join(["Name", *ATTRIBUTES])
    said = command(
        "condor_status", f"-{kind}", "-json", "-attributes", names, check=False
    )
    # Nothing at all is printed while there is no ad, and an error while no collector.
    return json.loads(said) if said.startswith("[") else None


def job(node: Node) -> str:
    """A job of an ordinary user runs in the node's own pool, as that user."""
    user = node.want["job_user"]
    as_user = ("runuser", "-u", user, "--")
    with tempfile.TemporaryDirectory(prefix="annexkit-job-") as name:
        folder = Path(name)
        shutil.chown(folder, user)
        (folder / "job.sub").write_text(SUBMIT, encoding="utf-8")
        command(*as_user, "condor_submit", "job.sub", cwd=folder)
        left = max(1, int(node.end - time.monotonic()))
        wait = ("condor_wait", "-wait", str(left), "log")
        command(*as_user, *wait, cwd=folder, timeout=left + 10)
        said = (folder / "out").read_text(encoding="utf-8").strip()
    return expect(f"({user})" in said, said, f"the job ran as another user: {said}")
