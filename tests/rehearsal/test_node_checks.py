"""Verification of real machines: pinned keys from the console, and the checks.

The machine is of the base image, not of a baked one: what belongs to the system must
pass on it, and what the bake puts there must be missed, each thing by its own check.
That a baked image passes them all is what the fresh boot of every bake shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annexkit import ssh, userdata
from annexkit.aws import connect
from annexkit.instances import console_text
from annexkit.verify import checks
from annexkit.verify.hostkeys import parse_console
from annexkit.waiting import Deadline, wait_for
from tests.rehearsal.guests import Region

pytestmark = pytest.mark.machines

ROOT = Path(__file__).parents[2]
LIFETIME = 900
PASS_ON_BASE = {
    "boot",
    "clock",
    "cloud-init",
    "deadline",
    "disk",
    "failed-units",
    "hygiene",
    "identity",
    "imds-for-root",
}


def launch(region: Region, key: ssh.Key) -> tuple[str, str]:
    annex = {
        "annex": "test",
        "owner": "test",
        "mode": "one-node",
        "lease_expires": int(time.time()) + LIFETIME,
        "idle_seconds": LIFETIME,
    }
    values = {
        "authorized_keys": [key.public_line],
        "annex": userdata.annex_json(annex),
        "seconds": LIFETIME,
    }
    text = userdata.render(ROOT / "cloud-init" / "annexkit.yaml", values)
    made = region.run(UserData=text)
    region.until(made["InstanceId"], "running")
    return made["InstanceId"], made["PrivateIpAddress"]


def console_keys(region: Region, instance: str) -> list[ssh.HostKey]:
    cloud = connect()
    shown = ""

    def printed() -> list[ssh.HostKey]:
        nonlocal shown
        shown = console_text(cloud, region.name, instance)
        return parse_console(shown)

    try:
        what = f"host keys of {instance}"
        return wait_for(printed, what=what, timeout=90, poll=0.2)
    except Deadline:
        pytest.fail(f"no host keys on the console: ...{shown[-3000:]}")


def log_in(
    address: str, key: ssh.Key, host_keys: list[ssh.HostKey], name: str
) -> ssh.Connection:
    return ssh.connect(
        address, user="admin", key=key, host_keys=host_keys, name=name, timeout=60
    )


@pytest.fixture
def nodes(region: Region) -> Iterator[list[tuple[str, ssh.Connection]]]:
    """Two machines, each logged in to with the key that its console showed."""
    key = ssh.new_key()
    found = []
    for instance, address in [launch(region, key) for _ in range(2)]:
        keys = console_keys(region, instance)
        found.append((instance, log_in(address, key, keys, instance)))
    yield found
    for _, connection in found:
        connection.client.close()


def expected(**changes: Any) -> checks.Expected:
    values: dict[str, Any] = {
        "build": "20240517T120000-0a1b2c",
        "digest": "ab" * 32,
        "image": "debian13",
        "contract": "annexkit",
        "contracts": ("annexkit",),
        "family": "debian",
        "htcondor": "23.9.6",
        "now": time.time(),
        "job_user": "admin",
        "patience": 15.0,
    }
    for table in ("files", "units", "hygiene"):
        values[table] = (ROOT / "provision" / f"{table}.tsv").read_text(
            encoding="utf-8"
        )
    return checks.Expected(**values | changes)


def outcomes(report: checks.NodeReport) -> dict[str, checks.Check]:
    return {check.name: check for check in report.checks}


def test_a_machine_that_was_not_baked_misses_all_that_a_bake_makes(
    nodes: list[tuple[str, ssh.Connection]],
) -> None:
    instance, connection = nodes[0]
    report = checks.run_checks(connection, instance, expected(patience=5))
    passed = {c.name for c in report.checks if c.ok}
    assert passed == PASS_ON_BASE, [c for c in report.checks if c.name != "files"]
    assert not [c for c in report.checks if "the check broke" in c.detail]
    assert report.boot_seconds
    found = outcomes(report)
    assert found["imds-for-root"].detail == instance
    # Nobody asked for version 2 alone at this launch, and nobody closed it to users.
    assert found["imds-token-required"].detail == "HTTP 200 without a token"
    assert "open: HTTP 200" in found["imds-for-users"].detail


def test_faults_on_a_machine_are_found_by_name(
    nodes: list[tuple[str, ssh.Connection]],
) -> None:
    instance, connection = nodes[0]
    for command in (
        "touch /usr/sbin/policy-rc.d",
        "mkdir -p /root/.aws",
        "systemd-run --unit=annexkit-fault --wait false || true",
        "systemctl stop annexkit-deadline.timer",
    ):
        done = connection.run(f"sudo -n sh -c '{command}'")
        assert done.exit_code == 0, done
    found = outcomes(
        checks.run_checks(
            connection, instance, expected(now=time.time() - 100, patience=1)
        )
    )
    assert "/usr/sbin/policy-rc.d" in found["hygiene"].detail
    assert "/root/.aws" in found["hygiene"].detail
    assert found["failed-units"].detail == "annexkit-fault.service"
    assert "inactive" in found["deadline"].detail
    assert "+10" in found["clock"].detail
    for name in ("hygiene", "failed-units", "deadline", "clock"):
        assert not found[name].ok


def test_a_machine_id_that_two_machines_share_is_found(
    nodes: list[tuple[str, ssh.Connection]],
) -> None:
    one, two = nodes
    reports = [
        checks.run_checks(connection, instance, expected(patience=0))
        for instance, connection in nodes
    ]
    assert checks.compare_uniqueness(*reports) == []
    cloned = one[1].run("cat /etc/machine-id").stdout
    two[1].run("sudo -n tee /etc/machine-id", stdin=cloned)
    reports = [
        checks.run_checks(connection, instance, expected(patience=0))
        for instance, connection in nodes
    ]
    (finding,) = checks.compare_uniqueness(*reports)
    assert "machine-id" in finding.what


def test_the_console_key_of_another_machine_is_refused_at_once(
    region: Region,
) -> None:
    key = ssh.new_key()
    one, two = (launch(region, key) for _ in range(2))
    other = console_keys(region, two[0])
    console_keys(region, one[0])  # it has booted
    with pytest.raises(ssh.SshError, match="another host than expected") as caught:
        log_in(one[1], key, other, two[0])
    assert two[0] in caught.value.where
    assert other[0].fingerprint in caught.value.what
