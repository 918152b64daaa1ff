"""What a node knows of why it is not in the pool; it runs on the node, as root.

Nothing is judged here and nothing is waited for: see :mod:`annexkit.verify.funnel`.
Prints one JSON object (:class:`annexkit.verify.facts.Facts`). No secret goes out: of
secrets only whether they are there, of logs only lines about connections and rights.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from annexkit.verify.node_base import Node, Wrong, command, properties
from annexkit.verify.node_imds import TOKEN, ask

ANNEX = "/etc/annexkit/annex.json"
SECRETS = ("/etc/condor/tokens.d/annex", "/etc/condor/condor_pool_password")
LOGS = ("/var/log/condor/MasterLog", "/var/log/condor/StartLog")
TELLING = re.compile(
    r"AUTHENTICATE|PERMISSION DENIED|[Ff]ailed to (connect|send)|Can't send|SECMAN"
    r"|not authorized|expired|^\S+ \S+ ERROR"
)
TAIL, LINES = 65_536, 8
CONNECT = 5.0


def facts(node: Node) -> dict[str, Any]:
    """Gather everything; what cannot be found is left out and named in ``unknown``."""
    found: dict[str, Any] = {"now": time.time()}
    unknown = []
    for name, question in QUESTIONS.items():
        try:
            found[name] = question(node)
        except Exception as error:  # one question must not hide the others
            unknown.append(f"{name}: {error}")
    found["unknown"] = unknown
    return found


def system(node: Node) -> str:
    """How far systemd came: ``running``, ``degraded``, ``starting`` and so on."""
    return command("systemctl", "is-system-running", check=False)


def failed_units(node: Node) -> list[str]:
    """Which units failed."""
    said = command("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    return [line.split()[0] for line in said.splitlines() if line.strip()]


def cloud_init(node: Node) -> dict[str, Any]:
    """What cloud-init says of itself."""
    said = command("cloud-init", "status", "--format=json", check=False)
    found: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
    status = found.get("extended_status") or found.get("status") or ""
    return {"status": str(status), "errors": [str(e) for e in found.get("errors", [])]}


def failed(node: Node) -> str:
    """Why the contract could not set the node up: a word, then a sentence."""
    try:
        return node.read("/run/annexkit/failed").strip()
    except Wrong:
        return ""


def role(node: Node) -> str:
    """The name of the instance's role; empty without one."""
    _, token = ask(node, "PUT", "api/token", {f"{TOKEN}-ttl-seconds": "60"})
    path = "meta-data/iam/security-credentials/"
    status, names = ask(node, "GET", path, {TOKEN: token})
    return names.split("\n")[0].strip() if status == 200 else ""


def secret(node: Node) -> bool:
    """Whether the pool's secret is in its place."""
    return any(node.path(path).is_file() for path in SECRETS)


def condor(node: Node) -> str:
    """The state of condor.service, with its result when that is no success."""
    shown = properties("condor.service", "ActiveState", "Result")
    state, result = shown.get("ActiveState", "unknown"), shown.get("Result", "success")
    return state if result == "success" else f"{state} ({result})"


def config(node: Node) -> str:
    """What is wrong with HTCondor's configuration; empty when it can be read."""
    return command("sh", "-c", "condor_config_val -dump 2>&1 >/dev/null", check=False)


def collector(node: Node) -> dict[str, str]:
    """Whether the collector's port takes a connection from here."""
    address = (node.json(ANNEX).get("pool") or {}).get("collector", "")
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT):
            return {"address": address, "error": ""}
    except (OSError, ValueError) as error:
        return {"address": address, "error": str(error) or type(error).__name__}


def start(node: Node) -> str:
    """The START expression."""
    return command("condor_config_val", "START", check=False)


def log(node: Node) -> list[str]:
    """The newest lines of HTCondor's logs about connections and rights."""
    found = []
    for path in LOGS:
        try:
            text = node.read(path)[-TAIL:]
        except Wrong:
            continue
        lines = [line[:300] for line in text.splitlines() if TELLING.search(line)]
        found += lines[-LINES:]
    return found


QUESTIONS: dict[str, Callable[[Node], Any]] = {
    "system": system,
    "failed_units": failed_units,
    "cloud_init": cloud_init,
    "failed": failed,
    "role": role,
    "secret": secret,
    "condor": condor,
    "config": config,
    "collector": collector,
    "start": start,
    "log": log,
}


def main(argument: str) -> None:
    """Print the facts; the argument is JSON, of which tests alone use anything."""
    json.dump(facts(Node(json.loads(argument))), sys.stdout)
    sys.stdout.write("\n")
