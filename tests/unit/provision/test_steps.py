"""What the steps share, the tables they read, and the smaller steps themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.unit.provision.conftest import BAKE, PROVISION, Machine
from tests.unit.provision.test_validate import rows

FILES = PROVISION / "files"
STEPS = sorted(path.stem for path in PROVISION.glob("[0-9]*.sh"))
UNIT_SUFFIXES = (".service", ".timer")


def test_every_file_of_the_tree_is_in_the_table_and_the_other_way_round() -> None:
    lying = {
        f"/{path.relative_to(FILES)}" for path in FILES.rglob("*") if path.is_file()
    }
    lying = {path for path in lying if "__pycache__" not in path}
    assert {row[0] for row in rows("files.tsv")} == lying


def test_a_file_is_executable_here_exactly_when_it_is_on_the_node() -> None:
    for path, mode, *_ in rows("files.tsv"):
        assert os.access(FILES / path[1:], os.X_OK) == (mode == "0755"), path


def test_the_tables_name_steps_that_exist() -> None:
    numbers = {step[:2] for step in STEPS}
    assert {row[2] for row in rows("files.tsv") + rows("units.tsv")} <= numbers


def test_every_unit_of_ours_has_a_wanted_state() -> None:
    ours = {Path(row[0]).name for row in rows("files.tsv")}
    ours = {name for name in ours if name.endswith(UNIT_SUFFIXES)}
    assert ours <= {row[0] for row in rows("units.tsv")}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
@pytest.mark.skipif(os.geteuid() != 0, reason="installs files as root")
def test_systemd_accepts_every_unit(machine: Machine) -> None:
    steps = "for step in 20 25 30 40 50; do install_files $step; done"
    installed = machine.shell(steps, ANNEXKIT_PACKAGES="fetch-crl")
    assert installed.returncode == 0, installed.stderr
    units = list((machine.root / "usr/lib/systemd/system").glob("annexkit-*"))
    programs = ("python3", "grep", "systemctl", "../sbin/nft")
    for program in (f"usr/bin/{name}" for name in programs):
        machine.write(f"/{program}", mode=0o755)
    for target in ("sysinit", "multi-user", "basic", "shutdown", "network-online"):
        machine.write(f"/usr/lib/systemd/system/{target}.target", "[Unit]\n")
    done = machine.run(
        "systemd-analyze", "verify", "--recursive-errors=no", "--man=no",
        f"--root={machine.root}", *(f"/usr/lib/systemd/system/{u.name}" for u in units),
    )  # fmt: skip
    assert len(units) == 9
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("only", "holds"),
    [
        ("-", True),
        ("family=debian", True),
        ("family=rhel", False),
        ("contract=annexkit", True),
        ("contract=annex", False),
        ("contract=seed-cfn", True),
        ("package=fetch-crl", True),
        ("package=fetch", False),
    ],
)
def test_a_row_concerns_the_image_by_family_and_contract(
    machine: Machine, only: str, holds: bool
) -> None:
    told = {"CONTRACTS": "annexkit seed-cfn", "PACKAGES": "voms fetch-crl"}
    told = {f"ANNEXKIT_{name}": text for name, text in told.items()}
    done = machine.shell(f"applies '{only}'", **told)
    assert (done.returncode == 0) is holds


def test_an_unknown_distribution_is_named(machine: Machine) -> None:
    machine.write("/etc/os-release", "ID=plan9\n")
    done = machine.shell("true")
    assert done.returncode == 1
    assert "no package functions for distribution 'plan9'" in done.stderr


def test_a_derivative_uses_its_familys_functions(machine: Machine) -> None:
    machine.write("/etc/os-release", "ID=raspbian\nID_LIKE=debian\n")
    assert machine.shell('echo "${FAMILY}"').stdout == "debian\n"


@pytest.mark.parametrize(
    ("identity", "like"),
    [("almalinux", '"rhel centos fedora"'), ("amzn", '"fedora"'), ("rhel", "fedora")],
)
def test_what_is_like_red_hats_uses_dnf(
    machine: Machine, identity: str, like: str
) -> None:
    machine.write("/etc/os-release", f"ID={identity}\nID_LIKE={like}\n")
    assert machine.shell('echo "${FAMILY}"').stdout == "el\n"


def test_both_families_have_every_function_that_a_step_calls(machine: Machine) -> None:
    named = {}
    for family, identity in (("debian", "debian"), ("el", "rhel")):
        machine.write("/etc/os-release", f"ID={identity}\nVERSION_CODENAME=x\n")
        names = machine.shell("declare -F").stdout.split()
        named[family] = set(names) - {"declare", "-f"}
    either = named["debian"] ^ named["el"]
    steps = "\n".join(path.read_text() for path in PROVISION.glob("*.sh"))
    assert {name for name in either if re.search(rf"\b{name}\b", steps)} == set()


def test_ubuntu_is_of_debians_family_and_has_no_package_awscli(
    machine: Machine,
) -> None:
    machine.write("/etc/os-release", "ID=ubuntu\nID_LIKE=debian\n")
    machine.fake("apt-cache")
    assert "awscli" not in machine.shell("base_packages").stdout.split()
    machine.fake("apt-cache", "echo 'awscli | 2.23 | debian'")
    assert "awscli" in machine.shell("base_packages").stdout.split()


@pytest.mark.parametrize(
    ("state", "turned"),
    [("enabled", True), ("disabled", False), ("masked", False), ("", False)],
)
def test_what_must_be_off_may_be_missing(
    machine: Machine, state: str, turned: bool
) -> None:
    machine.write("/etc/os-release", "ID=rhel\n")
    machine.fake("systemctl", f'case "$*" in *is-enabled*) echo {state} ;; esac')
    machine.shell("set_units 10")
    disabled = [call for call in machine.calls if " disable " in call]
    assert bool(disabled) is turned
    assert not turned or "dnf-makecache.timer dnf-automatic.timer" in disabled[0]


def test_a_command_is_tried_again_and_its_last_failure_counts(
    machine: Machine,
) -> None:
    machine.fake("sleep")
    machine.fake("apt-get", "exit 100")
    done = machine.shell("retry 3 apt-get update")
    assert done.returncode == 100
    assert machine.calls.count("apt-get update") == 3


@pytest.mark.parametrize(
    ("wanted", "installed", "accepted"),
    [
        ("23.9", "23.9.6", True),
        ("23.9.6", "23.9.6", True),
        ("", "23.9.6", True),
        ("23.9", "23.90.1", False),
        ("23.9", "25.14.1", False),
        ("25.14", "23.9.6", False),
    ],
)
def test_the_installed_htcondor_must_be_of_the_wanted_series(
    machine: Machine, wanted: str, installed: str, accepted: bool
) -> None:
    for name in ("apt-get", "getent", "install"):
        machine.fake(name)
    machine.fake("systemctl", '[ "$1" != is-active ]')
    machine.fake("condor_version", f"echo '$CondorVersion: {installed} 2024-05-17 x $'")
    done = machine.step("20-htcondor", ANNEXKIT_HTCONDOR_VERSION=wanted)
    assert (done.returncode == 0) is accepted, done.stderr
    refusal = f"HTCondor {installed} was installed, the recipe wants {wanted}"
    assert accepted or refusal in done.stderr


@pytest.mark.parametrize("kind", ["passwd", "group"])
def test_an_htcondor_without_its_user_or_group_is_refused(
    machine: Machine, kind: str
) -> None:
    for name in ("apt-get", "systemctl"):
        machine.fake(name)
    machine.fake("condor_version", "echo '$CondorVersion: 23.9.6 2024-05-17 x $'")
    machine.fake("getent", f'[ "$1" != {kind} ]')
    done = machine.step("20-htcondor")
    assert done.returncode == 1
    assert "the package made no " in done.stderr


def test_an_htcondor_that_runs_in_the_bake_is_refused(machine: Machine) -> None:
    for name in ("apt-get", "getent", "install", "systemctl"):
        machine.fake(name)
    machine.fake("condor_version", "echo '$CondorVersion: 23.9.6 2024-05-17 x $'")
    done = machine.step("20-htcondor")
    assert done.returncode == 1
    assert "HTCondor was started in the bake" in done.stderr


def test_an_unknown_source_of_htcondor_is_refused(machine: Machine) -> None:
    done = machine.step("20-htcondor", ANNEXKIT_HTCONDOR_SOURCE="elsewhere")
    assert done.returncode == 1
    assert "'elsewhere' is none that family 'debian' has" in done.stderr


def test_a_contract_without_files_is_refused(machine: Machine) -> None:
    done = machine.step("40-contracts", ANNEXKIT_CONTRACTS="annexkit another")
    assert done.returncode == 1
    assert "contract 'another' has no files" in done.stderr


def test_services_are_held_back_until_hygiene(machine: Machine) -> None:
    assert machine.shell("hold_services_back").returncode == 0
    policy = machine.root / "usr/sbin/policy-rc.d"
    assert machine.run(policy).returncode == 101
    machine.step("90-hygiene")
    assert not policy.exists()


def test_units_that_are_as_wanted_are_left_alone(machine: Machine) -> None:
    machine.fake("systemctl", 'case "$*" in *is-enabled*condor*) echo enabled ;; esac')
    machine.shell("set_units 20; set_units 50")
    changes = [call for call in machine.calls if "is-enabled" not in call]
    root = f"systemctl --root={machine.root}"
    assert changes == [
        f"{root} disable --quiet condor.service",
        f"{root} enable --quiet annexkit-imds.service",
    ]


def test_the_image_is_advertised_in_quotes_by_startd_and_master(
    machine: Machine,
) -> None:
    assert machine.step("60-advertise").returncode == 0
    lines = machine.read("/etc/condor/config.d/40-annexkit-image.config").splitlines()
    names = "AnnexImageBuild AnnexImageDigest AnnexImageDate"
    assert lines[1:] == [
        f'AnnexImageBuild = "{BAKE["ANNEXKIT_BUILD"]}"',
        f'AnnexImageDigest = "{BAKE["ANNEXKIT_DIGEST"]}"',
        f'AnnexImageDate = "{BAKE["ANNEXKIT_DATE"]}"',
        f"STARTD_ATTRS = $(STARTD_ATTRS) {names}",
        f"MASTER_ATTRS = $(MASTER_ATTRS) {names}",
    ]


@pytest.mark.parametrize("value", ['a"b', "a\nSTART = True", "a\\"])
def test_a_value_that_would_break_out_of_its_quotes_is_refused(
    machine: Machine, value: str
) -> None:
    done = machine.step("60-advertise", ANNEXKIT_DIGEST=value)
    assert done.returncode == 1
    assert "ANNEXKIT_DIGEST holds a quote" in done.stderr
    assert not list(machine.root.rglob("*.config"))


def test_packages_and_image_are_recorded(machine: Machine) -> None:
    machine.fake(
        "dpkg-query",
        r"printf 'installed\tzlib1g\t1:1.3\tamd64\nconfig-files\told\t1\tall\n"
        r"installed\tcondor\t23.9.6-1\tamd64\n'",
    )
    machine.fake("condor_version", "echo '$CondorVersion: 23.9.6 2024-05-17 x $'")
    done = machine.step("80-record")
    assert done.returncode == 0, done.stderr
    assert machine.read("/var/tmp/annexkit/packages.tsv") == (
        "condor\t23.9.6-1\tamd64\nzlib1g\t1:1.3\tamd64\n"
    )
    assert json.loads(machine.read("/etc/annexkit/image.json")) == {
        "version": 1,
        "image": "debian13",
        "build": BAKE["ANNEXKIT_BUILD"],
        "digest": BAKE["ANNEXKIT_DIGEST"],
        "date": BAKE["ANNEXKIT_DATE"],
        "contracts": ["annexkit"],
        "htcondor": "23.9.6",
        "htcondor_source": "distro",
    }


@pytest.mark.parametrize("step", STEPS)
def test_a_step_needs_to_be_told_where_its_tree_lies(step: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path, tmp_path / "calls")
    done = machine.run(
        "env", "-u", "ANNEXKIT_PROVISION", "bash", PROVISION / f"{step}.sh"
    )
    assert done.returncode != 0
    assert "set by the Packer template" in done.stderr
