"""Calls of the three other services are signed as AWS's own SDK signs them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.unit.provision.metadata_stub import Behaviour, serving, values
from tests.unit.provision.node import load
from tests.unit.provision.upstream_cloud import KEYS

imds = load("imds")
aws = load("aws_call")
own = load("aws_own")

STAMP = "20240517T120000Z"
OBJECT = {"method": "GET", "path": "/bucket-1/config-my_annex.tar.gz"}
FORM = {"headers": {"content-type": own.FORM}, "body": b"Action=GetPolicy&Version=1"}


@pytest.mark.parametrize(
    ("service", "region", "more"),
    [
        ("s3", "us-west-2", OBJECT),
        ("ec2", "us-west-2", FORM),
        ("iam", "us-east-1", FORM),
    ],
)
def test_the_signature_is_the_one_of_awss_own_sdk(
    service: str, region: str, more: dict[str, Any]
) -> None:
    call = aws.Call(service, region, "do it", **more)
    url = f"https://{service}.{region}.amazonaws.com"
    mine = aws.signed(url, call, aws.Credentials(*KEYS.values()), STAMP)
    theirs = AWSRequest(
        call.method, f"{url}{call.path}", data=call.body, headers=dict(call.headers)
    )
    theirs.context["timestamp"] = STAMP
    theirs.headers["X-Amz-Date"] = STAMP
    theirs.headers["X-Amz-Security-Token"] = KEYS["Token"]
    kind = SigV4Auth
    if service == "s3":
        kind = S3SigV4Auth
        theirs.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"").hexdigest()
    signer = kind(Credentials(*KEYS.values()), service, region)
    text = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    assert mine["authorization"].endswith(signer.signature(text, theirs))


@pytest.mark.parametrize(
    ("region", "host", "signed"),
    [
        ("eu-west-1", "iam.amazonaws.com", "us-east-1"),
        ("us-gov-east-1", "iam.us-gov.amazonaws.com", "us-gov-west-1"),
        ("cn-northwest-1", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_iam_is_one_for_a_partition(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str, signed: str
) -> None:
    asked: list[Any] = []

    def ask(call: Any, **_: object) -> bytes:
        asked.append(call)
        return b"<r/>"

    monkeypatch.setattr(own, "ask", ask)
    assert list(own.Aws(region).policies("node")) == []
    assert {(call.host, call.region) for call in asked} == {(host, signed)}


def test_a_bucket_is_asked_by_path_at_its_regions_own_address(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    behaviour.values = values({"meta-data/services/domain": "amazonaws.com"})
    call = aws.Call("s3", "us-west-2", "read it", **OBJECT)
    with serving(behaviour) as service:
        found = aws.endpoint(imds.Imds(service.url, 2), call)
    assert found == "https://s3.us-west-2.amazonaws.com"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            403,
            "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
            "denied",
        ),
        (404, "<Error><Code>NoSuchKey</Code></Error>", "missing"),
        (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "clock"),
        (403, "<Error><Code>InvalidAccessKeyId</Code></Error>", "denied"),
        (503, "<Error><Code>SlowDown</Code></Error>", "busy"),
        (503, "<html>", "busy"),
        (403, "", "denied"),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "refused"),
        (400, "", "refused"),
    ],
)
def test_each_refusal_in_xml_has_its_word(status: int, body: str, kind: str) -> None:
    call = aws.Call("s3", "us-west-2", "read it")
    failed = aws._failure(call, status, *aws._said(body.encode()))
    assert failed.kind == kind
    assert "\n" not in str(failed)
