"""Contract "seed-cfn": what ends the node first; what the stack wrote is corrected."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import Any

import pytest

from tests.unit.provision.conftest import NODE, Machine
from tests.unit.provision.metadata_stub import TOKEN, Behaviour, values
from tests.unit.provision.node import load

contract = load("contract_seed_cfn")

ID = "i-0123456789abcdef0"
INSTANCE = values(
    {
        "meta-data/instance-id": ID,
        "meta-data/instance-type": "t3.small",
        "meta-data/public-ipv4": "192.0.2.7",
    }
)
LOCAL = "/etc/condor/config.d/ec2.local"
PASSWORD = "/etc/condor/password"
READY = "run/annexkit/ready"
END = "/var/lib/annexkit/seed-cfn-end"
SETTLED = "/var/lib/annexkit/seed-cfn-settled"
ARMED = "systemctl restart annexkit-lease.timer"
STARTED = "systemctl start --no-block condor.service"


@pytest.fixture
def node(machine: Machine, behaviour: Behaviour, metadata: object) -> Machine:
    behaviour.values |= INSTANCE
    machine.fake("systemctl")
    return machine


def do(node: Machine, what: str) -> tuple[int, str]:
    done = node.run("python3", "-Bs", NODE / "contract_seed_cfn.py", what)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def is_ready(node: Machine) -> bool:
    return (node.root / READY).exists()


def test_at_the_first_boot_htcondor_may_start_and_is_not_started(
    node: Machine,
) -> None:
    code, said = do(node, "prepare")
    assert (code, "waiting for cfn-init" in said) == (0, True)
    assert is_ready(node)
    assert node.calls == ["systemctl start annexkit-seed-cfn-idle.timer", ARMED]
    name, end = node.read(END).split()
    assert name == ID
    assert int(end) == pytest.approx(time.time() + contract.LONGEST, abs=30)
    assert "OnCalendar=" in node.read("/etc/systemd/system/annexkit-lease.timer")


def test_at_a_later_boot_htcondor_is_started_and_the_end_stays(node: Machine) -> None:
    node.write(END, f"{ID} {int(time.time()) + 1000}\n")
    node.write(SETTLED, f"{ID}\n")
    before = node.read(END)
    code, said = do(node, "prepare")
    assert (code, "cfn-init has been here" in said) == (0, True)
    assert STARTED in node.calls
    assert node.read(END) == before


def test_an_image_of_a_node_begins_anew(node: Machine) -> None:
    node.write(END, "i-ffffffffffffffff0 1000\n")
    node.write(SETTLED, "i-ffffffffffffffff0\n")
    assert do(node, "prepare")[0] == 0
    assert STARTED not in node.calls
    assert node.read(END).startswith(f"{ID} ")


def test_a_node_whose_time_is_over_powers_off(node: Machine) -> None:
    node.write(END, f"{ID} {int(time.time()) - 5}\n")
    code, said = do(node, "prepare")
    assert (code, "are over" in said) == (1, True)
    assert "systemctl start --no-block annexkit-lease.service" in node.calls
    assert not is_ready(node)
    assert node.read("/run/annexkit/failed").startswith("lease ")


def test_without_metadata_htcondor_stays_stopped_and_the_node_still_ends(
    node: Machine, behaviour: Behaviour
) -> None:
    behaviour.status = 503
    node.write("/run/annexkit/ready")
    node.env["ANNEXKIT_IMDS_PATIENCE"] = "0.5"
    code, said = do(node, "prepare")
    assert (code, "HTCondor stays stopped" in said) == (1, True)
    assert not is_ready(node)
    assert "systemctl start annexkit-seed-cfn-idle.timer" in node.calls
    assert node.read("/run/annexkit/failed").startswith("metadata ")


def test_the_password_is_closed_and_what_the_stack_appended_is_replaced(
    node: Machine,
) -> None:
    node.write(PASSWORD, "secret", 0o644)
    # A metadata service that wants a token answers with a page.
    node.write(LOCAL, "EC2PublicIP = <html>\nEC2InstanceID = <html>\n<title>401\n")
    node.write("/run/annexkit/failed", "missing cfn-init has not brought it\n")
    assert do(node, "settle")[0] == 0
    assert (node.root / PASSWORD[1:]).stat().st_mode & 0o777 == 0o600
    lines = node.read(LOCAL).splitlines()
    assert f'EC2InstanceID = "{ID}"' in lines
    assert "TCP_FORWARDING_HOST = 192.0.2.7" in lines
    assert "ENCRYPT_EXECUTE_DIRECTORY = False" in lines
    assert "html" not in node.read(LOCAL)
    assert node.read(SETTLED) == f"{ID}\n"
    assert not (node.root / "run/annexkit/failed").exists()
    before = node.read(LOCAL)
    assert do(node, "settle")[0] == 0
    assert node.read(LOCAL) == before


def test_without_a_public_address_the_collector_brokers(
    node: Machine, behaviour: Behaviour
) -> None:
    del behaviour.values["meta-data/public-ipv4"]
    node.write(PASSWORD, "secret")
    assert do(node, "settle")[0] == 0
    lines = node.read(LOCAL).splitlines()
    assert "CCB_ADDRESS = $(COLLECTOR_HOST)" in lines
    assert "TCP_FORWARDING_HOST =" in lines


def test_without_the_password_htcondor_does_not_start(node: Machine) -> None:
    code, said = do(node, "settle")
    assert (code, "cfn-init has not brought" in said) == (1, True)
    assert not (node.root / SETTLED[1:]).exists()


def test_the_files_are_read_in_the_order_that_the_corrections_need() -> None:
    names = ["60-annexkit-execute.config", "annex", contract.CORRECTED.name]
    assert names == sorted(names)


SHUTDOWN = """\
#!/bin/sh
curl -s {imds}/latest/meta-data/instance-id > {root}/who
"""


def power_off(node: Machine, url: str, *asked: str) -> subprocess.CompletedProcess[str]:
    end = "#!/bin/sh\necho over > $ANNEXKIT_ROOT/over\n"
    node.write("/etc/condor/master_shutdown_script.sh", end, 0o755)
    return node.run("bash", NODE / "seed-cfn-shutdown", *asked, ANNEXKIT_IMDS=url)


def test_the_stacks_own_script_gets_a_token_and_the_node_powers_off(
    node: Machine, metadata: Any
) -> None:
    script = SHUTDOWN.format(imds=metadata.url, root=node.root)
    node.write("/etc/condor/shutdown", script, 0o755)
    done = power_off(node, metadata.url)
    assert done.returncode == 0, done.stderr
    assert node.read("/who") == ID
    assert node.read("/over") == "over\n"
    token = node.root / "run/annexkit/curl/.curlrc"
    assert TOKEN in token.read_text()
    assert token.stat().st_mode & 0o777 == 0o600


def test_a_unit_that_powers_off_itself_has_the_stacks_script_run_alone(
    node: Machine, metadata: Any
) -> None:
    script = SHUTDOWN.format(imds=metadata.url, root=node.root)
    node.write("/etc/condor/shutdown", script, 0o755)
    assert power_off(node, metadata.url, "leave").returncode == 0
    assert node.read("/who") == ID
    assert not (node.root / "over").exists()


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 5\n", ""])
def test_the_node_powers_off_whatever_the_stacks_script_does(
    node: Machine, metadata: Any, script: str
) -> None:
    if script:
        node.write("/etc/condor/shutdown", script, 0o755)
    assert power_off(node, metadata.url).returncode == 0
    assert node.read("/over") == "over\n"


def test_a_reboot_stays_a_reboot(node: Machine, metadata: Any) -> None:
    node.fake("systemctl", "echo stopping")
    assert power_off(node, metadata.url).returncode == 0
    assert not (node.root / "over").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
@pytest.mark.skipif(os.geteuid() != 0, reason="installs files as root")
def test_systemd_accepts_its_units(machine: Machine) -> None:
    names = "annexkit seed-cfn"
    installed = machine.shell("install_files 40", ANNEXKIT_CONTRACTS=names)
    assert installed.returncode == 0, installed.stderr
    for program in ("usr/bin/python3", "usr/bin/grep", "bin/sh"):
        machine.write(f"/{program}", mode=0o755)
    for target in ("sysinit", "multi-user", "basic", "shutdown", "network-online"):
        machine.write(f"/usr/lib/systemd/system/{target}.target", "[Unit]\n")
    units = machine.root / "usr/lib/systemd/system"
    ours = sorted(path.name for path in units.glob("annexkit-*seed-cfn*"))
    assert len(ours) == 3
    done = machine.run(
        "systemd-analyze", "verify", "--recursive-errors=no", "--man=no",
        f"--root={machine.root}", *(f"/usr/lib/systemd/system/{name}" for name in ours),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
