from __future__ import annotations

import re
from pathlib import Path

import pytest

from annexkit.rehearsal import firmware
from annexkit.rehearsal.wire import ApiError

INSTANCE = "i-0123456789abcdef0"


def test_a_machines_uuid_begins_as_ec2s_do_and_is_its_own() -> None:
    uuid = firmware.system_uuid(INSTANCE)
    assert re.fullmatch(r"ec2[0-9a-f]{5}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    assert uuid != firmware.system_uuid("i-other")


def test_the_two_programs_are_mounted_read_only_beside_the_real_ones(
    tmp_path: Path,
) -> None:
    mounts = firmware.install(tmp_path, INSTANCE, "t3.micro", tmp_path / "none")
    assert [(inside, mode) for _, inside, mode in mounts] == [
        ("/usr/local/sbin/dmidecode", "ro"),
        ("/usr/local/bin/systemd-detect-virt", "ro"),
    ]
    assert all(here.stat().st_mode & 0o111 for here, _, _ in mounts)
    assert firmware.system_uuid(INSTANCE) in mounts[0][0].read_text()


def test_this_hosts_own_firmware_is_covered(tmp_path: Path) -> None:
    dmi = tmp_path / "sys" / "dmi"
    dmi.mkdir(parents=True)
    here, inside, mode = firmware.install(tmp_path / "m", INSTANCE, "t3.micro", dmi)[-1]
    assert (inside, mode) == (str(dmi), "ro")
    uuid = firmware.system_uuid(INSTANCE)
    assert (here / "product_uuid").read_text().strip() == uuid
    assert (here / "sys_vendor").read_text().strip() == "Amazon EC2"


def test_a_machine_knows_its_own_name_and_not_this_hosts(tmp_path: Path) -> None:
    name = "ip-10-128-0-10.us-west-2.compute.internal"
    here, inside, _ = firmware.hosts_file(tmp_path, "10.128.0.10", name)
    assert inside == "/etc/hosts"
    assert f"10.128.0.10 {name} ip-10-128-0-10\n" in here.read_text()


def test_a_machine_knows_what_a_dns_would_know(tmp_path: Path) -> None:
    pool = ("10.128.0.4", "cm.pool.test")
    here, _, _ = firmware.hosts_file(tmp_path, "10.128.0.10", "ip.x", [pool])
    assert here.read_text().endswith("10.128.0.10 ip.x ip\n10.128.0.4 cm.pool.test\n")


def test_services_are_told_where_the_api_is_outside_of_any_image(
    tmp_path: Path,
) -> None:
    here, inside, _ = firmware.environment_file(tmp_path)
    assert inside.startswith("/run/")
    assert 'DefaultEnvironment="AWS_ENDPOINT_URL=http://' in here.read_text()


def test_a_shifted_clock_needs_this_hosts_library(tmp_path: Path) -> None:
    assert len(firmware.clock_files(tmp_path, 0)) == 1
    library = tmp_path / "x86" / "faketime" / "libfaketime.so.1"
    with pytest.raises(ApiError, match="libfaketime"):
        firmware.clock_files(tmp_path, 60, tmp_path)
    library.parent.mkdir(parents=True)
    library.touch()
    mounts = firmware.clock_files(tmp_path / "m", -60, tmp_path)
    assert (library, firmware.FAKETIME, "ro") in mounts
    session = next(here for here, inside, _ in mounts if inside == "/etc/environment")
    assert "FAKETIME=-60s\n" in session.read_text()
