"""Checks of the operating system, run on the node; see node_check."""

from __future__ import annotations

import base64
import calendar
import glob
import hashlib
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any, Optional

from annexkit.verify.node_base import (
    POLL,
    Node,
    Wrong,
    command,
    differing,
    expect,
    properties,
)

CLOCK_TOLERANCE = 30.0  # seconds; EC2 refuses requests that are 5 minutes off
MIN_FREE_GB = 1.0
WRITTEN_AT_BOOT = {
    "annexkit": (
        ("/etc/annexkit/annex.json", "0600"),
        ("/etc/condor/config.d/49-annexkit-instance.config", "0644"),
        ("/etc/condor/config.d/50-annex.config", "0644"),
        ("/etc/condor/config.d/51-annex-lease.config", "0644"),
    )
}


def clock(node: Node) -> str:
    """The node's clock agrees with ours, or tokens and signatures fail."""
    off = node.started - node.want["now"]
    return expect(abs(off) <= CLOCK_TOLERANCE, f"{off:+.1f} s")


def boot(node: Node) -> str:
    """It has booted; tells the seconds since PID 1 started, not the kernel's before."""

    def state() -> str:
        said = command("systemctl", "is-system-running", check=False)
        return said if said in ("running", "degraded") else ""

    said = node.wait(state, "systemd has not finished booting")
    begin, end = "UserspaceTimestampMonotonic", "FinishTimestampMonotonic"
    shown = properties("", begin, end)
    took = (int(shown[end]) - int(shown[begin])) / 1e6
    node.boot_seconds = round(took, 2)
    return f"{said}, {took:.1f} s from init to the end of boot"


def cloud_init(node: Node) -> str:
    """cloud-init did all it was told, without an error."""

    def status() -> Optional[dict[str, Any]]:  # noqa: UP045
        said = command("cloud-init", "status", "--format=json", check=False)
        found: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
        return found if found["status"] in ("done", "error", "disabled") else None

    found = node.wait(status, "cloud-init has not finished")
    said = str(found.get("extended_status") or found["status"])
    problems = "; ".join(map(str, found.get("errors") or []))
    ok = found["status"] == "done" and not problems
    return expect(ok, said, f"{said}: {problems}")


def boot_so_far(node: Node) -> str:
    """How far the boot is, without waiting for its end."""
    begin, end = "UserspaceTimestampMonotonic", "FinishTimestampMonotonic"
    shown = properties("", "SystemState", begin, end)
    if int(shown[end]):
        took = (int(shown[end]) - int(shown[begin])) / 1e6
        node.boot_seconds = round(took, 2)
    return shown["SystemState"]


def cloud_init_so_far(node: Node) -> str:
    """cloud-init made no error in the stages that are over.

    Its own report, kept as the stages go by (cloud-init manual, "status.json").
    """
    stages = node.json("/run/cloud-init/status.json").get("v1", {})
    done = {name: stage for name, stage in stages.items() if isinstance(stage, dict)}
    problems = [str(e) for stage in done.values() for e in stage.get("errors") or []]
    over = [name for name, stage in done.items() if stage.get("finished")]
    return expect(not problems, ", ".join(over), "; ".join(problems))


def files(node: Node) -> str:
    """The image's files and those that its contract wrote, with owner and mode."""
    rows = [row[:2] for row in node.rows("files") if node.applies(row[3])]
    written = WRITTEN_AT_BOOT.get(node.want["contract"], ())
    todo = [(path, mode) for path, mode in (*rows, *written)]
    wrong = "; ".join(filter(None, (_file(node, path, mode) for path, mode in todo)))
    return expect(not wrong, f"{len(todo)} files", wrong)


def _file(node: Node, path: str, mode: str) -> str:
    try:
        found = node.path(path).lstat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    owner = node.path("/").stat() if node.root else None  # a test's own, elsewhere root
    return differing(
        [
            (f"{path}: mode", f"{found.st_mode & 0o7777:04o}", mode),
            (f"{path}: owner", found.st_uid, owner.st_uid if owner else 0),
            (f"{path}: group", found.st_gid, owner.st_gid if owner else 0),
        ]
    )


