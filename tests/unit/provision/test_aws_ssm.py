"""The one call to AWS: signed as its own SDK signs, and every failure has its word."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.unit.provision.metadata_stub import Behaviour, serving, values
from tests.unit.provision.node import load

imds = load("imds")
aws = load("aws_call")
ssm = load("aws_ssm")

NAME = "/annexkit/grid/0123456789ab"
KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "s3cr3t/+", "Token": "t0k=="}
ROLE = values(
    {
        aws.ROLE: "annexkit-node",
        f"{aws.ROLE}annexkit-node": json.dumps({"Code": "Success", **KEYS}),
        "meta-data/services/domain": "amazonaws.com",
    }
)
AT_ONCE = dict.fromkeys(aws.PATIENCE, 0.0)


class Answers(http.server.BaseHTTPRequestHandler):
    """SSM in small: gives the answers in their order, the last one for ever."""

    def do_POST(self) -> None:
        server: Any = self.server
        length = int(self.headers["content-length"])
        server.asked.append((dict(self.headers), json.loads(self.rfile.read(length))))
        status, body, skew = server.answers[0]
        if len(server.answers) > 1:
            server.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() - skew, usegmt=True))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> Iterator[http.server.ThreadingHTTPServer]:
    """SSM and the metadata service, as the environment of the unit names them."""
    behaviour.values |= ROLE
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.asked, server.answers = [], [GOOD]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with serving(behaviour) as metadata:
        monkeypatch.setenv("ANNEXKIT_IMDS", metadata.url)
        monkeypatch.setenv("ANNEXKIT_IMDS_PATIENCE", "1")
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.delenv("AWS_ENDPOINT_URL_SSM", raising=False)
        yield server
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(kind: str, status: int = 400, message: str = "no") -> tuple[Any, ...]:
    return status, {"__type": kind, "message": message}, 0


GOOD = (200, {"Parameter": {"Value": "the secret"}}, 0)


def test_a_parameter_is_fetched_by_the_role(service: Any) -> None:
    assert ssm.get_parameter(NAME, "us-west-2") == "the secret"
    headers, body = service.asked[0]
    assert body == {"Name": NAME, "WithDecryption": True}
    assert headers["x-amz-target"] == "AmazonSSM.GetParameter"
    assert headers["x-amz-security-token"] == KEYS["Token"]
    assert "Credential=AKIDEXAMPLE/" in headers["authorization"]


@pytest.mark.parametrize(
    "url", ["https://ssm.us-west-2.amazonaws.com", "http://127.0.0.1:8080"]
)
def test_the_signature_is_the_one_of_awss_own_sdk(url: str) -> None:
    stamp, call = "20240517T120000Z", ssm.call(NAME, "us-west-2")
    mine = aws.signed(url, call, aws.Credentials(*KEYS.values()), stamp)
    theirs = AWSRequest(
        "POST",
        url,
        data=call.body,
        headers={"content-type": ssm.CONTENT, "x-amz-target": ssm.TARGET},
    )
    signer = SigV4Auth(Credentials(*KEYS.values()), "ssm", "us-west-2")
    theirs.context["timestamp"] = stamp
    theirs.headers["X-Amz-Date"] = stamp
    theirs.headers["X-Amz-Security-Token"] = KEYS["Token"]
    text = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    assert mine["authorization"].endswith(signer.signature(text, theirs))


FAILURES = [
    (refusal("AccessDeniedException"), "denied", "role may not read"),
    (refusal("com.amazon#AccessDeniedException"), "denied", "role may not read"),
    (refusal("UnrecognizedClientException"), "denied", "role's credentials"),
    (refusal("ExpiredTokenException"), "denied", "role's credentials"),
    (refusal("ParameterNotFound"), "missing", f"no parameter {NAME}"),
    (refusal("RequestExpired"), "clock", "is the clock right"),
    (refusal("InvalidSignatureException", message="not yet"), "clock", "not yet"),
    ((200, GOOD[1], -3600), "clock", "clock is -3"),
    (refusal("ThrottlingException"), "busy", "ThrottlingException"),
    ((503, {}, 0), "busy", "HTTP 503"),
    ((200, {}, 0), "refused", "HTTP 200"),
    (refusal("ValidationException"), "refused", "ValidationException no"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "said"), FAILURES, ids=[f"{k}: {s}" for _, k, s in FAILURES]
)
def test_each_failure_has_its_word_and_a_sentence(
    service: Any, answer: tuple[Any, ...], kind: str, said: str
) -> None:
    service.answers = [answer]
    with pytest.raises(aws.AwsError) as failed:
        ssm.get_parameter(NAME, "us-west-2", patience=AT_ONCE)
    assert failed.value.kind == kind
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not any(secret in str(failed.value) for secret in KEYS.values())


def test_an_instance_without_a_role_is_told_so(
    service: Any, behaviour: Behaviour
) -> None:
    del behaviour.values[aws.ROLE]
    with pytest.raises(aws.AwsError, match="has no IAM role") as failed:
        ssm.get_parameter(NAME, "us-west-2", patience=AT_ONCE)
    assert failed.value.kind == "no-role"


def test_a_role_that_is_not_ready_is_told_so(
    service: Any, behaviour: Behaviour
) -> None:
    behaviour.values[f"{aws.ROLE}annexkit-node"] = b'{"Code": "Failed"}'
    with pytest.raises(aws.AwsError, match="no credentials for role annexkit-node"):
        ssm.get_parameter(NAME, "us-west-2", patience=AT_ONCE)


def test_an_endpoint_that_is_not_there_is_told_so(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    with pytest.raises(aws.AwsError, match="cannot be asked") as failed:
        ssm.get_parameter(NAME, "us-west-2", patience=AT_ONCE)
    assert failed.value.kind == "unreachable"


def test_what_may_pass_is_tried_again_and_told_each_time(service: Any) -> None:
    busy = refusal("ThrottlingException")
    service.answers = [busy, refusal("AccessDeniedException"), GOOD]
    told: list[str] = []
    value = ssm.get_parameter(
        NAME, "us-west-2", tell=lambda error: told.append(error.kind)
    )
    assert value == "the secret"
    assert told == ["busy", "denied"]
    assert len(service.asked) == 3


def test_without_a_word_of_the_environment_it_is_awss_own_address(
    service: Any, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    client = imds.Imds.from_environment()
    oregon, beijing = (ssm.call(NAME, name) for name in ("us-west-2", "cn-north-1"))
    assert aws.endpoint(client, oregon) == "https://ssm.us-west-2.amazonaws.com"
    behaviour.values["meta-data/services/domain"] = b"amazonaws.com.cn"
    assert aws.endpoint(client, beijing) == "https://ssm.cn-north-1.amazonaws.com.cn"


def test_credentials_do_not_show_themselves() -> None:
    assert KEYS["SecretAccessKey"] not in repr(aws.Credentials(*KEYS.values()))
