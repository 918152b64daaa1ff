"""A call to AWS, signed by the instance's own role, and tried while it may help.

In Python's standard library, because the AWS CLI costs half a second of CPU at every
boot, and a boot is what a user waits for. Sources: AWS, "Signature Version 4 signing
process"; EC2 User Guide, "Retrieve security credentials from instance metadata".
Endpoints as the AWS CLI takes them from the environment ("AWS SDKs and Tools
Reference", service-specific endpoints).
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import http.client
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from imds import Imds, MetadataError

ROLE = "meta-data/iam/security-credentials/"
ONE_TRY = 10.0
LARGEST = 1 << 16
# AWS refuses signatures that are further than this from its own time (seconds).
MOST_SKEW = 300

# How long each kind of failure may still pass (seconds): a role or a policy made a
# moment ago is not known everywhere yet.
PATIENCE = {
    "no-role": 30.0,
    "denied": 60.0,
    "missing": 20.0,
    "clock": 20.0,
    "unreachable": 120.0,
    "busy": 120.0,
    "refused": 0.0,
}
NO_SUCH = ("ParameterNotFound", "NoSuchKey", "NoSuchBucket")
CLOCK = (
    *("InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"),
    "SignatureDoesNotMatch",
)
UNKNOWN = (
    *("ExpiredTokenException", "UnrecognizedClientException", "ExpiredToken"),
    *("InvalidToken", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure"),
)
DENIED = ("AccessDenied", "UnauthorizedOperation")
BUSY = ("Thrott", "TooMany", "RequestLimitExceeded", "SlowDown")


class AwsError(Exception):
    """AWS did not give what it was asked for: *kind* is one of PATIENCE's words."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, repr=False)
class Credentials:
    """What the metadata service hands out for the instance's role."""

    key: str
    secret: str
    token: str


@dataclass(frozen=True)
class Call:
    """One request, and how people would name it.

    :param doing: what the role must be allowed, such as ``read /annexkit/grid/1``.
    :param absent: what to say where there is no such thing.
    :param host: where it goes on AWS, when it is not the service's host of the region.
    :param path: as it is sent, escaped; no query.
    :param largest: the most bytes that an answer may have.
    """

    service: str
    region: str
    doing: str
    absent: str = ""
    host: str = ""
    method: str = "POST"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    largest: int = LARGEST

    @property
    def title(self) -> str:
        """The service as people write it."""
        return self.service.upper()


def ask(
    call: Call,
    *,
    tell: Callable[[AwsError], None] = lambda error: None,
    patience: Mapping[str, float] = PATIENCE,
) -> bytes:
    """Make a call and return the answer's body; try again as long as it may help.

    :param tell: is told each failure, so that the reason can be read while we wait.
    :raises AwsError: no good answer.
    """
    begun, pause = time.monotonic(), 0.25
    while True:
        try:
            return _once(call)
        except AwsError as error:
            tell(error)
            left = begun + patience[error.kind] - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(pause, left))
        pause = min(pause * 2, 5.0)


def _once(call: Call) -> bytes:
    imds = Imds.from_environment(ONE_TRY)
    try:
        credentials = role_credentials(imds)
        url = endpoint(imds, call)
    except MetadataError as error:
        raise AwsError("unreachable", f"no credentials: {error}") from error
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    status, date, answer = _send(url, call, signed(url, call, credentials, stamp))
    if abs(skew := _skew(date)) > MOST_SKEW:
        raise AwsError("clock", f"this node's clock is {skew:+.0f} s off AWS's")
    if status != 200:
        raise _failure(call, status, *_said(answer))
    if len(answer) > call.largest:
        most = f"{call.largest} bytes"
        raise AwsError("refused", f"{call.title} answers with more than {most}")
    return answer


def role_name(imds: Imds) -> str:
    """Ask the metadata service for the name of the instance's role.

    :raises AwsError: there is none.
    :raises MetadataError: no answer.
    """
    role = (imds.text(ROLE) or "").split("\n")[0]
    if not role:
        raise AwsError("no-role", "the instance has no IAM role (instance profile)")
    return role


