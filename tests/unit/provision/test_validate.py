"""Validation says everything that is wrong with an image, by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.provision.conftest import PROVISION, Machine

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="an image's files belong to root, so this needs root"
)

Rows = list[list[str]]


def rows(name: str) -> Rows:
    text = (PROVISION / name).read_text()
    return [line.split("\t") for line in text.splitlines() if line[:1] not in "#"]


STATES = "\n".join(f"    *{row[0]}) echo {row[1]} ;;" for row in rows("units.tsv"))


@pytest.fixture
def image(machine: Machine, own_provision: Path) -> Machine:
    """A machine on which the steps of 30 to 60 have left what they leave."""
    machine.fake("systemctl", f'case "$*" in\n{STATES}\nesac')
    machine.fake("nft")
    machine.write("/etc/machine-id", "")
    machine.write("/etc/shadow", "root:*:1::::::\nadmin:!:1::::::\n")
    machine.write("/etc/annexkit/image.json", json.dumps({"version": 1}))
    done = machine.shell("for step in 20 30 40 50; do install_files $step; done")
    assert done.returncode == 0, done.stderr
    return machine


def validate(image: Machine) -> tuple[int, list[str]]:
    done = image.step("95-validate")
    start = "annexkit: not clean: "
    said = [line for line in done.stderr.splitlines() if line.startswith(start)]
    return done.returncode, [line.removeprefix(start) for line in said]


def test_an_image_as_the_steps_leave_it_is_clean(image: Machine) -> None:
    work = image.write("/var/tmp/annexkit/provision/lib.sh").parents[1]
    assert validate(image) == (0, [])
    assert not work.exists()


def test_what_was_uploaded_stays_while_the_image_is_not_clean(image: Machine) -> None:
    work = image.write("/var/tmp/annexkit/provision/lib.sh")
    image.write("/etc/ssh/ssh_host_ed25519_key")
    assert validate(image)[0] == 1
    assert work.exists()


def test_a_missing_a_changed_and_an_open_file_are_three_findings(
    image: Machine,
) -> None:
    (image.root / "usr/lib/annexkit/imds.nft").unlink()
    image.write("/etc/cloud/cloud.cfg.d/60-annexkit.cfg", "ssh_pwauth: true\n")
    (image.root / "usr/lib/annexkit/power-off").chmod(0o777)
    code, found = validate(image)
    assert code == 1
    assert sorted(found) == [
        "file /etc/cloud/cloud.cfg.d/60-annexkit.cfg: changed since step 30 "
        "installed it",
        "file /usr/lib/annexkit/imds.nft: missing (step 50 installs it)",
        "file /usr/lib/annexkit/power-off: 777 0:0, wanted 755 0:0",
    ]


def test_a_file_of_somebody_else_is_a_finding(image: Machine) -> None:
    os.chown(image.root / "usr/lib/annexkit/power-off", 65534, 65534)
    assert validate(image)[1] == [
        "file /usr/lib/annexkit/power-off: 755 65534:65534, wanted 755 0:0"
    ]


def test_a_unit_in_another_state_is_a_finding(image: Machine) -> None:
    states = STATES.replace(
        "condor.service) echo disabled", "condor.service) echo enabled"
    )
    image.fake("systemctl", f'case "$*" in\n{states}\nesac')
    assert validate(image)[1] == [
        "unit condor.service: enabled, wanted disabled (step 20)"
    ]


def test_a_contract_that_the_recipe_does_not_name_is_not_wanted(
    image: Machine,
) -> None:
    (image.root / "usr/lib/annexkit/contract_annexkit.py").unlink()
    (image.root / "usr/lib/systemd/system/annexkit-contract-annexkit.service").unlink()
    assert validate(image)[0] == 1
    image.env["ANNEXKIT_CONTRACTS"] = "another"
    assert validate(image) == (0, [])


@pytest.mark.parametrize("secret", ["", "$y$j9T$abc$def"])
def test_a_password_or_an_empty_one_is_a_finding(image: Machine, secret: str) -> None:
    image.write("/etc/shadow", f"root:*:1::::::\nadmin:{secret}:1::::::\n")
    assert validate(image)[1] == [
        "password: user admin has one, or an empty one (nodes are reached by key)"
    ]


@pytest.mark.parametrize(
    ("line", "clean"),
    [("linux /vmlinuz console=tty0 console=ttyS0,115200", True), ("linux /v", False)],
)
def test_a_kernel_that_does_not_speak_to_the_console_is_a_finding(
    image: Machine, line: str, clean: bool
) -> None:
    image.write("/boot/grub/grub.cfg", line)
    code, found = validate(image)
    assert (code == 0) is clean
    assert clean or found[0].startswith("console: /boot/grub/grub.cfg")


@pytest.mark.parametrize("text", [None, "", "{"])
def test_an_image_that_does_not_describe_itself_is_a_finding(
    image: Machine, text: str | None
) -> None:
    described = image.root / "etc/annexkit/image.json"
    if text is None:
        described.unlink()
    else:
        described.write_text(text)
    assert "image.json: missing or no JSON" in validate(image)[1][0]
