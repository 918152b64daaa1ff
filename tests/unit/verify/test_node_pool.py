"""The checks of a node of a pool: all pass on a good one, each fails for its fault."""

from __future__ import annotations

import json
import time

import pytest

from annexkit.verify import node_check
from annexkit.verify.node_base import Node
from tests.unit.verify.fake_node import (
    INSTANCE,
    LEASE,
    SYSTEMCTL,
    FakeNode,
    Metadata,
    metadata,
    node,
)

__all__ = ["node"]

SECRET = "/etc/condor/tokens.d/annex"
POOL = {"collector": "cm.example.org:9618", "method": "idtokens"}
ANNEX = {"lease_expires": 5, "lease_poll_seconds": 0, "pool": POOL}
CONFIG = """\
DAEMON_LIST = MASTER STARTD
COLLECTOR_HOST = cm.example.org:9618
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
ENCRYPT_EXECUTE_DIRECTORY = False
"""
STATUS = {"v1": {"init": {"errors": [], "finished": 1.0}, "stage": None}}
ROLE = "/latest/meta-data/iam/security-credentials/"


BOOTING = """
case "$*" in *SystemState*) echo SystemState=starting
  echo UserspaceTimestampMonotonic=1; echo FinishTimestampMonotonic=0; exit 0 ;;
esac"""


class WithRole(Metadata):
    """IMDSv2 with a role."""

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") == "token"
        values = {ROLE: "node", f"{ROLE}node": '{"AccessKeyId": "AKID"}'}
        text = values.get(self.path, INSTANCE)
        self._answer(*((200, text) if known else (401, "")))


def config(text: str) -> str:
    return f"cat <<'X'\n{text}X"


def outcome(node: FakeNode, name: str) -> dict[str, object]:
    checks = node_check.POOL_CHECKS
    (check,) = (c for c in checks if node_check.name_of(c) == name)
    return node_check.run(check, Node(node.want))


@pytest.fixture
def member(node: FakeNode) -> FakeNode:
    """A good node of a pool."""
    node.want |= {"mode": "pool", "lease_expires": float(LEASE)}
    node.write("/etc/annexkit/annex.json", json.dumps(ANNEX), 0o600)
    node.write(SECRET, "a.b.c\n", 0o600)
    node.write("/run/cloud-init/status.json", json.dumps(STATUS))
    text = SYSTEMCTL.replace("LEASE", str(LEASE))
    node.program("systemctl", f"{BOOTING}\n{text}")
    node.program("condor_config_val", config(CONFIG))
    return node


def test_a_good_node_passes_every_check(member: FakeNode) -> None:
    with metadata(WithRole) as address:
        member.want["imds"] = address
        report = member.report()
    assert [c for c in report["checks"] if not c["ok"]] == []
    assert len(report["checks"]) == len(node_check.POOL_CHECKS) - 1
    assert report["boot_seconds"] is None


def test_nothing_of_a_pool_of_its_own_is_asked() -> None:
    names = {node_check.name_of(check) for check in node_check.POOL_CHECKS}
    assert not names & {"job", "condor-ads", "units"}


def test_no_role_fails(member: FakeNode) -> None:
    with metadata(Metadata) as address:
        member.want["imds"] = address
        assert not outcome(member, "role")["ok"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("MASTER STARTD", "MASTER", "DAEMON_LIST is 'MASTER'"),
        ("cm.example.org", "other", "COLLECTOR_HOST is 'other:9618'"),
        ("FS, IDTOKENS", "FS, CLAIMTOBE", "METHODS is 'FS, CLAIMTOBE'"),
        ("ENCRYPTION = REQUIRED", "ENCRYPTION = NEVER", "ENCRYPTION is 'NEVER'"),
        ("DIRECTORY = False", "DIRECTORY = True", "no job can run"),
    ],
)
def test_a_configuration_that_is_another_fails(
    member: FakeNode, old: str, new: str, said: str
) -> None:
    member.program("condor_config_val", config(CONFIG.replace(old, new)))
    found = outcome(member, "pool-config")
    assert not found["ok"]
    assert said in str(found["detail"])


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [
        (0o644, "x", "mode is '0644'"),
        (0o600, "", "empty is True"),
        (0, None, "No such"),
    ],
)
def test_a_secret_that_is_not_roots_alone_fails(
    member: FakeNode, mode: int, text: str | None, said: str
) -> None:
    if text is None:
        (member.root / SECRET[1:]).unlink()
    else:
        member.write(SECRET, text, mode)
    found = outcome(member, "secret")
    assert not found["ok"]
    assert said in str(found["detail"])
    assert "a.b.c" not in str(found["detail"])


def test_the_reason_of_a_contract_that_gave_up_is_the_detail(member: FakeNode) -> None:
    member.want["patience"] = 60
    member.write("/run/annexkit/failed", "no-role the instance has no IAM role\n")
    text = 'case "$*" in is-active*contract*) echo failed;; *) echo inactive;; esac'
    member.program("systemctl", text)
    begun = time.monotonic()
    found = outcome(member, "condor-service")
    assert found["detail"] == "the instance has no IAM role (no-role)"
    assert not found["ok"]
    assert time.monotonic() - begun < 10


def test_a_contract_that_still_tries_is_waited_for(member: FakeNode) -> None:
    member.write("/run/annexkit/failed", "busy SSM is busy\n")
    text = 'case "$*" in is-active*contract*) echo activating;; *) echo inactive;; esac'
    member.program("systemctl", text)
    assert "still after" in str(outcome(member, "condor-service")["detail"])


def test_the_lease_is_the_tags_and_not_that_of_the_start(member: FakeNode) -> None:
    assert outcome(member, "lease")["ok"]
    member.want["lease_expires"] = LEASE + 60.0
    assert f"ends at {LEASE + 60}" in str(outcome(member, "lease")["detail"])


def test_an_error_of_cloud_init_fails_before_its_end(member: FakeNode) -> None:
    status = {"v1": {"init": {"errors": ["bad schema"], "finished": None}}}
    member.write("/run/cloud-init/status.json", json.dumps(status))
    assert outcome(member, "cloud-init")["detail"] == "bad schema"


def test_a_build_that_nobody_recorded_is_no_fault(member: FakeNode) -> None:
    member.want["htcondor"] = ""
    assert outcome(member, "condor-version")["ok"]
