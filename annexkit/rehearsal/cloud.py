"""The cloud's front door: a WSGI application around moto's.

Calls that need a machine, or that moto answers otherwise than AWS, are ours; all else
goes to moto as it came.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from werkzeug.wrappers import Request, Response

from annexkit.rehearsal import launch
from annexkit.rehearsal.access import Guard
from annexkit.rehearsal.account import Account
from annexkit.rehearsal.faults import Knobs, Rule
from annexkit.rehearsal.image_end import ImageEnd
from annexkit.rehearsal.images import Images
from annexkit.rehearsal.instances import Instances
from annexkit.rehearsal.machines import State
from annexkit.rehearsal.network_view import NetworkView
from annexkit.rehearsal.reading import access_key, read_call
from annexkit.rehearsal.schedules import Schedules
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.stacks import Stacks
from annexkit.rehearsal.wire import (
    ApiError,
    Call,
    Element,
    answer,
    error_response,
    parse,
    text_of,
)
from annexkit.waiting import Clock, SystemClock

log = logging.getLogger(__name__)

CONTROL = "/_rehearsal/"
# In the environment of a request that came from a machine.
INSIDE = "annexkit.inside"
# The services that an instance's metadata come from, and how the names of the actions
# begin that change nothing in them.
CHANGED, READS = {"ec2", "iam"}, ("Describe", "Get", "List")
RULES = TypeAdapter(list[Rule])
Handler = Callable[[Call], Element | dict[str, Any] | None]


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class Cloud:
    """Answers every request of one rehearsal."""

    def __init__(self, site: Site, clock: Clock | None = None) -> None:
        self._site = site
        self._clock = clock or SystemClock()
        self.images = Images(site)
        self.instances = Instances(site, self.images, self.inside)
        self._guard = Guard(site.moto, site.roles)
        self.schedules = Schedules(site, self._guard, self.instances.change, clock)
        self._account = Account(site, self._guard)
        self._networks = networks = NetworkView(site)
        ends = ImageEnd(self.images.made, clock)
        ec2: dict[str, Handler] = {
            "CopyImage": self.images.copy,
            "CreateDefaultVpc": networks.create_default_vpc,
            "CreateImage": self.instances.create_image,
            "DeregisterImage": self.images.deregister,
            "DescribeImageAttribute": self.images.describe_attribute,
            "DescribeImages": self.images.describe,
            "DescribeInstanceStatus": self.instances.view.describe_status,
            "DescribeInstances": self.instances.view.describe,
            "DescribeNetworkInterfaces": self.instances.view.describe_interfaces,
            "DescribeRegions": self._account.describe_regions,
            "DescribeRouteTables": networks.describe_route_tables,
            "DescribeSnapshots": self.images.describe_snapshots,
            "DescribeSubnets": networks.describe_subnets,
            "DescribeVpcs": networks.describe_vpcs,
            "DisableImage": ends.disable,
            "DisableImageDeprecation": ends.restore,
            "EnableImage": ends.enable,
            "EnableImageDeprecation": ends.deprecate,
            "GetConsoleOutput": self.instances.console,
            "ModifyImageAttribute": self.images.modify_attribute,
            "RebootInstances": self.instances.reboot,
            "RunInstances": self.instances.run,
            "StartInstances": self.instances.change,
            "StopInstances": self.instances.change,
            "TerminateInstances": self.instances.change,
        }
        self._handlers: dict[str, Mapping[str, Handler]] = {
            **self._account.handlers,
            "ec2": ec2,
            "scheduler": self.schedules.handlers,
            "cloudformation": {
                "DescribeStackResource": Stacks(site.moto).describe_resource
            },
            # a price list that knows nothing: moto's own cannot be asked
            "pricing": {"GetProducts": lambda _: {"PriceList": []}},
        }
        faults = site.faults
        self._controls: dict[str, Callable[[bytes], Any]] = {
            "GET status": lambda _: self.status(),
            "GET calls": lambda _: [made.model_dump() for made in faults.calls()],
            "DELETE calls": lambda _: faults.forget_calls(),
            "GET secrets": lambda _: faults.secrets(),
            "GET faults": lambda _: [rule.model_dump() for rule in faults.rules()],
            "POST faults": lambda data: faults.add(RULES.validate_json(data)),
            "DELETE faults": lambda _: faults.clear(),
            "GET knobs": lambda _: faults.knobs.model_dump(),
            "POST knobs": self._set_knobs,
            "POST spot-notice": lambda data: self.instances.notify(
                json.loads(data)["instance"]
            ),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = Request(environ)
        request.get_data(cache=True)
        if request.path.startswith(CONTROL) and INSIDE not in environ:
            return self._control(request)(environ, start_response)
        try:
            response = self._respond(request)
        except Dropped:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            response = Response(status=500)
        return response(environ, start_response)

    def inside(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request of a machine: its role's calls, and nothing else."""
        return self({**environ, INSIDE: True}, start_response)

    def _respond(self, request: Request) -> Response:
        call = read_call(request)
        if call is None and INSIDE in request.environ:
            return Response(status=403)
        if call is None:
            return self._site.moto.forward(request)
        begun = self._clock.monotonic()
        try:
            response = self._with_faults(call, request)
        except Dropped:
            self._site.faults.record(call, 0, self._clock.monotonic() - begun)
            raise
        taken = self._clock.monotonic() - begun
        status = response.status_code
        if status == 200:
            self._note_secret(call, response)
        self._site.faults.record(call, status, taken)
        log.info("%s %s -> %s in %.3f s", call.region, call.action, status, taken)
        return response

    def _note_secret(self, call: Call, response: Response) -> None:
        if call.action == "CreateKeyPair":
            said = parse(response.get_data(as_text=True))
            self._site.faults.hand_out(text_of(said, "keyMaterial"))
        elif call.action == "PutParameter" and call.get("Type") == "SecureString":
            self._site.faults.hand_out(call.get("Value"))

    def _with_faults(self, call: Call, request: Request) -> Response:
        asked = call
        if call.action == "RunInstances" and self._site.faults.rules():
            asked = launch.with_place(call, self._site.moto)
        rule = self._site.faults.take(asked)
        if rule is None:
            return self._answer(call, request)
        if rule.delay_seconds:
            self._clock.sleep(rule.delay_seconds)
        if rule.after:
            self._answer(call, request)
            if rule.error is None:
                raise Dropped
        if rule.error is None:
            return self._answer(call, request)
        return error_response(rule.error.error(), call)

    def _answer(self, call: Call, request: Request) -> Response:
        handler = self._handlers.get(call.service, {}).get(call.action)
        try:
            self._account.check_region(call)
            inside = INSIDE in request.environ
            self._guard.check(call, access_key(request), inside=inside)
            if call.service == "ec2":
                self._networks.furnish(call)
            found = handler(call) if handler else None
            if found is None:
                return self._site.moto.forward(request)
            return _json(found) if isinstance(found, dict) else answer(found)
        except ApiError as error:
            return error_response(error, call)
        except Exception as error:  # what moto cannot do must not be an HTML page
            log.exception("%s", call.action)
            said = f"{type(error).__name__}: {error}"
            return error_response(ApiError("InternalError", said, 500), call)
        finally:
            if call.service in CHANGED and not call.action.startswith(READS):
                self._site.moto.changes += 1

    def _control(self, request: Request) -> Response:
        what = f"{request.method} {request.path.removeprefix(CONTROL)}"
        handler = self._controls.get(what)
        if handler is None:
            return _json({"error": f"no such thing: {what}"}, 404)
        try:
            return _json(handler(request.get_data()))
        except (ValidationError, ApiError, KeyError, ValueError) as error:
            return _json({"error": str(error)}, 400)

    def _set_knobs(self, data: bytes) -> None:
        self._site.faults.knobs = Knobs.model_validate_json(data)

    def status(self) -> dict[str, Any]:
        """Return machines and images as data; *uptime* in seconds."""
        now = time.time()
        machines = [
            {
                "instance": i.id,
                "region": i.region,
                "state": i.machine.state,
                "address": i.address,
                "ami": i.image_id,
                "uptime": round(now - i.machine.started, 1)
                if i.machine.state is State.RUNNING
                else 0,
                "container": i.machine.spec.name,
            }
            for i in self.instances.all()
            if i.machine.state is not State.TERMINATED
        ]
        images = [
            {"ami": i.id, "region": i.region, "state": i.state, "ref": i.ref}
            for i in self.images.all()
        ]
        return {"machines": machines, "images": images}


def _json(data: Any, status: int = 200) -> Response:
    return Response(json.dumps(data) + "\n", status, mimetype="application/json")