def role_credentials(imds: Imds) -> Credentials:
    """Ask the metadata service for the role's credentials.

    :raises AwsError: there is no role, or it is not ready.
    :raises MetadataError: no answer.
    """
    role = role_name(imds)
    try:
        found = json.loads(imds.text(ROLE + role) or "{}")
        return Credentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["Token"]
        )
    except (ValueError, KeyError, TypeError):
        raise AwsError(
            "no-role", f"the metadata service has no credentials for role {role}"
        ) from None


def endpoint(imds: Imds, call: Call) -> str:
    """Return where a service answers: the environment's word, or AWS's own address.

    :raises MetadataError: no answer.
    """
    for name in (f"AWS_ENDPOINT_URL_{call.title}", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    if call.host:
        return f"https://{call.host}"
    domain = imds.text("meta-data/services/domain") or "amazonaws.com"
    return f"https://{call.service}.{call.region}.{domain}"


def signed(
    url: str, call: Call, credentials: Credentials, stamp: str
) -> dict[str, str]:
    """Return the headers of a call to the service at *url*, its signature among them.

    :param stamp: the time, such as 20240517T120000Z.
    """
    content = hashlib.sha256(call.body).hexdigest()
    more = {
        "host": urlsplit(url).netloc,
        "x-amz-date": stamp,
        "x-amz-security-token": credentials.token,
    }
    if call.service == "s3":  # which alone wants it among the headers
        more["x-amz-content-sha256"] = content
    headers = dict(sorted({**call.headers, **more}.items()))
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"{call.method}\n{call.path}\n\n{lines}\n{names}\n{content}"
    scope = f"{stamp[:8]}/{call.region}/{call.service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, "
        f"SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers


def _send(url: str, call: Call, headers: dict[str, str]) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    door = (
        http.client.HTTPSConnection
        if parts.scheme == "https"
        else http.client.HTTPConnection
    )
    connection = door(parts.hostname or "", parts.port, timeout=ONE_TRY)
    try:
        connection.request(call.method, call.path, call.body, headers)
        answer = connection.getresponse()
        # one byte more than may be, so that a cut answer is no whole one
        body = answer.read(call.largest + 1)
        return answer.status, answer.getheader("date", ""), body
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        raise AwsError(
            "unreachable", f"{call.title} at {url} cannot be asked: {said}"
        ) from error
    finally:
        connection.close()


def _said(answer: bytes) -> tuple[str, str]:
    """Return code and message of an error, which is JSON or XML by its service."""
    try:
        data = json.loads(answer)
        code = str(data.get("__type", "")).rpartition("#")[2]
        return code, str(data.get("message") or data.get("Message") or "")
    except (ValueError, AttributeError):
        text = answer[:LARGEST].decode("utf-8", "replace")
        found = (re.search(rf"<{n}>([^<]*)</{n}>", text) for n in ("Code", "Message"))
        code, message = (one[1] if one else "" for one in found)
        return code, message


def _failure(call: Call, status: int, code: str, message: str) -> AwsError:
    """Give a refusal its word and its sentence."""
    what, said = code or f"HTTP {status}", message[:300]
    may_not = f"the node's role may not {call.doing}: {said or what}"
    clock = f"{call.title} refuses the signature, is the clock right? {said}"
    unknown = f"{call.title} does not know the role's credentials: {said}"
    busy = status >= 500 or status == 429 or any(word in code for word in BUSY)
    words = (
        (code.startswith(DENIED), "denied", may_not),
        (code in NO_SUCH, "missing", call.absent or f"cannot {call.doing}: {code}"),
        (code in CLOCK, "clock", clock),
        (code in UNKNOWN, "denied", unknown),
        (busy, "busy", f"{call.title} is busy: {what}"),
        (status == 403, "denied", may_not),
        (True, "refused", f"{call.title} refuses to {call.doing}: {what} {said}"),
    )
    return next(AwsError(kind, text) for fits, kind, text in words if fits)


def _skew(date: str) -> float:
    """Return by how many seconds our clock is ahead of an answer's Date."""
    try:
        there = calendar.timegm(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        return 0.0
    return time.time() - there
