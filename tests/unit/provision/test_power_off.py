"""Powering off: what is asked of systemd, in which order, and when not."""

from __future__ import annotations

import pytest

from tests.unit.provision.conftest import NODE, PROVISION, Machine

SHUTDOWN_SCRIPT = PROVISION / "files/etc/condor/master_shutdown_script.sh"
NOW = {"ANNEXKIT_POWER_OFF_PATIENCE": "0"}


def test_a_shutdown_that_hangs_is_followed_by_ruder_ones(machine: Machine) -> None:
    machine.fake("systemctl")
    done = machine.run(NODE / "power-off", "the lease", "is over", **NOW)
    assert "powering off: the lease is over" in done.stdout
    assert machine.calls == [
        "systemctl --no-wall poweroff",
        "systemctl --no-wall --force poweroff",
        "systemctl --no-wall --force --force poweroff",
    ]


def test_a_systemd_that_is_too_busy_is_asked_again(machine: Machine) -> None:
    machine.fake("sleep")
    machine.fake("systemctl", 'case "$*" in *--force*) exit 0 ;; *) exit 1 ;; esac')
    machine.run(NODE / "power-off", **NOW)
    asked = [call for call in machine.calls if call.startswith("systemctl")]
    assert asked.count("systemctl --no-wall poweroff") == 3
    assert asked[-1] == "systemctl --no-wall --force --force poweroff"


def test_it_fails_aloud_when_nothing_helped(machine: Machine) -> None:
    machine.fake("sleep")
    machine.fake("systemctl", "exit 1")
    assert machine.run(NODE / "power-off", **NOW).returncode != 0


def test_when_the_master_ends_the_node_powers_off_in_a_unit_of_its_own(
    machine: Machine,
) -> None:
    machine.fake("systemctl", 'case "$1" in is-system-running) echo running ;; esac')
    assert machine.run(SHUTDOWN_SCRIPT).returncode == 0
    assert machine.calls[-1] == (
        "systemctl start --no-block annexkit-power-off.service"
    )


@pytest.mark.parametrize("code", [0, 1])
def test_a_reboot_stays_a_reboot(machine: Machine, code: int) -> None:
    machine.fake("systemctl", f"echo stopping; exit {code}")
    assert machine.run(SHUTDOWN_SCRIPT).returncode == 0
    assert machine.calls == ["systemctl is-system-running"]


def test_a_degraded_node_powers_off_too(machine: Machine) -> None:
    machine.fake(
        "systemctl", '[ "$1" != is-system-running ] || { echo degraded; exit 1; }'
    )
    machine.run(SHUTDOWN_SCRIPT)
    assert machine.calls[-1].startswith("systemctl start")


def test_host_keys_are_printed_as_cloud_init_prints_them(machine: Machine) -> None:
    machine.write("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@x\n")
    machine.write("/etc/ssh/ssh_host_ed25519_key", "secret\n", 0o600)
    console = machine.write("/dev/console", "")
    done = machine.run(NODE / "print-host-keys")
    assert done.stdout == (
        "-----BEGIN SSH HOST KEY KEYS-----\n"
        "ssh-ed25519 AAAA root@x\n"
        "-----END SSH HOST KEY KEYS-----\n"
    )
    assert console.read_text() == done.stdout


def test_no_console_is_no_failure(machine: Machine) -> None:
    assert machine.run(NODE / "print-host-keys").returncode == 0
