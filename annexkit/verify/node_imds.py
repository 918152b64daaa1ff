"""Checks of the instance metadata service, run on the node; see node_check.

Source of what is right: EC2 User Guide, "Use the Instance Metadata Service to access
instance metadata": version 2 only, and open to nobody but root.
"""

from __future__ import annotations

import pwd
import sys
import urllib.error
import urllib.request

from annexkit.verify.node_base import Node, Wrong, command, expect

TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105  the name of a header
SECONDS = 5
ASK_AS_USER = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/latest/api/token", method="PUT",
    headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print("open: HTTP", opener.open(request, timeout=3).status)
except urllib.error.HTTPError as error:
    print("open: HTTP", error.code)
except OSError as error:
    print("closed:", error)
"""


def imds_token_required(node: Node) -> str:
    """Without a token there is no answer, so version 1 is off."""
    status, _ = _ask(node, "GET", "meta-data/instance-id", {})
    return expect(status == 401, f"HTTP {status} without a token")


def imds_for_root(node: Node) -> str:
    """With a token root is told which instance this is."""
    _, token = _ask(node, "PUT", "api/token", {f"{TOKEN}-ttl-seconds": "60"})
    status, found = _ask(node, "GET", "meta-data/instance-id", {TOKEN: token})
    wanted = node.want.get("instance_id") or found
    ok = status == 200 and found and found == wanted
    return expect(ok, found, f"HTTP {status}, {found!r}, expected {wanted!r}")


def imds_for_users(node: Node) -> str:
    """To an ordinary user, as a job is, the service is closed."""
    nobody = pwd.getpwnam("nobody")
    said = command(
        sys.executable,
        "-c",
        ASK_AS_USER,
        node.imds,
        timeout=4 * SECONDS,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
    )
    return expect(said.startswith("closed"), said, f"for user nobody: {said}")


def _ask(
    node: Node, method: str, path: str, headers: dict[str, str]
) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310
        f"{node.imds}/latest/{path}", method=method, headers=headers
    )
    # The address is link-local: a proxy in the environment is never right.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        raise Wrong(f"root gets no answer: {error}") from error
