"""Run the real steps and node scripts, on a file system of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.provision.metadata_stub import Behaviour, Service, serving

PROVISION = Path(__file__).parents[3] / "provision"
NODE = PROVISION / "files/usr/lib/annexkit"

BAKE = {
    "ANNEXKIT_IMAGE": "debian13",
    "ANNEXKIT_BUILD": "20240517T120000-0a1b2c",
    "ANNEXKIT_DIGEST": "ab" * 32,
    "ANNEXKIT_DATE": "2024-05-17T12:00:00Z",
    "ANNEXKIT_CONTRACTS": "annexkit",
    "ANNEXKIT_SSH_USER": "admin",
    "ANNEXKIT_HTCONDOR_SOURCE": "distro",
    "ANNEXKIT_HTCONDOR_VERSION": "23.9",
}

FAKE = """\
#!/bin/sh
printf '%s\\n' "$(basename "$0") $*" >> "{log}"
{body}
"""


@dataclass
class Machine:
    """A folder that stands for a machine's file system, and programs in its PATH."""

    root: Path
    programs: Path
    log: Path
    provision: Path = PROVISION
    env: dict[str, str] = field(default_factory=dict)

    def fake(self, name: str, body: str = "exit 0") -> None:
        """Put a program first in PATH that notes its call and runs *body*."""
        program = self.programs / name
        program.write_text(FAKE.format(log=self.log, body=body))
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The calls of the fake programs so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def write(self, path: str, text: str = "x\n", mode: int = 0o644) -> Path:
        """Write a file of the machine."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def read(self, path: str) -> str:
        """Read a file of the machine."""
        return (self.root / path.lstrip("/")).read_text()

    def environment(self, **more: str) -> dict[str, str]:
        """What the scripts see: nothing of the developer's but PATH."""
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "ANNEXKIT_ROOT": str(self.root),
            "ANNEXKIT_PROVISION": str(self.provision),
            **BAKE,
            **self.env,
            **more,
        }

    def run(self, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program on this machine."""
        return subprocess.run(
            [str(arg) for arg in args],
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def step(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one provisioning step."""
        return self.run("bash", self.provision / f"{name}.sh", **env)

    def shell(self, text: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run shell text with lib.sh (and hygiene.sh) sourced as a step does it."""
        sourced = "\n".join(
            [
                "set -o errexit -o nounset -o pipefail",
                f". {self.provision}/lib.sh",
                f". {self.provision}/hygiene.sh",
                text,
            ]
        )
        return self.run("bash", "-c", sourced, **env)

    def script(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one Python script of the node as its unit does it."""
        return self.run("python3", "-Bs", NODE / name, **env)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A Debian 13 machine with nothing on it."""
    machine = Machine(tmp_path / "root", tmp_path / "bin", tmp_path / "calls")
    machine.programs.mkdir()
    machine.write("/etc/os-release", "ID=debian\nVERSION_CODENAME=trixie\n")
    return machine


@pytest.fixture
def own_provision(machine: Machine, tmp_path: Path) -> Path:
    """A copy of provision/ that a test may change."""
    machine.provision = tmp_path / "provision"
    shutil.copytree(PROVISION, machine.provision)
    return machine.provision


@pytest.fixture
def behaviour() -> Behaviour:
    """How the metadata service behaves; empty and well, unless the test says more."""
    return Behaviour()


@pytest.fixture
def metadata(behaviour: Behaviour, machine: Machine) -> Iterator[Service]:
    """A metadata service on loopback that *machine*'s scripts ask, for 3 s at most."""
    with serving(behaviour) as service:
        machine.env |= {"ANNEXKIT_IMDS": service.url, "ANNEXKIT_IMDS_PATIENCE": "3"}
        yield service
