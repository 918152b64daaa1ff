"""What a request asks for, whichever protocol its service speaks.

Source: botocore's service models, "ec2", "query", "json" and "rest-json" protocols; of
S3's own only what is done to one object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.session
from werkzeug.wrappers import Request

from annexkit.rehearsal.wire import Call

SCOPE = re.compile(
    r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/"
)
# Services whose calls have no name but a method and a path.
REST = {"account", "lambda", "scheduler"}
# What S3's methods do to an object; IAM names the right to read it in one way.
OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject"}


def access_key(request: Request) -> str:
    """Return the access key that a request is signed with, empty when it is not."""
    scope = SCOPE.search(request.headers.get("Authorization", ""))
    return scope["key"] if scope else ""


def read_call(request: Request) -> Call | None:
    """Read what a request asks for; None when it is no call that names its action."""
    scope = SCOPE.search(request.headers.get("Authorization", ""))
    service, region = (scope["service"], scope["region"]) if scope else ("", "")
    if target := request.headers.get("X-Amz-Target", ""):
        data = _body(request)
        params = dict(flat(data))
        return Call(service, region, target.rpartition(".")[2], params, True, data)
    if service in REST:
        return _rest_call(request, service, region)
    if service == "s3":
        return _object_call(request, region)
    pairs = parse_qsl(request.query_string.decode(), keep_blank_values=True)
    if request.method == "POST" and "form" in request.headers.get("Content-Type", ""):
        body = request.get_data(cache=True).decode()
        pairs += parse_qsl(body, keep_blank_values=True)
    params = dict(pairs)
    if not scope or "Action" not in params:
        return None
    return Call(service, region, params.pop("Action"), params)


def flat(data: Any, head: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of a JSON body under names such as ``Names.1`` or ``A.B``."""
    if isinstance(data, dict):
        inner: Iterator[tuple[str, Any]] = iter(data.items())
    elif isinstance(data, list):
        inner = ((str(number), value) for number, value in enumerate(data, 1))
    else:
        yield head, json.dumps(data) if isinstance(data, bool) else str(data)
        return
    for name, value in inner:
        yield from flat(value, f"{head}.{name}" if head else name)


def _rest_call(request: Request, service: str, region: str) -> Call | None:
    for action, method, path in _operations(service):
        if method == request.method and (found := path.fullmatch(request.path)):
            data = _body(request)
            told = data if isinstance(data, dict) else {}
            query = dict(parse_qsl(request.query_string.decode()))
            labels = {name: unquote(text) for name, text in found.groupdict().items()}
            merged = {**told, **query, **labels}
            return Call(service, region, action, dict(flat(merged)), True, merged)
    return None


def _object_call(request: Request, region: str) -> Call | None:
    path = request.path.lstrip("/")
    if named := re.match(r"(.+)\.s3[.-]", request.host):  # the bucket is in the name
        path = f"{named[1]}/{path}"
    bucket, _, key = path.partition("/")
    action = OBJECT.get(request.method)
    if not (action and bucket and key):
        return None
    return Call("s3", region, action, {"Bucket": bucket, "Key": key})


@cache
def _operations(service: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """Return (action, method, pattern of its path) of a service's operations."""
    model = botocore.session.Session().get_service_model(service)
    found = []
    for action in model.operation_names:
        http = model.operation_model(action).http
        path = re.sub(r"\{(\w+)\+?\}", r"(?P<\1>[^/]+)", http["requestUri"])
        if path.startswith("/tags/"):  # an ARN, whose slashes may come unescaped
            path = path.replace("[^/]+", ".+")
        found.append((action, http["method"], re.compile(path)))
    return found


def _body(request: Request) -> Any:
    try:
        return json.loads(request.get_data(cache=True) or b"{}")
    except ValueError:
        return {}
