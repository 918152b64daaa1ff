from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from annexkit.errors import Finding
from annexkit.rehearsal import preflight
from annexkit.rehearsal.preflight import Host

DEBIAN = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A Debian machine that has everything."""
    names = ("podman", "iptables", "mmdebstrap", "ip", "nsenter", "runc", "netavark")
    for name in names:
        program = tmp_path / name
        program.touch()
        program.chmod(0o755)
    needed = dict(preflight.NEEDED)
    del needed["/usr/lib/podman/netavark"]
    monkeypatch.setattr(preflight, "NEEDED", {**needed, "netavark": "netavark"})
    inotify = tmp_path / "max_user_instances"
    inotify.write_text("128\n")
    monkeypatch.setattr(preflight, "INOTIFY", inotify)
    return Host("Linux", DEBIAN, 0, str(tmp_path))


def found(host: Host, machines: int = 16) -> list[Finding]:
    return list(preflight.check(host, {}, machines))


def test_a_debian_machine_that_has_everything_is_ready(host: Host) -> None:
    assert found(host) == []


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ({"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu"}, "Ubuntu"),
        ({**DEBIAN, "VERSION_ID": "11", "PRETTY_NAME": "Debian 11"}, "Debian 11"),
        ({}, "unknown"),
    ],
)
def test_another_distribution_says_what_to_install_instead(
    host: Host, release: dict[str, str], name: str
) -> None:
    (only,) = found(replace(host, release=release))
    assert name in only.what
    assert "Debian 12" in only.mend


def test_debian_testing_has_no_version_and_is_new_enough(host: Host) -> None:
    assert found(replace(host, release={"ID": "debian"})) == []


def test_another_system_is_all_that_is_said(host: Host) -> None:
    (only,) = found(replace(host, system="Darwin", uid=501, path=""))
    assert "Darwin" in only.what


def test_without_root_it_says_to_use_sudo(host: Host) -> None:
    (only,) = found(replace(host, uid=1000))
    assert "sudo" in only.mend


def test_everything_that_is_missing_is_said_at_once(host: Host) -> None:
    for name in ("podman", "mmdebstrap", "runc"):
        Path(host.path, name).unlink()
    packages = next(f for f in found(replace(host, uid=1000)) if "installed" in f.what)
    assert packages.what == "not installed: podman, mmdebstrap, runc"
    assert packages.mend.endswith(" podman mmdebstrap runc")


def test_crun_is_as_good_as_runc(host: Host) -> None:
    Path(host.path, "runc").rename(Path(host.path, "crun"))
    assert found(host) == []


def test_no_room_on_the_disk_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    (only,) = preflight.room(folder, 2**60)
    assert only.where == str(folder)
    assert "GiB are needed" in only.what
    assert list(preflight.room(folder, 1)) == []


def test_more_machines_than_the_kernel_lets_boot_are_refused(host: Host) -> None:
    (only,) = found(host, machines=64)
    assert "fs.inotify.max_user_instances" in only.mend


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not preflight.port_is_free(port)
    assert preflight.port_is_free(preflight.free_port())
