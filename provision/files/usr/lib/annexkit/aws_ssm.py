"""One call to AWS: the value of an SSM parameter, by the instance's own role.

In Python's standard library, because the AWS CLI costs half a second of CPU at every
boot, and a boot is what a user waits for. Sources: AWS, "Signature Version 4 signing
process"; Systems Manager API, GetParameter; EC2 User Guide, "Retrieve security
credentials from instance metadata". Endpoints as the AWS CLI takes them from the
environment ("AWS SDKs and Tools Reference", service-specific endpoints).
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imds import Imds, MetadataError

ROLE = "meta-data/iam/security-credentials/"
TARGET = "AmazonSSM.GetParameter"
CONTENT = "application/x-amz-json-1.1"
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


class SsmError(Exception):
    """The parameter could not be had: *kind* is one of PATIENCE's words."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, repr=False)
class Credentials:
    """What the metadata service hands out for the instance's role."""

    key: str
    secret: str
    token: str


def get_parameter(
    name: str,
    region: str,
    *,
    tell: Callable[[SsmError], None] = lambda error: None,
    patience: Mapping[str, float] = PATIENCE,
) -> str:
    """Return the parameter's value; try again as long as it may help.

    :param tell: is told each failure, so that the reason can be read while we wait.
    :raises SsmError: it cannot be had.
    """
    begun, pause = time.monotonic(), 0.25
    while True:
        try:
            return _once(name, region)
        except SsmError as error:
            tell(error)
            left = begun + patience[error.kind] - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(pause, left))
        pause = min(pause * 2, 5.0)


def _once(name: str, region: str) -> str:
    imds = Imds.from_environment(ONE_TRY)
    try:
        credentials = role_credentials(imds)
        url = endpoint(imds, region)
    except MetadataError as error:
        raise SsmError("unreachable", f"no credentials: {error}") from error
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = signed(url, body, region, credentials, stamp)
    status, date, answer = _post(url, headers, body)
    return _value(name, status, date, answer)


def role_credentials(imds: Imds) -> Credentials:
    """Ask the metadata service for the role's credentials.

    :raises SsmError: there is no role, or it is not ready.
    :raises MetadataError: no answer.
    """
    role = (imds.text(ROLE) or "").split("\n")[0]
    if not role:
        raise SsmError("no-role", "the instance has no IAM role (instance profile)")
    try:
        found = json.loads(imds.text(ROLE + role) or "{}")
        return Credentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["Token"]
        )
    except (ValueError, KeyError, TypeError):
        raise SsmError(
            "no-role", f"the metadata service has no credentials for role {role}"
        ) from None


def endpoint(imds: Imds, region: str) -> str:
    """Return where SSM answers: the environment's word, or AWS's own address.

    :raises MetadataError: no answer.
    """
    for name in ("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return os.environ[name]
    domain = imds.text("meta-data/services/domain") or "amazonaws.com"
    return f"https://ssm.{region}.{domain}"


def signed(
    url: str, body: bytes, region: str, credentials: Credentials, stamp: str
) -> dict[str, str]:
    """Return the headers of a signed POST of *body* to the root of *url*.

    :param stamp: the time, such as 20240517T120000Z.
    """
    headers = {
        "content-type": CONTENT,
        "host": urlsplit(url).netloc,
        "x-amz-date": stamp,
        "x-amz-security-token": credentials.token,
        "x-amz-target": TARGET,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/ssm/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, "
        f"SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers


def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    door = (
        http.client.HTTPSConnection
        if parts.scheme == "https"
        else http.client.HTTPConnection
    )
    connection = door(parts.hostname or "", parts.port, timeout=ONE_TRY)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("date", ""), answer.read(LARGEST)
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        raise SsmError(
            "unreachable", f"SSM at {url} cannot be asked: {said}"
        ) from error
    finally:
        connection.close()


def _value(name: str, status: int, date: str, answer: bytes) -> str:
    """Return the value out of the answer, or say why there is none."""
    skew = _skew(date)
    if abs(skew) > MOST_SKEW:
        raise SsmError("clock", f"this node's clock is {skew:+.0f} s off AWS's")
    try:
        data = json.loads(answer)
        if status == 200:
            return str(data["Parameter"]["Value"])
    except (ValueError, KeyError, TypeError):
        data = {}
    code = str(data.get("__type", "")).rpartition("#")[2]
    raise _failure(name, status, code, data)


def _failure(name: str, status: int, code: str, data: dict[str, Any]) -> SsmError:
    said = str(data.get("message") or data.get("Message") or "")[:300]
    if code.startswith("AccessDenied"):
        return SsmError("denied", f"the node's role may not read {name}: {said}")
    if code == "ParameterNotFound":
        return SsmError("missing", f"SSM has no parameter {name}")
    if code in ("InvalidSignatureException", "RequestExpired"):
        return SsmError(
            "clock", f"SSM refuses the signature, is the clock right? {said}"
        )
    if code in ("ExpiredTokenException", "UnrecognizedClientException"):
        return SsmError("denied", f"SSM does not know the role's credentials: {said}")
    if status >= 500 or status == 429 or "Thrott" in code or "TooMany" in code:
        return SsmError("busy", f"SSM is busy: {code or f'HTTP {status}'}")
    return SsmError("refused", f"SSM refuses {name}: {code or f'HTTP {status}'} {said}")


def _skew(date: str) -> float:
    """Return by how many seconds our clock is ahead of an answer's Date."""
    try:
        there = calendar.timegm(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        return 0.0
    return time.time() - there
