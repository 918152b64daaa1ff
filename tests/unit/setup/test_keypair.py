"""A key pair in EC2 is known by its public half, or by EC2's fingerprint."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import paramiko
import pytest

from annexkit import ssh
from annexkit.aws import AwsError, Cloud
from annexkit.errors import UsageError
from annexkit.setup import keypair
from annexkit.setup.keypair import Pair
from annexkit.ssh import Key
from tests.unit.helpers import REGION

Patch = pytest.MonkeyPatch


def rsa() -> Key:
    return Key(paramiko.RSAKey.generate(2048))


def pair(fingerprint: str = "", public: str = "") -> Pair:
    return Pair("mine", REGION, "key-1", fingerprint, public)


def test_the_fingerprint_is_openssh_s_as_ec2_writes_it(tmp_path: Path) -> None:
    key = ssh.new_key()
    path = tmp_path / "key.pub"
    path.write_text(key.public_line + "\n")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(path)], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    found = keypair.ec2_fingerprint(key)
    assert f"SHA256:{found}" == f"{shown}="
    assert len(base64.b64decode(found, validate=True)) == 32


def test_a_pair_is_known_by_its_public_half() -> None:
    mine, other = ssh.new_key(), ssh.new_key()
    public = keypair.public_half(mine)
    assert pair("anything", public).of(mine)
    # The fingerprint of ours does not help another public half.
    assert not pair(keypair.ec2_fingerprint(other), public).of(other)


@pytest.mark.parametrize("padding", ["", "="])
def test_without_a_public_half_the_fingerprint_decides(padding: str) -> None:
    mine, other = ssh.new_key(), ssh.new_key()
    said = pair(keypair.ec2_fingerprint(mine).rstrip("=") + padding)
    assert said.of(mine)
    assert not said.of(other)


def test_what_cannot_be_told_is_not_ours() -> None:
    assert not pair("").of(ssh.new_key())
    assert not pair("").of(rsa())
    assert not pair("aa:bb").of(rsa())


def test_an_rsa_key_is_known_by_its_public_half_too(cloud: Cloud) -> None:
    key = rsa()
    assert keypair.give(cloud, REGION, "mine", key)
    found = keypair.look(cloud, REGION, "mine")
    assert found
    assert found.of(key)
    assert not found.of(rsa())


def test_only_the_exact_name_is_looked_for(cloud: Cloud) -> None:
    keypair.give(cloud, REGION, "mine", ssh.new_key())
    assert keypair.look(cloud, REGION, "min") is None
    assert keypair.look(cloud, "us-east-1", "mine") is None
    found = keypair.look(cloud, REGION, "mine")
    assert found
    assert (found.name, found.region, found.id[:4]) == ("mine", REGION, "key-")


def test_another_error_is_no_missing_pair(cloud: Cloud, monkeypatch: Patch) -> None:
    def denied(region: str, method: str, **_: Any) -> None:
        raise AwsError("no", code="UnauthorizedOperation", action=method, region=region)

    monkeypatch.setattr(cloud, "call", denied)
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        keypair.look(cloud, REGION, "mine")


def test_a_pair_says_that_annexkit_made_it(cloud: Cloud) -> None:
    keypair.give(cloud, REGION, "mine", ssh.new_key())
    (said,) = cloud.call(REGION, "describe_key_pairs")["KeyPairs"]
    assert said["Tags"] == [{"Key": "annexkit:set", "Value": "key-pair"}]
    assert said["KeyType"] == "ed25519"


def test_the_same_key_given_twice_is_no_error(cloud: Cloud) -> None:
    """EC2 took it and the answer was lost: botocore's next try meets our own pair."""
    key = ssh.new_key()
    assert keypair.give(cloud, REGION, "mine", key) is True
    assert keypair.give(cloud, REGION, "mine", key) is False


def test_another_key_of_the_name_is_left_as_it_is(cloud: Cloud) -> None:
    theirs = ssh.new_key()
    keypair.give(cloud, REGION, "mine", theirs)
    with pytest.raises(AwsError, match="Duplicate") as caught:
        keypair.give(cloud, REGION, "mine", ssh.new_key())
    assert "--key-name" in caught.value.mend
    found = keypair.look(cloud, REGION, "mine")
    assert found
    assert found.of(theirs)


@pytest.mark.parametrize(
    "name", ["", "a" * 256, " mine", "mine ", "schlüssel", "two\nlines"]
)
def test_what_is_no_name_for_ec2_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        keypair.check_name(name)
    assert (caught.value.where, bool(caught.value.mend)) == ("--key-name", True)


@pytest.mark.parametrize("name", ["a", "a" * 255, "the grid's key", "a/b", ".."])
def test_a_name_may_be_what_ec2_takes(name: str) -> None:
    assert keypair.check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a b", "-a"])
def test_not_every_name_is_one_for_a_file(name: str) -> None:
    assert keypair.place(Path("state"), name) is None


@pytest.mark.parametrize("name", ["annexkit", "HTCondorAnnex-KeyPair", "a.b@c_d+e-f"])
def test_a_pair_has_its_file_in_the_folder_of_keys(name: str) -> None:
    assert keypair.place(Path("state"), name) == Path("state/keys") / name


def test_a_key_of_a_type_that_ec2_does_not_take_is_refused(tmp_path: Path) -> None:
    keypair.check_type(ssh.new_key(), tmp_path)
    keypair.check_type(rsa(), tmp_path)
    with pytest.raises(UsageError, match="ecdsa-sha2-nistp256"):
        keypair.check_type(Key(paramiko.ECDSAKey.generate(bits=256)), tmp_path)
