"""Who may reach an instance, against moto's EC2 and a server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit import network
from annexkit.aws import AwsError, Cloud
from annexkit.errors import UsageError
from annexkit.instances import from_tags
from annexkit.network import NetworkError
from annexkit.waiting import Deadline
from tests.unit.helpers import REGION, FakeClock

Serve = Callable[[int, bytes], None]


@pytest.fixture
def check_ip(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve an answer where our own address is asked for."""
    said: list[tuple[int, bytes]] = [(503, b"")]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = said[-1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def serve(status: int, body: bytes) -> None:
        said.append((status, body))

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(network, "CHECK_IP", url)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield serve
        server.shutdown()
        thread.join()


def group(cloud: Cloud, *sources: str, name: str = "annexkit-x") -> str:
    made = network.create_group(
        cloud,
        REGION,
        name=name,
        vpc=network.vpc_of(cloud, REGION, ""),
        tags={"annexkit:build": "b"},
    )
    if sources:
        network.allow_ssh(cloud, REGION, made, sources, poll=1, clock=FakeClock())
    return made


def rules(cloud: Cloud, group_id: str) -> Any:
    said = cloud.call(REGION, "describe_security_groups", GroupIds=[group_id])
    return said["SecurityGroups"][0]["IpPermissions"]


def test_given_networks_are_taken_in_their_plain_form() -> None:
    assert network.ssh_sources(["192.0.2.7", "192.0.2.9/24", "2001:db8::1/64"]) == (
        "192.0.2.7/32",
        "192.0.2.0/24",
        "2001:db8::/64",
    )


def test_networks_that_come_to_the_same_are_named_once() -> None:
    given = ["192.0.2.7", "192.0.2.9/24", "192.0.2.7/32", "192.0.2.8/24"]
    assert network.ssh_sources(given) == ("192.0.2.7/32", "192.0.2.0/24")


@pytest.mark.parametrize("cidr", ["", "home", "192.0.2.0/33", "192.0.2.300", "::g"])
def test_what_is_no_network_is_refused(cidr: str) -> None:
    with pytest.raises(UsageError) as caught:
        network.ssh_sources(["192.0.2.7/32", cidr])
    assert f"'{cidr}'" in caught.value.what
    assert caught.value.mend


@pytest.mark.parametrize(
    ("said", "source"),
    [(b"192.0.2.7\n", "192.0.2.7/32"), (b"2001:db8::7", "2001:db8::7/128")],
)
def test_nothing_given_means_our_own_address_and_no_other(
    check_ip: Serve, said: bytes, source: str
) -> None:
    check_ip(200, said)
    assert network.ssh_sources([]) == (source,)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>log in</html>"), (200, b""), (200, b"\xff"), (503, b"192.0.2.7")],
)
def test_an_answer_that_is_no_address_is_an_error_with_a_way_out(
    check_ip: Serve, status: int, body: bytes
) -> None:
    check_ip(status, body)
    with pytest.raises(NetworkError) as caught:
        network.ssh_sources([])
    assert "INVOKE_ANNEXKIT_BAKE_SSH_CIDRS" in caught.value.mend


def test_errors_name_the_setting_that_was_asked(cloud: Cloud, check_ip: Serve) -> None:
    check_ip(503, b"")
    with pytest.raises(NetworkError) as unknown:
        network.ssh_sources([], where="launch.ssh_cidrs")
    assert "INVOKE_ANNEXKIT_LAUNCH_SSH_CIDRS=" in unknown.value.mend
    with pytest.raises(UsageError) as wrong:
        network.ssh_sources(["home"], where="launch.ssh_cidrs")
    assert wrong.value.where == "launch.ssh_cidrs"
    with pytest.raises(NetworkError) as missing:
        network.vpc_of(cloud, REGION, "subnet-0123", where="launch.subnets")
    assert "launch.subnets" in missing.value.mend


def test_an_address_service_that_nobody_serves_is_the_same_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "CHECK_IP", "http://127.0.0.1:1/")
    with pytest.raises(NetworkError):
        network.ssh_sources([])


def test_without_a_subnet_the_default_vpc_is_taken(cloud: Cloud) -> None:
    vpc = network.vpc_of(cloud, REGION, "")
    cloud.call(REGION, "create_vpc", CidrBlock="10.9.0.0/16")
    [said] = cloud.call(REGION, "describe_vpcs", VpcIds=[vpc])["Vpcs"]
    assert said["IsDefault"] is True


