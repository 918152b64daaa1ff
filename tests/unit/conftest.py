"""What every unit test may not do, and what many of them use.

A unit test starts no program through annexkit's door and talks to nobody but this
machine; a test that has to says so, with a mark or with the fixture named below.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Before moto is imported: its own list of public AMIs takes a second to load.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from annexkit import process
from annexkit.aws import Cloud, connect
from tests.unit.helpers import REGION, FakeClock

HERE = Path(__file__).parent
REAL_RUN = subprocess.run
LOCAL_NAMES = {None, "", "localhost", socket.gethostname()}


@pytest.fixture
def real_processes() -> None:
    """Ask for this to start real programs through ``annexkit.process.run``."""


def may_start_programs(request: pytest.FixtureRequest) -> bool:
    return (
        "real_processes" in request.fixturenames
        or any(request.node.get_closest_marker(m) for m in ("packer", "machines"))
        or request.path.is_relative_to(HERE / "provision")
    )


@pytest.fixture(autouse=True)
def _no_programs(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if may_start_programs(request):
        return

    def refuse(args: Any, **options: Any) -> Any:
        if subprocess.run is not REAL_RUN:  # the test put its own in place
            return subprocess.run(args, **options)  # noqa: PLW1510
        pytest.fail(
            f"a unit test started a real program: {args}; mark it 'packer', or ask "
            "for the fixture 'real_processes'"
        )

    door = SimpleNamespace(**{**vars(subprocess), "run": refuse})
    monkeypatch.setattr(process, "subprocess", door)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(name: str, at: int) -> Callable[..., Any]:
        real = getattr(socket.socket, name)

        def method(self: socket.socket, *args: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check_local(args[at][0])
            return real(self, *args)

        return method

    def check_local(host: Any) -> None:
        if host not in LOCAL_NAMES and not is_loopback(host):
            pytest.fail(f"a unit test reached for the network: {host}")

    real_lookup = socket.getaddrinfo

    def lookup(host: Any, *args: Any, **options: Any) -> Any:
        check_local(host.decode() if isinstance(host, bytes) else host)
        return real_lookup(host, *args, **options)

    for name, at in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
        monkeypatch.setattr(socket.socket, name, guarded(name, at))
    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _no_account_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "INVOKE_ANNEXKIT"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True, scope="session")
def _one_loader() -> Iterator[None]:
    """Parse botocore's model of EC2 (a half second) once, not for every session."""
    from botocore import loaders, session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", functools.cache(loaders.create_loader))
        yield


@pytest.fixture
def clock() -> FakeClock:
    """A clock of which time, monotonic and sleep advance together."""
    return FakeClock()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cloud of moto's, in this process: empty but for the default VPCs."""
    from moto import mock_aws

    with mock_aws():
        yield connect()
