from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from annexkit.errors import UsageError
from annexkit.files import FileError
from annexkit.ssh import HostKey, HostKeyError, load_key, new_key
from tests.unit.ssh.keys import host_key

KINDS = ("ed25519", "ecdsa", "rsa")


def test_a_new_key_is_ed25519_and_another_each_time() -> None:
    one, two = new_key(), new_key()
    assert one.public_line.startswith("ssh-ed25519 AAAA")
    assert one.public_line != two.public_line


def test_a_new_key_can_be_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "annexes" / "grid" / "id_ed25519"
    made = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o400
    assert load_key(path).public_line == made.public_line


def test_a_new_key_need_not_take_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "id"
    first = new_key(path, never_replace=True)
    assert path.stat().st_mode & 0o777 == 0o400
    with pytest.raises(FileError, match="something of this name"):
        new_key(path, never_replace=True)
    assert load_key(path).public_line == first.public_line


def keygen(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def test_a_key_file_is_loaded(tmp_path: Path) -> None:
    path = keygen(tmp_path / "id")
    public = (tmp_path / "id.pub").read_text().split()[1]
    assert public in load_key(path).public_line
    path.chmod(0o400)
    assert public in load_key(path).public_line


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("nothing")
    bad.chmod(0o600)
    encrypted = keygen(tmp_path / "encrypted", "secret")
    for path, why in (
        (tmp_path / "none", "No such file or directory"),
        (bad, "it is damaged, or no private key"),
        (encrypted, "it has a passphrase"),
    ):
        with pytest.raises(UsageError, match=f"cannot be read: {why}") as caught:
            load_key(path)
        assert caught.value.where == str(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = keygen(tmp_path / "id")
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"its mode is {mode:04o}") as caught:
        load_key(path)
    assert caught.value.mend.startswith(f"chmod 0400 {path}")


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
