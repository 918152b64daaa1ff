from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from annexkit.ssh import HostKey, HostKeyError, new_key
from tests.unit.ssh.keys import host_key

KINDS = ("ed25519", "ecdsa", "rsa")


def test_a_new_key_is_ed25519_and_another_each_time() -> None:
    one, two = new_key(), new_key()
    assert one.public_line.startswith("ssh-ed25519 AAAA")
    assert one.public_line != two.public_line


@pytest.mark.parametrize("kind", KINDS)
def test_a_fingerprint_is_as_openssh_prints_it(kind: str, tmp_path: Path) -> None:
    key = host_key(kind)
    path = tmp_path / "key.pub"
    path.write_text(key.line + "\n")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(path)], check=True, capture_output=True, text=True
    )
    assert key.fingerprint in shown.stdout.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_is_parsed_back(kind: str) -> None:
    key = host_key(kind)
    assert HostKey.parse(f"{key.line} root@ip-10-0-0-1") == key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 2, 4, 5, 30])
def test_a_cut_off_key_is_refused(kind: str, cut: int) -> None:
    with pytest.raises(HostKeyError):
        HostKey.parse(host_key(kind).line[:-cut])


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", "ssh-dss AAAAB3", "ssh-ed25519 AAAA", "ssh-ed25519 ÄÖ", "x y"],
)
def test_what_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(HostKeyError):
        HostKey.parse(line)


def test_a_key_of_another_type_than_it_says_is_refused() -> None:
    blob = host_key("ecdsa").blob
    with pytest.raises(HostKeyError):
        HostKey.parse(f"ssh-ed25519 {blob}")
