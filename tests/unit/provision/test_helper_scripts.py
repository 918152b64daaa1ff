"""The CloudFormation helper scripts: ours, or AWS's own; which ones is recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.provision.conftest import NODE, Machine

SOURCED = ". ${ANNEXKIT_PROVISION}/helper_scripts.sh"
OURS = "/usr/lib/annexkit/cfn_init.py"
TARBALL = b"what AWS has"
# What stands for pip and the virtual environment: makes the programs, says a version.
PYTHON = """\
case "$*" in
*"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
*"pip install"*)
  for one in cfn-init cfn-signal cfn-get-metadata cfn-hup; do
    echo > "$(dirname "$0")/$one"; chmod 755 "$(dirname "$0")/$one"
  done ;;
*importlib*) echo aws-cfn-bootstrap 2.0 ;;
esac
"""


@pytest.fixture
def builder(machine: Machine) -> Machine:
    """A machine with the AWS CLI and our files, whose network has AWS's tarball."""
    machine.write("/usr/bin/aws", mode=0o755)
    machine.write(OURS, (NODE / "cfn_init.py").read_text(), 0o755)
    machine.env |= {
        "ANNEXKIT_CONTRACTS": "annexkit seed-cfn",
        "ANNEXKIT_CFN_SOURCE": "aws",
        "ANNEXKIT_CFN_URL": "https://example.org/aws-cfn-bootstrap.tar.gz",
        "ANNEXKIT_CFN_SHA256": hashlib.sha256(TARBALL).hexdigest(),
        "TMPDIR": str(machine.programs),
    }
    fetched = f'while [ "$1" != --output ]; do shift; done; printf "{TARBALL.decode()}"'
    machine.fake("curl", f'{fetched} > "$2"')
    machine.fake("apt-get")
    machine.fake("python3", PYTHON)
    return machine


def links(machine: Machine) -> dict[str, str]:
    folder = machine.root / "opt/aws/bin"
    return {path.name: str(path.readlink()) for path in folder.glob("*")}


def test_ours_are_linked_to_where_stacks_call_them(builder: Machine) -> None:
    done = builder.shell(
        f"{SOURCED}; install_helper_scripts", ANNEXKIT_CFN_SOURCE="annexkit"
    )
    assert done.returncode == 0, done.stderr
    assert links(builder) == {"cfn-init": OURS, "cfn-get-metadata": OURS}
    sha = hashlib.sha256((NODE / "cfn_init.py").read_bytes()).hexdigest()
    assert f"annexkit-cfn-init {sha[:12]}\n" in done.stdout
    assert not any("pip" in call or "curl" in call for call in builder.calls)


def test_awss_own_come_pinned_and_in_an_environment_of_their_own(
    builder: Machine,
) -> None:
    done = builder.shell(f"{SOURCED}; install_helper_scripts")
    assert done.returncode == 0, done.stderr
    bin_ = "/opt/aws/cfn-bootstrap/bin"
    names = ("cfn-init", "cfn-signal", "cfn-get-metadata", "cfn-hup")
    assert links(builder) == {name: f"{bin_}/{name}" for name in names}
    assert "helper scripts: aws-cfn-bootstrap 2.0" in done.stdout
    (pip,) = [call for call in builder.calls if "pip install" in call]
    # Nothing is asked of a registry, what it needs included.
    for option in ("--no-index", "--no-deps", "--no-build-isolation"):
        assert option in pip
    assert [call for call in builder.calls if "python3-pystache" in call]
    assert not list(builder.programs.glob("tmp.*")), "the tarball stays behind"


def test_another_tarball_than_the_pinned_one_is_refused(builder: Machine) -> None:
    done = builder.shell(
        f"{SOURCED}; install_helper_scripts", ANNEXKIT_CFN_SHA256="ab" * 32
    )
    assert done.returncode != 0
    assert f"wanted {'ab' * 32}" in done.stderr
    assert links(builder) == {}
    assert not any("pip" in call for call in builder.calls)
    assert not list(builder.programs.glob("tmp.*"))


def test_on_enterprise_linux_dnf_brings_what_stacks_call(builder: Machine) -> None:
    builder.write("/etc/os-release", 'ID="almalinux"\nID_LIKE="rhel centos fedora"\n')
    aws = builder.root / "usr/bin/aws"
    aws.unlink()
    builder.fake("dnf", f"install -m 755 /dev/null {aws}")
    done = builder.shell(
        f"{SOURCED}; install_helper_scripts", ANNEXKIT_CFN_SOURCE="annexkit"
    )
    assert done.returncode == 0, done.stderr
    (call,) = builder.calls
    assert call.endswith(" install /usr/bin/aws /usr/sbin/service")
    assert set(links(builder)) == {"cfn-init", "cfn-get-metadata"}


def test_what_dnf_does_not_find_ends_the_bake(builder: Machine) -> None:
    builder.write("/etc/os-release", "ID=almalinux\nID_LIKE=rhel\n")
    builder.fake("dnf", "exit 1")
    builder.fake("systemctl", "echo disabled")
    done = builder.step("40-contracts", ANNEXKIT_CFN_SOURCE="annexkit")
    assert done.returncode != 0
    assert links(builder) == {}


def test_an_image_without_the_aws_cli_is_refused(builder: Machine) -> None:
    (builder.root / "usr/bin/aws").unlink()
    done = builder.shell(f"{SOURCED}; install_helper_scripts")
    assert (done.returncode, "/usr/bin/aws" in done.stderr) == (1, True)


def test_only_an_image_with_the_contract_gets_them(builder: Machine) -> None:
    builder.fake("systemctl", "echo disabled")
    done = builder.step("40-contracts", ANNEXKIT_CONTRACTS="annexkit")
    assert done.returncode == 0, done.stderr
    assert links(builder) == {}


def test_which_ones_is_in_the_package_list_and_in_the_image(builder: Machine) -> None:
    folder = builder.root / "opt/aws/bin"
    folder.mkdir(parents=True)
    Path(folder / "cfn-init").symlink_to(OURS)
    (builder.programs / "python3").unlink()
    builder.fake("dpkg-query", r"printf 'installed\tcondor\t23.9.6-1\tamd64\n'")
    builder.fake("condor_version", "echo '$CondorVersion: 23.9.6 2024-05-17 x $'")
    done = builder.step("80-record")
    assert done.returncode == 0, done.stderr
    said = json.loads(builder.read("/etc/annexkit/image.json"))["helper_scripts"]
    name, version = said.split()
    assert name == "annexkit-cfn-init"
    rows = builder.read("/var/tmp/annexkit/packages.tsv").splitlines()
    assert rows == [f"{name}\t{version}\tall", "condor\t23.9.6-1\tamd64"]


def test_the_image_is_checked_for_the_programs_that_stacks_call(
    builder: Machine,
) -> None:
    done = builder.step("95-validate")
    missing = [line for line in done.stderr.splitlines() if "no program" in line]
    assert [line.split("no program ")[1].split(" ")[0] for line in missing] == [
        *("/opt/aws/bin/cfn-init", "/usr/bin/curl", "/usr/bin/awk"),
        *("/usr/sbin/service", "/sbin/runlevel"),
    ]