def units(node: Node) -> str:
    """Each unit that matters is enabled or not, as its step left it."""
    rows = [row for row in node.rows("units") if node.applies(row[3])]
    wrong = differing(
        (unit, _unit_state(unit, state), state) for unit, state, *_ in rows
    )
    return expect(not wrong, f"{len(rows)} units", wrong)


def _unit_state(unit: str, wanted: str) -> str:
    """Return systemd's word; where "off" is wanted, that for all but enabled."""
    said = command("systemctl", "is-enabled", unit, check=False)
    return "off" if wanted == "off" and not said.startswith("enabled") else said


def hygiene(node: Node) -> str:
    """Nothing lies there that no booted node may have: the rules that cleaned it."""
    rules = [row for row in node.rows("hygiene") if row[3] == "always"]
    left = [
        f"{name}: {node.inside(Path(path))} ({why})"
        for name, _, pattern, _, why in rules
        for path in _matches(f"{node.root}{pattern}")
    ]
    return expect(not left, f"{len(rules)} rules", "; ".join(left))


def _matches(pattern: str) -> list[str]:
    """Expand a pattern as the cleaning does: a ``*`` means hidden files, too."""
    folder, _, last = pattern.rpartition("/")
    hidden = f"{folder}/.{last}" if last.startswith("*") else ""
    return sorted(glob.glob(pattern) + (glob.glob(hidden) if hidden else []))  # noqa: PTH207


def identity(node: Node) -> str:
    """It has a machine-id and host keys; whether they are its own two nodes show."""
    machine = node.read("/etc/machine-id").strip()
    prints = []
    for path in sorted(node.path("/etc/ssh").glob("ssh_host_*_key.pub")):
        blob = path.read_text(encoding="ascii").split()[1]
        digest = hashlib.sha256(base64.b64decode(blob)).digest()
        prints.append("SHA256:" + base64.b64encode(digest).decode().rstrip("="))
    node.identity = {"machine-id": [machine], "SSH host keys": prints}
    ok = re.fullmatch("[0-9a-f]{32}", machine) and prints
    return expect(ok, f"machine-id {machine or 'none'}, {len(prints)} host keys")


def lease(node: Node) -> str:
    """The contract's timer ends the node when the lease does."""
    annex = node.json("/etc/annexkit/annex.json")
    wanted = node.want.get("lease_expires") or annex.get("lease_expires", 0)
    # A lease that has just moved is followed at the node's next look at it.
    until = time.monotonic() + min(
        2.0 * annex.get("lease_poll_seconds", 0), node.patience
    )
    while True:
        at = _armed("annexkit-lease.timer", "NextElapseUSecRealtime")
        when = _epoch(at)
        if when is not None and abs(when - wanted) <= 2:
            return f"in {wanted - time.time():.0f} s"
        if time.monotonic() >= until:
            break
        time.sleep(POLL)
    at = at or "no time"
    raise Wrong(f"the timer fires at {at}, the lease ends at {wanted:.0f}")


def _epoch(text: str) -> Optional[int]:  # noqa: UP045
    """Read a time of systemctl's: this property stays text under --timestamp=unix."""
    try:
        return calendar.timegm(time.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC"))
    except ValueError:
        return int(text[1:]) if re.fullmatch(r"@\d+", text) else None


def deadline(node: Node) -> str:
    """The timer from user data is armed, which does not depend on the contract."""
    names = ("NextElapseUSecMonotonic", "NextElapseUSecRealtime")
    uptime, date = (_armed("annexkit-deadline.timer", name) for name in names)
    if uptime in ("", "0", "infinity"):  # the lease has moved it
        return expect(date, f"armed, at {date}", "it fires at no time")
    return f"armed, at uptime {uptime}"


def _armed(timer: str, when: str) -> str:
    found = properties(timer, "ActiveState", when)
    state = found.get("ActiveState", "unknown")
    expect(state == "active", "", f"{timer} is {state}")
    return found.get(when, "")


def disk(node: Node) -> str:
    """There is room for jobs."""
    free = shutil.disk_usage(node.path("/")).free / 1e9
    return expect(free >= MIN_FREE_GB, f"{free:.1f} GB free on /")


def failed_units(node: Node) -> str:
    """No unit of the system failed."""
    said = command("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    names = [line.split()[0] for line in said.splitlines() if line.strip()]
    return expect(not names, "none", ", ".join(names))
