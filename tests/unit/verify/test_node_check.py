"""The checks that run on a node: all pass on a good one, each fails for its fault."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from annexkit.verify import node_check
from tests.unit.ssh.keys import host_key
from tests.unit.verify.fake_node import (
    AD,
    BUILD,
    IMAGE,
    INSTANCE,
    LEASE,
    SYSTEMCTL,
    FakeNode,
    Metadata,
    metadata,
    node,
)

__all__ = ["node"]

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
Fault = Callable[[FakeNode], object]


def test_a_good_node_passes_every_check(node: FakeNode) -> None:
    report = node.report()
    assert [c for c in report["checks"] if not c["ok"]] == []
    assert len(report["checks"]) == len(node_check.CHECKS) - 1
    assert report["boot_seconds"] == 2.5
    assert report["identity"] == {
        "machine-id": ["0" * 31 + "1"],
        "SSH host keys": [host_key().fingerprint],
    }


def wanting(**changes: Any) -> Fault:
    return lambda node: node.want.update(changes)


def image(**changes: Any) -> Fault:
    text = json.dumps(IMAGE | changes)
    return lambda node: node.write("/etc/annexkit/image.json", text)


def program(name: str, text: str) -> Fault:
    return lambda node: node.program(name, text)


def systemctl(pattern: str, answer: str) -> Fault:
    text = SYSTEMCTL.replace("LEASE", str(LEASE))
    return program(
        "systemctl",
        text.replace("case", f'case "$*" in {pattern}) {answer}; esac\ncase'),
    )


def file(path: str, text: str = "", mode: int = 0o644) -> Fault:
    return lambda node: node.write(path, text, mode)


def missing(path: str) -> Fault:
    return lambda node: (node.root / path).unlink()


def ad(**changes: Any) -> Fault:
    return program("condor_status", f"echo '{json.dumps([AD | changes])}'")


FAULTS: list[tuple[str, Fault, str]] = [
    ("clock", wanting(now=0), "+1"),
    ("contract", file("/run/annexkit/contract", "none\n"), "none"),
    ("contract", missing("run/annexkit/contract"), "No such file"),
    ("description", image(build="x"), f"build is 'x', expected '{BUILD}'"),
    ("description", file("/etc/annexkit/image.json", "{"), "is no JSON"),
    ("description", file("/etc/annexkit/image.json", "[]"), "is no JSON object"),
    ("condor-service", systemctl("is-active*", "echo failed; exit 3"), "still after"),
    ("condor-version", wanting(htcondor="25.14.1-1"), "23.9.6, expected 25.14.1-1"),
    ("condor-version", wanting(htcondor=""), "expected a recorded version"),
    ("condor-version", program("condor_version", "echo no"), "none, expected 23.9.6"),
    (
        "condor-config",
        program("condor_config_val", 'echo "bad line 3" >&2; exit 1'),
        "bad line 3",
    ),
    (
        "condor-config",
        program("condor_config_val", '[ "$1" = -dump ] || echo MASTER'),
        "DAEMON_LIST is MASTER",
    ),
    (
        "condor-config",
        program(
            "condor_config_val",
            'case "$1" in -dump) ;; D*) echo MASTER STARTD;; *) echo True;; esac',
        ),
        "no job can run",
    ),
    ("condor-ads", program("condor_status", ""), "no master ad, still after"),
    ("condor-ads", program("condor_status", "echo Error; exit 1"), "still after"),
    ("condor-ads", ad(AnnexImageDigest=None), "AnnexImageDigest is None"),
    ("condor-ads", ad(AnnexImageDate="old"), "AnnexImageDate is 'old'"),
    ("job", program("condor_submit", "echo no schedd >&2; exit 1"), "no schedd"),
    ("job", program("condor_wait", "exit 1"), "condor_wait"),
    ("job", program("condor_submit", "echo 'uid=1(other)' > out"), "another user"),
    ("boot", systemctl("is-system-running*", "echo starting; exit 1"), "not finished"),
    (
        "cloud-init",
        program("cloud-init", 'echo \'{"status": "done", "errors": ["bad key"]}\''),
        "bad key",
    ),
    ("cloud-init", program("cloud-init", 'echo \'{"status": "error"}\''), "error"),
    (
        "cloud-init",
        program("cloud-init", 'echo \'{"status": "running"}\''),
        "has not finished, still after",
    ),
    ("files", file("/etc/annexkit/annex.json", "", 0o644), "mode is '0644', expected"),
    ("files", file("/usr/lib/annexkit/imds.py", "", 0o666), "'0666', expected '0644'"),
    ("files", missing("usr/lib/annexkit/contract_annexkit.py"), "No such file"),
    ("units", systemctl("is-enabled?annexkit*", "echo masked; exit 1"), "'masked'"),
    ("units", systemctl("*gone.timer", "echo enabled-runtime"), "'enabled-runtime'"),
    ("hygiene", file("/usr/sbin/policy-rc.d"), "guard: /usr/sbin/policy-rc.d"),
    ("hygiene", file("/etc/condor/a.tar.gz"), "holds secrets"),
    ("hygiene", file("/etc/condor/.a.tar.gz"), "/etc/condor/.a.tar.gz"),
    ("identity", file("/etc/machine-id", "uninitialized\n"), "uninitialized"),
    ("identity", missing("etc/ssh/ssh_host_ed25519_key.pub"), "0 host keys"),
    (
        "lease",
        systemctl("*lease.timer", "echo ActiveState=inactive; exit 0"),
        "is inactive",
    ),
    (
        "lease",
        systemctl("*lease.timer", "echo ActiveState=active; exit 0"),
        "fires at no time",
    ),
    (
        "lease",
        file("/etc/annexkit/annex.json", '{"lease_expires": 5}', 0o600),
        "the lease ends at 5",
    ),
    (
        "deadline",
        systemctl("*deadline.timer", "echo ActiveState=failed; exit 0"),
        "is failed",
    ),
    ("failed-units", systemctl("list-units*", "echo a.service x; exit 0"), "a.service"),
    ("imds-for-root", wanting(instance_id="i-other"), "expected 'i-other'"),
]


@pytest.mark.parametrize(
    ("name", "fault", "said"), FAULTS, ids=[f"{n}: {s}" for n, _, s in FAULTS]
)
def test_a_fault_fails_its_check_and_says_what_is_wrong(
    node: FakeNode, name: str, fault: Fault, said: str
) -> None:
    fault(node)
    outcome = node.check(name)
    assert not outcome["ok"]
    assert said in outcome["detail"]


def test_each_check_but_the_disks_has_a_fault_here() -> None:
    checks = {node_check.name_of(check) for check in node_check.CHECKS}
    elsewhere = {"disk", "imds-token-required", "imds-for-users"}
    assert checks - elsewhere == {name for name, _, _ in FAULTS}


def test_a_full_disk_fails(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annexkit.verify.node_system.MIN_FREE_GB", 1e9)
    assert not node.check("disk")["ok"]


def test_a_check_that_breaks_does_not_hide_the_others(node: FakeNode) -> None:
    node.program("cloud-init", "echo no json")
    report = node.report()
    broken = [c for c in report["checks"] if not c["ok"]]
    assert [c["name"] for c in broken] == ["cloud-init"], broken
    assert "the check broke: ValueError" in broken[0]["detail"]


def test_what_is_not_there_yet_is_waited_for(node: FakeNode) -> None:
    node.want["patience"] = 10
    systemctl("is-active*", "[ -e $0.up ] || { : > $0.up; echo activating; exit 3; }")(
        node
    )
    outcome = node.check("condor-service")
    assert outcome["ok"]
    assert (node.bin / "systemctl.up").exists()


def test_rows_of_other_contracts_and_families_are_not_looked_at(
    node: FakeNode,
) -> None:
    node.want.update(contracts=["annexkit", "seed-cfn"])
    assert "/opt/aws/bin/cfn-init: No such file" in node.check("files")["detail"]
    node.want.update(contracts=[], family="el", contract="none")
    assert "/etc/yum.conf: No such file" in node.check("files")["detail"]


class Version1(Metadata):
    def do_GET(self) -> None:
        self._answer(200, INSTANCE)


def test_a_metadata_service_of_version_1_fails(node: FakeNode) -> None:
    with metadata(Version1) as address:
        node.want["imds"] = address
        assert not node.check("imds-token-required")["ok"]


def test_no_metadata_service_fails(node: FakeNode) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        node.want["imds"] = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert "no answer" in node.check("imds-for-root")["detail"]


@ROOT
def test_a_metadata_service_that_is_open_to_users_fails(node: FakeNode) -> None:
    node.want["skip"] = []
    outcome = node.check("imds-for-users")
    assert not outcome["ok"]
    assert "open: HTTP 200" in outcome["detail"]


@ROOT
def test_a_metadata_service_that_is_closed_to_users_passes(node: FakeNode) -> None:
    node.want["skip"] = []
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        node.want["imds"] = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        outcome = node.check("imds-for-users")
    assert outcome["ok"], outcome


def test_what_the_contract_writes_is_looked_for_after_it_ended() -> None:
    order = [node_check.name_of(check) for check in node_check.POOL_CHECKS]
    assert order.index("condor-service") < order.index("files")
