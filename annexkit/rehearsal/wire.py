"""AWS calls as they travel: form parameters in, XML out, and moto behind HTTP.

Source: the "ec2" and "query" protocols of botocore's service models.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

Element = ET.Element
XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"
VERSION = "2016-11-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


class ApiError(Exception):
    """An error as AWS answers it: code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Call:
    """One API call: service and region from its signature, action, parameters.

    A call whose body is JSON has it in *data* too; its *params* are that, flattened.
    """

    service: str
    region: str
    action: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: bool = False
    data: Any = None

    def get(self, name: str, default: str = "") -> str:
        """Return a parameter."""
        return self.params.get(name, default)

    def true(self, name: str) -> bool:
        """Whether a parameter is a true boolean."""
        return self.get(name).lower() == "true"

    def members(self, prefix: str) -> list[str]:
        """Return the values of ``prefix.1``, ``prefix.2`` and so on, in order."""
        found = re.compile(re.escape(prefix) + r"\.(\d+)$")
        numbered = ((found.match(name), value) for name, value in self.params.items())
        return [v for _, v in sorted((int(m[1]), v) for m, v in numbered if m)]

    def groups(self, prefix: str) -> Iterator[dict[str, str]]:
        """Yield the structures ``prefix.1.*``, ``prefix.2.*`` as flat mappings."""
        found = re.compile(re.escape(prefix) + r"\.(\d+)\.(.+)$")
        groups: dict[int, dict[str, str]] = {}
        for name, value in self.params.items():
            if match := found.match(name):
                groups.setdefault(int(match[1]), {})[match[2]] = value
        for number in sorted(groups):
            yield groups[number]

    def without(self, *prefixes: str) -> Call:
        """Return the call less the named parameters and all below them."""
        kept = {
            name: value
            for name, value in self.params.items()
            if not any(name == p or name.startswith(f"{p}.") for p in prefixes)
        }
        return replace(self, params=kept)

    def having(self, **params: str) -> Call:
        """Return the call with more parameters; ``A__B`` stands for ``A.B``."""
        more = {name.replace("__", "."): value for name, value in params.items()}
        return replace(self, params={**self.params, **more})


def tags_for(call: Call, kind: str) -> dict[str, str]:
    """Return the tags that TagSpecifications ask for on one kind of resource."""
    tags: dict[str, str] = {}
    for specification in call.groups("TagSpecification"):
        if specification.get("ResourceType") == kind:
            inner = Call("", "", "", specification)
            tags |= {t["Key"]: t.get("Value", "") for t in inner.groups("Tag")}
    return tags


def tag_params(resources: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of CreateTags."""
    params = {f"ResourceId.{n}": r for n, r in enumerate(resources, 1)}
    for number, (key, value) in enumerate(tags.items(), 1):
        params |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
    return params


def error_response(error: ApiError, call: Call) -> Response:
    """Write an error as the call's protocol has it."""
    if call.json:
        body = json.dumps({"__type": error.code, "message": error.message})
        return Response(body, error.status, mimetype="application/x-amz-json-1.1")
    said = (
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    )
    if call.service == "s3":
        body = f"<Error>{said}</Error>"
    elif call.service == "ec2":
        body = (
            f"<Response><Errors><Error>{said}</Error></Errors>"
            "<RequestID>rehearsal</RequestID></Response>"
        )
    else:
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type>{said}</Error>"
            "<RequestId>rehearsal</RequestId></ErrorResponse>"
        )
    return Response(body, error.status, mimetype="text/xml")


def parse(text: str) -> Element:
    """Read an XML answer, less its namespace."""
    return ET.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text, count=1))  # noqa: S314


def write(root: Element) -> str:
    """Write an XML answer as text, for :func:`parse` to read again."""
    return ET.tostring(root, "unicode")


def answer(root: Element) -> Response:
    """Write an XML answer of EC2."""
    root.set("xmlns", XMLNS)
    return Response(
        ET.tostring(root, "utf-8", xml_declaration=True), mimetype="text/xml"
    )


def result(action: str, *children: Element, **texts: str) -> Element:
    """Build the answer to an action: text elements, then the given ones."""
    root = Element(f"{action}Response")
    put(root, "requestId", "rehearsal")
    for name, text in texts.items():
        put(root, name, text)
    root.extend(children)
    return root


def put(parent: Element, path: str, text: str) -> None:
    """Set the text at a path below *parent*, making what is missing."""
    for name in path.split("/"):
        child = parent.find(name)
        parent = ET.SubElement(parent, name) if child is None else child
    parent.text = text


def text_of(item: Element, path: str) -> str:
    """Return the text at a path, empty when there is none."""
    return item.findtext(path) or ""


def tags_of(item: Element) -> dict[str, str]:
    """Return the ``tagSet`` of a described resource."""
    return {
        text_of(t, "key"): text_of(t, "value") for t in item.iterfind("tagSet/item")
    }


class Moto:
    """moto's own WSGI application, asked one call at a time.

    moto's dictionaries are not made for threads that change them together.

    ``changes`` counts the calls that may have changed something.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self.changes = 0
        self._client = Client(application)
        self._lock = RLock()

    def forward(self, request: Request) -> Response:
        """Hand on a request as it came."""
        with self._lock:
            answered = self._client.open(
                request.full_path,
                method=request.method,
                data=request.get_data(cache=True),
                headers=[(k, v) for k, v in request.headers if k != "Content-Length"],
                base_url=request.host_url,
            )
        return _plain(answered)

    def send(self, call: Call) -> Response:
        """Make a call, whatever it answers."""
        params = {"Version": VERSION, **call.params, "Action": call.action}
        with self._lock:
            answered = self._client.post(
                "/",
                data=urlencode(params),
                headers={**_signed(call.service, call.region), "Content-Type": FORM},
            )
        return _plain(answered)

    def get(self, service: str, region: str, path: str) -> Response:
        """Read from a service whose calls are methods and paths."""
        with self._lock:
            answered = self._client.get(path, headers=_signed(service, region))
        return _plain(answered)

    def ask(self, call: Call) -> Element:
        """Make a call and return its answer.

        :raises ApiError: moto refused, with its own code and message.
        """
        answered = self.send(call)
        root = parse(answered.get_data(as_text=True))
        if answered.status_code >= 400:
            code, message = root.findtext(".//Code"), root.findtext(".//Message")
            raise ApiError(code or "InternalError", message or "", answered.status_code)
        return root

    def ec2(self, region: str, action: str, **params: str) -> Element:
        """Make an EC2 call; ``A__1`` stands for the parameter ``A.1``."""
        return self.ask(Call("ec2", region, action).having(**params))


def _signed(service: str, region: str) -> dict[str, str]:
    scope = f"rehearsal/20200101/{region}/{service}/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    return {"Authorization": signed}


def _plain(answered: Any) -> Response:
    # the length, since an answer to HEAD has one and no body
    kept = {"content-type", "content-length", "etag", "last-modified", "date"}
    kept |= {"x-amzn-requestid"}
    headers = [(k, v) for k, v in answered.headers if k.lower() in kept]
    return Response(answered.get_data(), answered.status_code, headers)
