"""The door to AWS: calls are counted, errors say what to do, nothing is retried twice.

Errors come from the real botocore: from its Stubber, or from local causes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from annexkit.aws import ANY_MEND, LOCAL_MENDS, MENDS, AwsError, Cloud, connect
from annexkit.errors import UsageError
from tests.unit.helpers import ACCOUNT, REGION

Patch = pytest.MonkeyPatch


def refused(cloud: Cloud, method: str = "describe_vpcs", **arguments: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        cloud.call(REGION, method, **arguments)
    return caught.value


class Refusing(BaseHTTPRequestHandler):
    """An EC2 that answers everything with one error, and counts."""

    status = 503
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        body = (
            b"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow "
            b"down</Message></Error></Errors><RequestID>1</RequestID></Response>"
        )
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def busy(monkeypatch: Patch) -> Iterator[type[Refusing]]:
    handler = type("Counting", (Refusing,), {"asked": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()
        thread.join()


def test_a_call_returns_what_ec2_said_and_is_counted(cloud: Cloud) -> None:
    assert cloud.call(REGION, "describe_vpcs")["Vpcs"]
    cloud.call("us-east-1", "describe_vpcs")
    cloud.call(REGION, "get_caller_identity", service="sts")
    assert cloud.calls == {
        (REGION, "DescribeVpcs"): 1,
        ("us-east-1", "DescribeVpcs"): 1,
        (REGION, "GetCallerIdentity"): 1,
    }


def test_all_pages_are_read_and_each_is_counted(cloud: Cloud) -> None:
    for number in range(7):
        cloud.call(REGION, "create_volume", AvailabilityZone=f"{REGION}a", Size=number)
    found = list(
        cloud.pages(
            REGION, "describe_volumes", "Volumes", PaginationConfig={"PageSize": 5}
        )
    )
    assert len({volume["VolumeId"] for volume in found}) == 7


def test_a_list_that_ec2_does_not_page_is_read_all_the_same(cloud: Cloud) -> None:
    assert not cloud.client("ec2", REGION).can_paginate("describe_key_pairs")
    cloud.call(REGION, "create_key_pair", KeyName="k")
    [pair] = cloud.pages(REGION, "describe_key_pairs", "KeyPairs")
    assert pair["KeyName"] == "k"


def test_images_are_described_over_all_pages(cloud: Cloud) -> None:
    assert cloud.describe_images(REGION, Owners=["self"]) == []
    assert cloud.calls == {(REGION, "DescribeImages"): 1}


def test_the_account_is_asked_once(cloud: Cloud) -> None:
    assert cloud.account == ACCOUNT
    assert cloud.account == ACCOUNT
    assert sum(cloud.calls.values()) == 1


def test_the_enabled_regions_are_those_ec2_names(cloud: Cloud) -> None:
    regions = cloud.enabled_regions()
    assert REGION in regions
    assert list(regions) == sorted(regions)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        (REGION, "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("nowhere", ""),
    ],
)
def test_a_regions_partition_is_known_by_its_name(region: str, partition: str) -> None:
    assert connect().partition_of(region) == partition


def test_one_client_serves_all_threads() -> None:
    cloud, found = connect(), list[object]()
    threads = [
        threading.Thread(target=lambda: found.append(cloud.client("ec2", REGION)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(client) for client in found}) == 1


@pytest.mark.parametrize("code", sorted(MENDS))
def test_every_known_refusal_comes_with_its_mend(code: str) -> None:
    cloud = connect()
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_vpcs", code, "no", http_status_code=400)
        error = refused(cloud)
    assert (error.code, error.action, error.region) == (code, "DescribeVpcs", REGION)
    assert error.what == f"no ({code})"
    assert error.where == f"DescribeVpcs in {REGION}"
    assert error.mend == MENDS[code]


def test_an_unknown_refusal_is_told_as_ec2_told_it() -> None:
    cloud = connect()
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_vpcs", "Odd", "Odd things happen")
        error = refused(cloud)
    assert (error.what, error.mend) == ("Odd things happen", ANY_MEND)


@pytest.mark.parametrize(
    ("code", "status", "refused_it"),
    [
        ("UnauthorizedOperation", 403, True),
        ("InstanceLimitExceeded", 400, True),
        ("InsufficientInstanceCapacity", 500, True),  # nothing was launched
        ("InternalError", 500, False),
        ("RequestLimitExceeded", 503, False),
        ("Unavailable", 503, False),
    ],
)
def test_it_is_told_whether_aws_may_have_acted(
    code: str, status: int, refused_it: bool
) -> None:
    cloud = connect()
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_vpcs", code, "no", http_status_code=status)
        assert refused(cloud).refused is refused_it


def test_an_answer_that_never_came_is_no_refusal(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert refused(connect()).refused is False


def test_a_refusal_while_paging_is_translated_too() -> None:
    cloud = connect()
    with Stubber(cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_volumes", "UnauthorizedOperation", "no")
        with pytest.raises(AwsError, match="UnauthorizedOperation"):
            list(cloud.pages(REGION, "describe_volumes", "Volumes"))


def test_without_credentials_the_mend_is_to_log_in(monkeypatch: Patch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(connect())
    assert error.code == "NoCredentialsError"
    assert error.mend == LOCAL_MENDS["NoCredentialsError"]
    assert error.where == f"DescribeVpcs in {REGION}"


def test_half_of_the_credentials_are_none(monkeypatch: Patch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert refused(connect()).code == "PartialCredentialsError"


def test_an_unknown_profile_is_refused_with_the_way_to_list_them(
    monkeypatch: Patch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AwsError, match="nobody") as caught:
        connect()
    assert caught.value.mend == LOCAL_MENDS["ProfileNotFound"]


def test_a_broken_configuration_file_is_named(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text("[default\nregion = x")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    with pytest.raises(AwsError) as caught:
        connect()
    assert str(path) in caught.value.what
    assert caught.value.mend == LOCAL_MENDS["ConfigParseError"]


def test_an_endpoint_that_nobody_serves_is_named(monkeypatch: Patch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(AwsError) as caught:
        connect().call(REGION, "describe_vpcs", launch=True)
    assert caught.value.code == "EndpointConnectionError"
    assert str(port) in caught.value.what
    assert "AWS_ENDPOINT_URL" in caught.value.mend


@pytest.mark.parametrize("url", ["localhost:1", "127.0.0.1", "http://"])
def test_an_endpoint_that_is_no_url_is_a_clear_error(
    monkeypatch: Patch, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    error = refused(connect())
    assert url in error.what
    assert "AWS_ENDPOINT_URL" in error.mend
    with pytest.raises(AwsError):
        _ = connect().endpoint


def test_a_launch_is_sent_once_and_never_again(busy: type[Refusing]) -> None:
    with pytest.raises(AwsError, match="RequestLimitExceeded"):
        connect().call(
            REGION,
            "run_instances",
            launch=True,
            ImageId="ami-01234567",
            MinCount=1,
            MaxCount=1,
        )
    assert busy.asked == 1


def test_an_argument_that_ec2_does_not_know_is_found_before_the_call() -> None:
    error = refused(connect(), Colour="red")
    assert error.code == "ParamValidationError"
    assert "Colour" in error.what


def test_the_endpoint_of_aws_is_called_aws() -> None:
    assert connect().endpoint == "aws"


def test_another_endpoint_is_called_by_its_url(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert connect().endpoint == "http://127.0.0.1:4566"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://x.amazonaws.com.evil.example")
    assert connect().endpoint.endswith("evil.example")


@pytest.mark.parametrize("region", [REGION, "us-gov-west-1", "cn-north-1"])
def test_the_dual_stack_endpoint_is_that_of_aws_too(
    monkeypatch: Patch, region: str
) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert connect().endpoint == "aws"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://ec2.api.aws.evil.example")
    assert connect().endpoint.endswith("evil.example")


def test_an_older_program_is_given_the_credentials_that_were_found(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    assert connect().credentials_environment() == {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    path = tmp_path / "credentials"
    path.write_text(
        "[mine]\naws_access_key_id = a\naws_secret_access_key = b\n"
        "aws_session_token = c\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert connect().credentials_environment() == {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_SESSION_TOKEN": "c",
    }


def test_without_credentials_there_are_none_to_give(monkeypatch: Patch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AwsError) as caught:
        connect().credentials_environment()
    assert caught.value.mend == LOCAL_MENDS["NoCredentialsError"]


@pytest.mark.parametrize("region", ["us-west-2", "cn-north-1", "us-gov-west-1"])
def test_the_regions_of_every_partition_are_known(region: str) -> None:
    connect().check_regions((region,))


def test_an_unknown_region_is_refused_before_any_call() -> None:
    cloud = connect()
    with pytest.raises(UsageError) as caught:
        cloud.check_regions(("us-west-2", "us-wset-2"))
    assert caught.value.what == "unknown region 'us-wset-2'"
    assert caught.value.mend == "did you mean 'us-west-2'?"
    assert not cloud.calls