def test_with_a_subnet_its_vpc_is_taken(cloud: Cloud) -> None:
    vpc = cloud.call(REGION, "create_vpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.call(REGION, "create_subnet", VpcId=vpc, CidrBlock="10.9.1.0/24")
    assert network.vpc_of(cloud, REGION, subnet["Subnet"]["SubnetId"]) == vpc


def test_a_subnet_that_is_not_there_is_named(cloud: Cloud) -> None:
    with pytest.raises(NetworkError, match="subnet-0123") as caught:
        network.vpc_of(cloud, REGION, "subnet-0123")
    assert "bake.subnet_id" in caught.value.mend


def test_without_a_default_vpc_the_mend_shows_two_ways(cloud: Cloud) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_response("describe_vpcs", {"Vpcs": []})
        with pytest.raises(NetworkError) as caught:
            network.vpc_of(cloud, REGION, "")
    assert "bake.subnet_id" in caught.value.mend
    assert f"create-default-vpc --region {REGION}" in caught.value.mend


def test_a_group_lets_the_sources_in_by_ssh_and_nothing_else(cloud: Cloud) -> None:
    made = group(cloud, "192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64")
    [said] = cloud.call(REGION, "describe_security_groups", GroupIds=[made])[
        "SecurityGroups"
    ]
    [rule] = said["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
    assert {r["CidrIp"] for r in rule["IpRanges"]} == {
        "192.0.2.7/32",
        "198.51.100.0/24",
    }
    assert [r["CidrIpv6"] for r in rule["Ipv6Ranges"]] == ["2001:db8::/64"]
    assert from_tags(said["Tags"]) == {"annexkit:build": "b"}


def test_a_group_lets_nobody_in_before_it_is_told_whom(cloud: Cloud) -> None:
    made = group(cloud)
    assert rules(cloud, made) == []


def test_sources_that_are_let_in_already_are_no_error(
    cloud: Cloud, clock: FakeClock
) -> None:
    made = group(cloud, "192.0.2.7/32")
    network.allow_ssh(cloud, REGION, made, ["192.0.2.7/32"], poll=1, clock=clock)
    assert len(rules(cloud, made)) == 1
    assert clock.slept == 0


def allow_stubbed(cloud: Cloud, clock: FakeClock, codes: list[str]) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        for code in codes:
            if code:
                stub.add_client_error("authorize_security_group_ingress", code, "no")
            else:
                stub.add_response("authorize_security_group_ingress", {})
        network.allow_ssh(cloud, REGION, "sg-1", ["192.0.2.7/32"], poll=5, clock=clock)
        stub.assert_no_pending_responses()


def test_a_group_that_ec2_does_not_show_yet_is_tried_again(
    cloud: Cloud, clock: FakeClock
) -> None:
    allow_stubbed(cloud, clock, ["InvalidGroup.NotFound", "InvalidGroup.NotFound", ""])
    assert clock.slept == 10


def test_a_group_that_never_shows_ends_in_a_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    with pytest.raises(Deadline, match="sg-1"):
        allow_stubbed(cloud, clock, ["InvalidGroup.NotFound"] * 13)
    assert clock.slept == 60


def test_a_refusal_to_let_in_is_not_tried_again(cloud: Cloud, clock: FakeClock) -> None:
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        allow_stubbed(cloud, clock, ["UnauthorizedOperation"])
    assert clock.slept == 0


def test_a_second_group_of_the_same_name_is_refused(cloud: Cloud) -> None:
    group(cloud, "192.0.2.7/32")
    with pytest.raises(AwsError, match=r"InvalidGroup\.Duplicate"):
        group(cloud, "192.0.2.7/32")


def test_a_group_is_deleted_and_may_be_gone_already(
    cloud: Cloud, clock: FakeClock
) -> None:
    made = group(cloud, "192.0.2.7/32")
    for _ in range(2):
        network.delete_group(cloud, REGION, made, timeout=9, poll=1, clock=clock)
    left = cloud.pages(REGION, "describe_security_groups", "SecurityGroups")
    assert made not in {g["GroupId"] for g in left}
    assert clock.slept == 0


def delete_stubbed(
    cloud: Cloud, clock: FakeClock, codes: list[str], **said: Any
) -> None:
    with Stubber(cloud.client("ec2", REGION)) as stub:
        for code in codes:
            if code:
                stub.add_client_error("delete_security_group", code, "no")
            else:
                stub.add_response("delete_security_group", {})
        network.delete_group(
            cloud, REGION, "sg-1", timeout=10, poll=5, clock=clock, **said
        )
        stub.assert_no_pending_responses()


def test_a_group_that_an_ending_instance_holds_is_tried_again(
    cloud: Cloud, clock: FakeClock
) -> None:
    delete_stubbed(cloud, clock, ["DependencyViolation", "DependencyViolation", ""])
    assert clock.slept == 10


def test_a_group_that_stays_held_ends_in_a_deadline(
    cloud: Cloud, clock: FakeClock
) -> None:
    with pytest.raises(Deadline, match="sg-1") as caught:
        delete_stubbed(cloud, clock, ["DependencyViolation"] * 3)
    assert caught.value.mend == "invoke reap"


def test_another_refusal_is_not_tried_again(cloud: Cloud, clock: FakeClock) -> None:
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        delete_stubbed(cloud, clock, ["UnauthorizedOperation"])
    assert clock.slept == 0
