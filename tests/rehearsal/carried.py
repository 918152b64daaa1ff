"""annexkit on a pool's own host: this interpreter, its libraries and this checkout.

The host is another Debian, so that it may have another Python; nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annexkit.process import Completed, run
from annexkit.rehearsal.pool_host import PoolHost

ROOT = Path(__file__).parents[2]
HOME = "/opt/annexkit"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# What tests and linters need, and annexkit on a pool's host does not.
HEAVY = (
    *("moto", "cfnlint", "sympy", "networkx", "mpmath", "mypy", "mypyc", "hypothesis"),
    *("pip", "setuptools", "virtualenv", "graphql", "mypy_boto3_ec2", "__pycache__"),
)


@dataclass(frozen=True)
class Carried:
    """annexkit on a host, with settings of its own."""

    host: PoolHost
    settings: Mapping[str, str]

    def invoke(
        self, *arguments: str, stdin: str | None = None, code: int | None = 0
    ) -> Completed:
        """Run a task as root there; it has to end with *code*."""
        named = {
            f"INVOKE_ANNEXKIT_{key}": value for key, value in self.settings.items()
        }
        done = self.host.run(
            "root",
            *("env", f"PYTHONHOME={HOME}", f"PYTHONPATH={HOME}/site:{HOME}/checkout"),
            *(f"{key}={value}" for key, value in named.items()),
            *(f"{HOME}/bin/{PYTHON}", "-m", "invoke"),
            *("--search-root", f"{HOME}/checkout", *arguments),
            stdin=stdin,
            check=False,
        )
        assert code is None or done.exit_code == code, done.stderr + done.stdout
        return done

    def told(self, *arguments: str, code: int | None = 0) -> dict[str, Any]:
        """Return what a task says as JSON."""
        return dict(json.loads(self.invoke(*arguments, "--json", code=code).stdout))


def carry(host: PoolHost, folder: Path, **settings: str) -> Carried:
    """Put annexkit onto a host.

    :param folder: where the archive is made.
    :param settings: of annexkit, such as ``POOL_METHOD="password"``.
    """
    archive = folder / "annexkit.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(Path(sys.executable).resolve(), f"bin/{PYTHON}")
        for name, inside in (
            (sysconfig.get_path("stdlib"), f"lib/{PYTHON}"),
            (sysconfig.get_path("purelib"), "site"),
            (str(ROOT / "annexkit"), "checkout/annexkit"),
        ):
            tar.add(name, inside, filter=lightened)
        for name in ("tasks.py", "invoke.yaml"):
            tar.add(ROOT / name, f"checkout/{name}")
    run("podman", "cp", archive, f"{host.container}:/root/annexkit.tar", timeout=300)
    archive.unlink()
    unpack = f"mkdir -p {HOME} && tar -xf annexkit.tar -C {HOME} && rm annexkit.tar"
    host.run("root", "sh", "-c", unpack, timeout=300)
    return Carried(host, settings)


def lightened(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is large and not needed there."""
    name = Path(member.name).name
    return None if name in HEAVY or "__mypyc." in name else member
