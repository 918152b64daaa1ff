"""What a node tells of itself, asked in a folder that stands for one."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from annexkit.verify import node_why
from annexkit.verify.checks import CheckError
from annexkit.verify.facts import Facts, gather
from annexkit.verify.node_base import Node
from tests.unit.verify.fake_node import FakeNode, node
from tests.unit.verify.test_checks import Answering, Local

__all__ = ["node"]

SYSTEMCTL = """
case "$*" in
  is-system-running*) echo degraded; exit 1 ;;
  *condor.service) echo ActiveState=failed; echo Result=exit-code ;;
  list-units*) echo "annexkit-select.service loaded failed failed text" ;;
esac
"""
LOG = """\
11/22/26 10:00:00 (pid:1) ******************************************************
11/22/26 10:00:01 (pid:1) attempt to connect to <10.0.0.1:9618> failed: timed out
11/22/26 10:00:01 (pid:1) ERROR: AUTHENTICATE:1003:Failed to authenticate
11/22/26 10:00:02 (pid:1) Token eyJhbGciOi is kept here
"""


@pytest.fixture
def sick(node: FakeNode) -> FakeNode:
    node.program("systemctl", SYSTEMCTL)
    node.program("cloud-init", 'echo \'{"status": "error", "errors": ["bad"]}\'')
    node.program("condor_config_val", 'test "$1" = START && echo "Owner == x"; exit 0')
    node.write("/run/annexkit/failed", "denied not allowed\n")
    node.write("/var/log/condor/MasterLog", LOG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = {"pool": {"collector": f"127.0.0.1:{port}"}}
    node.write("/etc/annexkit/annex.json", json.dumps(pool), 0o600)
    return node


def facts(node: FakeNode) -> Facts:
    return Facts.model_validate(node_why.facts(Node(node.want)))


def test_a_sick_node_tells_what_it_knows(sick: FakeNode) -> None:
    found = facts(sick)
    assert found.system == "degraded"
    assert found.failed_units == ("annexkit-select.service",)
    assert found.cloud_init is not None
    assert found.cloud_init.errors == ("bad",)
    assert found.failed == "denied not allowed"
    assert found.secret is False
    assert found.condor == "failed (exit-code)"
    assert found.start == "Owner == x"
    assert found.collector is not None
    assert "refused" in found.collector.error
    assert found.unknown == ()


def test_only_lines_about_connections_and_rights_leave_the_node(
    sick: FakeNode,
) -> None:
    (line,) = facts(sick).log
    assert "AUTHENTICATE:1003" in line


def test_what_works_is_told_as_well(sick: FakeNode) -> None:
    sick.write("/etc/condor/tokens.d/annex", "secret-text", 0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        pool = {"pool": {"collector": f"127.0.0.1:{server.getsockname()[1]}"}}
        sick.write("/etc/annexkit/annex.json", json.dumps(pool), 0o600)
        found = facts(sick)
    assert found.secret is True
    assert found.collector is not None
    assert found.collector.error == ""
    assert "secret-text" not in found.model_dump_json()


def test_one_question_that_breaks_hides_no_other(sick: FakeNode) -> None:
    sick.write("/etc/annexkit/annex.json", "no JSON")
    sick.program("cloud-init", "echo nothing; exit 1")
    found = facts(sick)
    assert found.collector is None
    assert found.cloud_init is None
    assert len(found.unknown) == 2
    assert found.condor == "failed (exit-code)"


def test_the_program_runs_on_the_nodes_python_alone(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.program("systemctl", SYSTEMCTL)
    found = gather(Local(), "i-1")
    assert found.condor == "failed (exit-code)"
    assert found.now > 0


@pytest.mark.parametrize("said", ["", "[]", "{}", "sudo: no"])
def test_an_answer_that_is_none_is_an_error(said: str) -> None:
    with pytest.raises(CheckError, match="told nothing") as caught:
        gather(Answering(said, stderr="sorry", exit_code=1), "i-1")
    assert caught.value.where == "i-1"


def test_the_role_is_the_first_that_the_metadata_service_names(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: Node, method: str, path: str, headers: Any) -> tuple[int, str]:
        if method == "PUT":
            return 200, "token"
        assert path == "meta-data/iam/security-credentials/"
        return 200, "annexkit-node\n"

    monkeypatch.setattr(node_why, "ask", ask)
    assert node_why.role(Node(node.want)) == "annexkit-node"
    monkeypatch.setattr(node_why, "ask", lambda *_: (404, "an error page"))
    assert node_why.role(Node(node.want)) == ""
