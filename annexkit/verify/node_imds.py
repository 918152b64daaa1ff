"""Checks of the instance metadata service, run on the node; see node_check.

Source of what is right: EC2 User Guide, "Use the Instance Metadata Service to access
instance metadata": version 2 only, and open to nobody but root.
"""

from __future__ import annotations

import os
import pwd
import urllib.error
import urllib.request
from typing import NoReturn

from annexkit.verify.node_base import Node, Wrong, expect

TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105  the name of a header
SECONDS = 5


def imds_token_required(node: Node) -> str:
    """Without a token there is no answer, so version 1 is off."""
    status, _ = ask(node, "GET", "meta-data/instance-id", {})
    return expect(status == 401, f"HTTP {status} without a token")


def imds_for_root(node: Node) -> str:
    """With a token root is told which instance this is."""
    status, found = ask_as_root(node, "meta-data/instance-id")
    wanted = node.want.get("instance_id") or found
    ok = status == 200 and found and found == wanted
    return expect(ok, found, f"HTTP {status}, {found!r}, expected {wanted!r}")


def imds_for_users(node: Node) -> str:
    """To an ordinary user, as a job is, the service is closed."""
    nobody = pwd.getpwnam("nobody")
    reading, writing = os.pipe()
    child = os.fork()  # a Python of its own would cost the node a tenth of a second
    if not child:
        _as_user(node, nobody.pw_uid, nobody.pw_gid, writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return expect(said.startswith("closed"), said, f"for user nobody: {said}")


def _as_user(node: Node, user: int, group: int, writing: int) -> NoReturn:
    """Ask as another user, write what came of it, and end this process."""
    said = "broke: no answer"
    try:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        status, _ = ask(node, "PUT", "api/token", {f"{TOKEN}-ttl-seconds": "60"})
        said = f"open: HTTP {status}"
    except Wrong as error:
        said = f"closed: {error}"
    except BaseException as error:
        said = f"broke: {error}"
    finally:
        os.write(writing, said.encode())
        os._exit(0)


def ask_as_root(node: Node, path: str) -> tuple[int, str]:
    """Return the status and the value at a path of the metadata service."""
    _, token = ask(node, "PUT", "api/token", {f"{TOKEN}-ttl-seconds": "60"})
    return ask(node, "GET", path, {TOKEN: token})


def ask(node: Node, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Return the status and the body of one request; an HTTP error has no body.

    :raises Wrong: nobody answered.
    """
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
        raise Wrong(f"no answer: {error}") from error
