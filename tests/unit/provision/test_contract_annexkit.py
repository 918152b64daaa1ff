"""Contract "annexkit": the lease first, the configuration, and "ready" last."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import pytest

from tests.unit.provision.conftest import Machine
from tests.unit.provision.metadata_stub import Behaviour, values
from tests.unit.provision.node import load

contract = load("contract_annexkit")
htcondor = load("htcondor_config")
lease = load("lease")
annex_file = load("annex_file")

INSTANCE = values(
    {
        "meta-data/instance-id": "i-0123456789abcdef0",
        "meta-data/instance-type": "t3.small",
        "meta-data/ami-id": "ami-0123456789abcdef0",
        "meta-data/placement/availability-zone": "us-west-2a",
        "meta-data/public-ipv4": "192.0.2.7",
    }
)
CONFIG = "/etc/condor/config.d"
TIMER = "/etc/systemd/system/annexkit-lease.timer"


def annex(**changes: Any) -> str:
    data = {
        "version": 1,
        "annex": "my-annex",
        "owner": "alice",
        "mode": "one-node",
        # Longer than any run of all tests: what is written here is read at its end.
        "lease_expires": int(time.time()) + 86_400,
        "idle_seconds": 900,
        **changes,
    }
    return json.dumps(data)


@pytest.fixture
def node(machine: Machine, behaviour: Behaviour, metadata: object) -> Machine:
    """A node with an annex.json and a systemctl that obeys."""
    behaviour.values |= INSTANCE
    machine.fake("systemctl")
    machine.write("/etc/annexkit/annex.json", annex(), 0o600)
    return machine


def setting_up(node: Machine, **env: str) -> tuple[int, str]:
    done = node.script("contract_annexkit.py", **env)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def is_ready(node: Machine) -> bool:
    return (node.root / "run/annexkit/ready").exists()


def test_a_node_is_set_up(node: Machine) -> None:
    code, said = setting_up(node)
    assert code == 0
    assert "annex my-annex of alice, mode one-node" in said
    assert is_ready(node)
    assert node.calls == ["systemctl restart annexkit-lease.timer"]
    wanted = node.root / "etc/systemd/system/timers.target.wants/annexkit-lease.timer"
    assert wanted.resolve() == node.root / TIMER[1:]


def test_ids_are_quoted_and_advertised_by_startd_and_master(node: Machine) -> None:
    setting_up(node)
    lines = node.read(f"{CONFIG}/49-annexkit-instance.config").splitlines()
    assert 'EC2InstanceID = "i-0123456789abcdef0"' in lines
    assert 'EC2PublicIP = "192.0.2.7"' in lines
    names = "EC2InstanceID EC2InstanceType EC2AMIID EC2AvailabilityZone EC2PublicIP"
    assert f"STARTD_ATTRS = $(STARTD_ATTRS) {names}" in lines
    assert f"MASTER_ATTRS = $(MASTER_ATTRS) {names}" in lines


def test_the_same_boot_again_leaves_the_same_files(node: Machine) -> None:
    setting_up(node)
    before = {path: path.read_text() for path in node.root.rglob("*.config")}
    setting_up(node)
    assert len(before) == 3
    assert before == {path: path.read_text() for path in node.root.rglob("*.config")}


def test_no_public_address_is_normal_and_leaves_no_error_page(
    node: Machine, behaviour: Behaviour
) -> None:
    del behaviour.values["meta-data/public-ipv4"]
    assert setting_up(node)[0] == 0
    config = node.read(f"{CONFIG}/49-annexkit-instance.config")
    assert "EC2PublicIP" not in config
    assert "html" not in config


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            {"status": 401},
            "no answer to 'meta-data/instance-id' within 0.5 s: HTTP 401",
        ),
        ({"status": 404}, "refuses: HTTP 404"),  # where even the token is missing
        ({"never": True}, "no answer to"),
        ({"values": {}}, "names no instance id"),
        (
            {"values": INSTANCE | {"meta-data/ami-id": b'a"b\n'}},
            "says 'a\"b' for EC2AMIID",
        ),
    ],
)
def test_with_a_bad_metadata_service_htcondor_stays_stopped_and_the_lease_is_armed(
    node: Machine, behaviour: Behaviour, bad: dict[str, Any], said: str
) -> None:
    for name, value in bad.items():
        setattr(behaviour, name, value)
    node.write("/run/annexkit/ready")
    code, text = setting_up(node, ANNEXKIT_IMDS_PATIENCE="0.5")
    assert code == 1
    assert said in text
    assert text.rstrip().endswith("HTCondor stays stopped")
    assert not is_ready(node)
    assert "systemctl restart annexkit-lease.timer" in node.calls


def test_a_slow_metadata_service_is_waited_for(
    node: Machine, behaviour: Behaviour
) -> None:
    behaviour.delay = 0.1
    assert setting_up(node)[0] == 0
    assert is_ready(node)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory; user data writes it"),
        ("{", "is not JSON"),
        ("[]", "reads version 1 only"),
        (annex(version=2), "reads version 1 only"),
        (annex(annex="under_score"), "'annex' does not match"),
        (annex(annex="x" * 28), "'annex' does not match"),
        (annex(annex='a"\nSTART = True'), "'annex' does not match"),
        (annex(annex="trailing\n"), "'annex' does not match"),
        (annex(owner="al ice"), "'owner' does not match"),
        (annex(mode=None), "'mode' does not match"),
        (annex(lease_expires="soon"), "'lease_expires' is no whole number"),
        (annex(lease_expires=True), "'lease_expires' is no whole number"),
        (annex(lease_expires=0), "'lease_expires' is no whole number"),
        (annex(idle_seconds=-1), "'idle_seconds' is no whole number"),
    ],
)
def test_an_annex_that_is_not_usable_is_refused_with_the_reason(
    node: Machine, text: str | None, said: str
) -> None:
    if text is None:
        (node.root / "etc/annexkit/annex.json").unlink()
    else:
        node.write("/etc/annexkit/annex.json", text)
    code, answer = setting_up(node)
    assert code == 1
    assert said in answer
    assert not is_ready(node)


def test_a_mode_that_the_image_does_not_have_is_an_error_and_not_faked(
    node: Machine,
) -> None:
    node.write("/etc/annexkit/annex.json", annex(mode="cluster"))
    code, said = setting_up(node)
    assert code == 1
    assert "mode 'cluster' is not supported by this image; it knows one-node" in said
    assert node.read("/run/annexkit/failed").startswith("annex-file annex.json: mode")
    assert not is_ready(node)
    assert not list(node.root.rglob("*.config"))
    assert "systemctl restart annexkit-lease.timer" in node.calls


def test_a_lease_that_is_over_ends_the_node_before_anything_else(
    node: Machine, behaviour: Behaviour
) -> None:
    node.write("/etc/annexkit/annex.json", annex(lease_expires=int(time.time()) - 60))
    code, said = setting_up(node)
    assert code == 1
    assert "the lease ended 6" in said
    assert node.calls == ["systemctl start --no-block annexkit-lease.service"]
    assert behaviour.asked[1:] == [f"GET /latest/{contract.TAG}"]


def test_a_lease_that_systemd_does_not_take_stops_the_setup(node: Machine) -> None:
    node.fake("systemctl", 'echo "bad unit" >&2; exit 1')
    code, said = setting_up(node)
    assert code == 1
    assert "systemctl restart annexkit-lease.timer: bad unit" in said
    assert not is_ready(node)


def test_the_lease_timer_is_absolute_persistent_and_exact(node: Machine) -> None:
    node.write("/etc/annexkit/annex.json", annex(lease_expires=4102444799))
    setting_up(node)
    lines = node.read(TIMER).splitlines()
    assert "OnCalendar=2099-12-31 23:59:59 UTC" in lines
    assert "Persistent=true" in lines
    assert "AccuracySec=1s" in lines
    assert "DefaultDependencies=no" in lines


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_reads_the_lease_as_the_time_that_was_meant(machine: Machine) -> None:
    when = lease.lease_timer(4102444799).split("OnCalendar=")[1].splitlines()[0]
    done = machine.run("systemd-analyze", "calendar", when, TZ="UTC")
    assert done.returncode == 0, done.stderr
    assert "2099-12-31 23:59:59 UTC" in done.stdout.split("Next elapse:")[1]


@pytest.mark.parametrize(("idle", "limited"), [(0, False), (900, True)])
def test_an_idle_limit_of_zero_is_none(idle: int, limited: bool) -> None:
    text = htcondor.ending(idle)
    assert ("STARTD_NOCLAIM_SHUTDOWN = 900" in text) is limited
    assert ("MASTER.DAEMON_SHUTDOWN_FAST" in text) is limited
    assert "DEFAULT_MASTER_SHUTDOWN_SCRIPT = /etc/condor/master" in text


def test_a_one_node_pool_makes_no_key_and_listens_to_itself_only() -> None:
    lines = htcondor.ONE_NODE.splitlines()
    assert "NETWORK_INTERFACE = 127.0.0.1" in lines
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS = FS" in lines
    assert "SEC_TOKEN_POOL_SIGNING_KEY_FILE =" in lines
    assert "COLLECTOR_BOOTSTRAP_SSL_CERTIFICATE = False" in lines
