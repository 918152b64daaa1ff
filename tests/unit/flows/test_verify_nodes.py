"""Nodes verified over real SSH on this machine; EC2 is a fake that counts its calls."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from annexkit import ssh
from annexkit.aws import AwsError
from annexkit.flows import verify_nodes as flow
from annexkit.flows.site import Site
from annexkit.flows.verify_nodes import Access, NodeResult, verify_nodes
from annexkit.settings import Settings
from annexkit.verify.hostkeys import BEGIN, END, KnownHosts
from tests.unit.flows.fake_ec2 import FakeEc2
from tests.unit.helpers import REGION, FakeClock
from tests.unit.ssh.keys import CLIENT, host_key, other_key
from tests.unit.ssh.server import Server, hang, running
from tests.unit.verify.test_checks import expected

OTHER = ssh.HostKey.of(other_key().pkey, "console output")


def console(key: ssh.HostKey) -> str:
    return f"booting\n{BEGIN}\n{key.line} root@node\n{END}\n"


def report(channel: paramiko.Channel, command: str) -> None:
    """Answer as a node does to its checks."""
    while channel.recv(65536):
        pass
    check = {"name": "clock", "ok": True, "detail": "+0.0 s", "seconds": 0.1}
    said = {"checks": [check], "identity": {"machine-id": ["m"]}, "boot_seconds": 2.0}
    channel.sendall(json.dumps(said).encode())
    channel.send_exit_status(0)


@pytest.fixture
def ec2() -> FakeEc2:
    return FakeEc2()


@pytest.fixture
def site(tmp_path: Path, ec2: FakeEc2) -> Site:
    settings = Settings.model_validate({"poll": 0.05, "launch": {"parallel": 4}})
    site = Site(settings, tmp_path)
    site.cloud = ec2  # type: ignore[assignment]
    return site


@pytest.fixture
def server() -> Iterator[Server]:
    with running(command=report) as found:
        yield found


def verify(
    site: Site, ec2: FakeEc2, port: int, timeout: float = 20, **access: Any
) -> list[NodeResult]:
    told: list[NodeResult] = []
    values: dict[str, Any] = {
        "user": "admin",
        "key": CLIENT,
        "interface": "public_ip",
        "known_hosts": site.root / "known_hosts",
        "port": port,
    }
    found = verify_nodes(
        site,
        REGION,
        ec2.nodes(),
        Access(**values | access),
        lambda node: expected(image=node.id),
        timeout=timeout,
        on_done=told.append,
    )
    assert sorted(told, key=lambda r: r.id) == sorted(found, key=lambda r: r.id)
    assert [r.id for r in found] == list(ec2.states)
    return found


def test_nodes_that_boot_are_verified_as_each_is_ready(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    for n in range(8):
        ec2.add(n, "pending", "running", console=["", console(host_key())])
    found = verify(site, ec2, server.port)
    assert [r.ssh for r in found] == ["ok"] * 8
    assert all(r.good and r.error is None for r in found)
    for result in found:
        times = [result.seconds[k] for k in ("console", "login", "checks")]
        assert times == sorted(times)
        assert result.report is not None
        assert result.report.name == result.id
    assert server.logins == 8
    known = KnownHosts(site.root / "known_hosts").read()
    assert [k.line for k in known[found[0].id]] == [host_key().line]


def test_one_question_to_ec2_is_for_all_nodes(
    site: Site, ec2: FakeEc2, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "CONSOLES_A_LOOK", 500)
    for n in range(250):
        ec2.add(n, *["pending"] * 3, "terminated", console=[""])
    verify(site, ec2, server.port)
    assert ec2.calls == {"describe_instances": 2 * 4}, "200 nodes a question, 4 looks"


def test_pins_of_before_are_used_and_no_console_is_asked(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    ec2.add(1, "running", console=[console(OTHER)])
    KnownHosts(site.root / "known_hosts").pin({ec2.nodes()[0].id: [host_key()]})
    (found,) = verify(site, ec2, server.port)
    assert found.good
    assert not ec2.asked


def test_another_host_key_is_refused_and_never_logged_in_to(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    ec2.add(1, "running", console=[console(OTHER)])
    ec2.add(2, "running", console=[console(host_key())])
    wrong, right = verify(site, ec2, server.port)
    assert wrong.ssh == "failed"
    assert isinstance(wrong.error, ssh.SshError)
    assert wrong.error.kind is ssh.Kind.WRONG_HOST
    assert host_key().fingerprint in wrong.error.what
    assert right.good
    assert server.logins == 1


def test_a_node_that_ends_fails_at_once_with_ec2s_reason(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    reason = {"Code": "x", "Message": "Client.VolumeLimitExceeded"}
    ec2.add(1, "pending", "terminated", console=[""], StateReason=reason)
    begin = time.monotonic()
    (found,) = verify(site, ec2, server.port)
    assert time.monotonic() - begin < 5
    assert found.ssh == "failed"
    assert "terminated: Client.VolumeLimitExceeded" in str(found.error)
    assert f"invoke why {found.id} --region {REGION}" in str(found.error)


def test_a_node_that_ends_while_the_login_fails_is_given_up(
    site: Site, ec2: FakeEc2
) -> None:
    ec2.add(1, *["running"] * 5, "shutting-down", console=[console(host_key())])
    with running(refusals=1000) as server:
        begin = time.monotonic()
        (found,) = verify(site, ec2, server.port)
    assert time.monotonic() - begin < 10
    assert "shutting-down" in str(found.error)


@pytest.mark.parametrize(
    ("states", "keys", "said"),
    [
        (["pending"], "", "still pending after 0.6 s"),
        (["running"], "", "its console shows no host keys after 0.6 s"),
        (["running"], console(host_key()), "its checks did not end after 0.6 s"),
    ],
)
def test_what_is_not_done_in_time_says_how_far_it_came(
    site: Site, ec2: FakeEc2, states: list[str], keys: str, said: str
) -> None:
    ec2.add(1, *states, console=[keys])
    with running(command=hang) as server:
        begin = time.monotonic()
        (found,) = verify(site, ec2, server.port, timeout=0.6)
    assert time.monotonic() - begin < 5
    assert found.ssh == "failed"
    assert said in str(found.error)
    assert "invoke why" in str(found.error)


def test_nothing_that_listens_is_said_too_and_no_console_asked_so_early(
    site: Site, ec2: FakeEc2
) -> None:
    ec2.add(1, "running", console=[""])
    (found,) = verify(site, ec2, 1, timeout=0.4)
    assert "nothing listens for SSH" in str(found.error)
    assert not ec2.asked


def test_a_console_is_asked_late_though_nothing_listens(
    site: Site, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PLAUSIBLE", 0.1)
    ec2.add(1, "running", console=[console(host_key())])
    (found,) = verify(site, ec2, 1, timeout=3)
    assert ec2.asked.total() == 1
    assert found.ssh == "failed"
    assert "nothing listens yet" in str(found.error)


def test_a_silent_console_is_asked_less_and_less(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    ec2.add(1, "running", console=[""])
    verify(site, ec2, server.port, timeout=3)
    # At once, then after 0.5, 0.75, 1.1 s
    assert 3 <= ec2.asked.total() <= 4
    assert server.connections <= 1, "who listens is not looked at again"


def test_without_an_address_ssh_is_not_checked(
    site: Site, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "NO_ADDRESS", 0.2)
    ec2.add(1, "running", console=[""])
    (found,) = verify(site, ec2, 22, interface="private_ip")
    assert found.ssh == "not checked"
    assert "no private_ip" in str(found.error)
    assert not found.good


def test_a_private_address_that_is_out_of_reach_is_not_checked(
    site: Site, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PLAUSIBLE", 0.0)
    monkeypatch.setattr(flow, "REACH", 0.5)

    def silent(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("annexkit.ssh.login.socket.create_connection", silent)
    address = {"PrivateIpAddress": "127.0.0.1"}
    ec2.add(1, "running", console=[console(host_key())], **address)
    (found,) = verify(site, ec2, 1, interface="private_ip")
    assert found.ssh == "not checked"
    (found,) = verify(site, ec2, 1, interface="public_ip", timeout=2)
    assert found.ssh == "failed"


def refusal(code: str) -> AwsError:
    return AwsError("no", code=code, action="GetConsoleOutput", region=REGION)


def test_a_console_that_may_not_be_read_is_no_host_key(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    ec2.add(1, "running", console=[refusal("UnauthorizedOperation")])
    (found,) = verify(site, ec2, server.port)
    assert isinstance(found.error, AwsError)
    assert "docs/iam-policy.json" in found.error.mend
    assert server.logins == 0


def test_a_throttled_console_is_asked_again(
    site: Site, ec2: FakeEc2, server: Server
) -> None:
    answers = [refusal("RequestLimitExceeded"), console(host_key())]
    ec2.add(1, "running", console=answers)
    (found,) = verify(site, ec2, server.port)
    assert found.good


def test_an_api_that_answers_slowly_is_asked_more_seldom(
    site: Site, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    quick = ec2.pages

    def slow(region: str, method: str, key: str, **asked: Any) -> Iterator[Any]:
        clock.sleep(0.5)
        return quick(region, method, key, **asked)

    monkeypatch.setattr(ec2, "pages", slow)
    site.clock = clock
    ec2.add(1, "pending", console=[""])
    verify(site, ec2, 22, timeout=50)
    assert 8 <= ec2.calls["describe_instances"] <= 11, "a tenth of the time"


def test_failed_checks_are_a_report_not_an_error(site: Site, ec2: FakeEc2) -> None:
    def sick(channel: paramiko.Channel, command: str) -> None:
        check = {"name": "disk", "ok": False, "detail": "full", "seconds": 0.1}
        said: dict[str, Any] = {"checks": [check], "identity": {}, "boot_seconds": None}
        channel.sendall(json.dumps(said).encode())
        channel.send_exit_status(0)

    ec2.add(1, "running", console=[console(host_key())])
    with running(command=sick) as server:
        (found,) = verify(site, ec2, server.port)
    assert found.ssh == "ok"
    assert not found.good
    assert found.report is not None
    assert "disk" in found.report.findings[0].what


def test_without_nodes_nothing_is_asked(site: Site, ec2: FakeEc2) -> None:
    assert verify(site, ec2, 22) == []
    assert not ec2.calls
