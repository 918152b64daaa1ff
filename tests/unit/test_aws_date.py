"""AWS's clock, read off any answer, without credentials."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from annexkit.aws import AwsError, connect
from tests.unit.helpers import REGION

REFUSAL = (
    b"<ErrorResponse><Error><Code>MissingAuthenticationToken</Code><Message>no"
    b"</Message></Error></ErrorResponse>"
)


class Sts(BaseHTTPRequestHandler):
    """An STS that refuses whoever has not signed, and tells the time."""

    date: str = ""
    body: bytes = REFUSAL
    status: int = 403
    signed: ClassVar[list[bool]] = []

    def do_POST(self) -> None:
        self.signed.append("Authorization" in self.headers)
        self.send_response_only(self.status)
        if self.date:
            self.send_header("Date", self.date)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Sts]]:
    handler = type("Own", (Sts,), {"signed": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        yield handler
        server.shutdown()
        thread.join()


def test_a_refusal_tells_the_time_and_nothing_is_signed(sts: type[Sts]) -> None:
    sts.date = "Tue, 14 Nov 2023 22:13:20 GMT"
    cloud = connect()
    assert cloud.date(REGION) == 1_700_000_000
    assert sts.signed == [False]
    assert cloud.calls == {(REGION, "GetCallerIdentity"): 1}


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_is_an_error(sts: type[Sts], date: str) -> None:
    sts.date = date
    with pytest.raises(AwsError, match="has no date"):
        connect().date(REGION)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1", "EndpointConnectionError"),
        ("no-url", "InvalidEndpoint"),
    ],
)
def test_who_cannot_be_asked_is_told_as_any_other_call_tells_it(
    monkeypatch: pytest.MonkeyPatch, url: str, code: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(AwsError) as caught:
        connect().date(REGION)
    assert caught.value.code == code
    assert caught.value.mend


@pytest.mark.usefixtures("keys")
def test_a_page_of_html_is_no_answer_but_it_has_a_date(sts: type[Sts]) -> None:
    """A proxy that wants a login, or another program at the endpoint's port."""
    sts.date = "Tue, 14 Nov 2023 22:13:20 GMT"
    sts.body, sts.status = b"<!doctype html>\n<p>log in" + b"." * 5000, 200
    cloud = connect()
    assert cloud.date(REGION) == 1_700_000_000
    with pytest.raises(AwsError) as caught:
        cloud.call(REGION, "get_caller_identity", service="sts", launch=True)
    assert caught.value.code == "ResponseParserError"
    assert len(caught.value.what) < 500
    assert "proxy" in caught.value.mend


@pytest.fixture
def keys(sts: type[Sts], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
