"""EventBridge Scheduler: schedules that are kept, and one-time ones that fire.

moto stores schedules and fires none; it goes on keeping their groups and tags. Source:
EventBridge Scheduler API reference, and its user guide on universal targets.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, RLock
from typing import Any
from zoneinfo import ZoneInfo

from annexkit.rehearsal.access import Guard
from annexkit.rehearsal.site import Site, in_background
from annexkit.rehearsal.state import ACCOUNT
from annexkit.rehearsal.wire import ApiError, Call, Element
from annexkit.waiting import Clock, SystemClock

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"
NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
OTHER = re.compile(r"(rate|cron)\(.+\)")
PAGE = 100
Key = tuple[str, str, str]
# What a caller gives; all else of a schedule is answered by us.
GIVEN = (
    *("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow"),
    *("Target", "State", "ActionAfterCompletion", "Description", "KmsKeyArn"),
    *("StartDate", "EndDate"),
)
DEFAULTS = {"ScheduleExpressionTimezone": "UTC", "State": "ENABLED"}
OPTIONAL = {"ActionAfterCompletion": "NONE"}


@dataclass
class Schedule:
    """One schedule; *fired* when its one time is over."""

    key: Key
    body: Mapping[str, Any]
    created: float
    modified: float
    token: str = ""
    fired: bool = False
    at: float | None = field(default=None)

    @property
    def arn(self) -> str:
        """Its ARN."""
        region, group, name = self.key
        return f"arn:aws:scheduler:{region}:{ACCOUNT}:schedule/{group}/{name}"

    def summary(self) -> dict[str, Any]:
        """Describe it as ListSchedules does."""
        return {
            "Arn": self.arn,
            "GroupName": self.key[1],
            "Name": self.key[2],
            "State": self.body["State"],
            "CreationDate": self.created,
            "LastModificationDate": self.modified,
            "Target": {"Arn": self.body["Target"]["Arn"]},
        }


class Schedules:
    """The schedules of all regions.

    :param terminate: EC2's own TerminateInstances, as a schedule's target calls it.
    """

    def __init__(
        self,
        site: Site,
        guard: Guard,
        terminate: Callable[[Call], Element],
        clock: Clock | None = None,
    ) -> None:
        self._site = site
        self._guard = guard
        self._terminate = terminate
        self._clock = clock or SystemClock()
        self._schedules: dict[Key, Schedule] = {}
        self._lock = RLock()

    @property
    def handlers(self) -> dict[str, Callable[[Call], dict[str, Any] | None]]:
        """What answers each of the service's actions; moto answers the others."""
        return {
            "CreateSchedule": self.create,
            "CreateScheduleGroup": self.check_new_group,
            "DeleteSchedule": self.delete,
            "DeleteScheduleGroup": self.delete_group,
            "GetSchedule": self.get,
            "ListSchedules": self.list,
            "UpdateSchedule": self.update,
        }

    def start(self) -> None:
        """Fire what is due from now on, in the background."""
        in_background(self._forever, "schedules")

    def create(self, call: Call) -> dict[str, Any]:
        """CreateSchedule, idempotent by its client token."""
        key, body = self._key(call), self._body(call)
        token = call.get("ClientToken")
        now = self._clock.time()
        with self._lock:
            there = self._schedules.get(key)
            if there and not (token and there.token == token):
                raise ApiError(
                    "ConflictException", f"Schedule {key[2]} already exists.", 409
                )
            if there is None:
                made = Schedule(key, body, now, now, token, at=moment(body))
                self._schedules[key] = made
        return {"ScheduleArn": self._schedules[key].arn}

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateSchedule: the call's schedule in place of the one that is there."""
        key, body = self._key(call), self._body(call)
        with self._lock:
            there = self._find(key)
            now = self._clock.time()
            made = Schedule(key, body, there.created, now, at=moment(body))
            self._schedules[key] = made
        return {"ScheduleArn": made.arn}

    def get(self, call: Call) -> dict[str, Any]:
        """GetSchedule."""
        found = self._find(self._key(call))
        return {**found.body, **found.summary(), "Target": found.body["Target"]}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteSchedule."""
        with self._lock:
            del self._schedules[self._find(self._key(call)).key]
        return {}

    def check_new_group(self, call: Call) -> None:
        """CreateScheduleGroup: refused when it is there; the rest is moto's."""
        name = call.get("Name")
        if self._has_group(call.region, name):
            said = f"Schedule group {name} already exists."
            raise ApiError("ConflictException", said, 409)

    def delete_group(self, call: Call) -> None:
        """DeleteScheduleGroup takes the schedules along; the rest is moto's."""
        group = call.region, call.get("Name")
        with self._lock:
            for key in [k for k in self._schedules if k[:2] == group]:
                del self._schedules[key]

    def list(self, call: Call) -> dict[str, Any]:
        """ListSchedules: filtered, sorted by name, in pages."""
        group, state = call.get("ScheduleGroup"), call.get("State")
        prefix = call.get("NamePrefix")
        with self._lock:
            found = [
                schedule.summary()
                for key, schedule in sorted(self._schedules.items())
                if key[0] == call.region
                and group in {"", key[1]}
                and state in {"", schedule.body["State"]}
                and key[2].startswith(prefix)
            ]
        begin, most = int(call.get("NextToken", "0")), int(call.get("MaxResults", "0"))
        end = begin + (most or PAGE)
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"Schedules": found[begin:end], **more}

    def fire_due(self) -> int:
        """Fire every one-time schedule whose time has come; how many."""
        now = self._clock.time() - self._site.faults.knobs.schedule_seconds
        with self._lock:
            due = [
                s
                for s in self._schedules.values()
                if s.at is not None
                and s.at <= now
                and not s.fired
                and s.body["State"] == "ENABLED"
            ]
            for schedule in due:
                schedule.fired = True
                if schedule.body.get("ActionAfterCompletion") == "DELETE":
                    del self._schedules[schedule.key]
        for schedule in due:
            self._fire(schedule)
        return len(due)

    def _forever(self) -> None:
        pause = Event()
        while not pause.wait(LOOK_SECONDS):
            try:
                self.fire_due()
            except Exception:  # the schedules of others must still fire
                log.exception("schedules")

    def _fire(self, schedule: Schedule) -> None:
        target = schedule.body["Target"]
        try:
            ids = json.loads(target.get("Input") or "{}")["InstanceIds"]
            params = {f"InstanceId.{n}": str(i) for n, i in enumerate(ids, 1)}
            call = Call("ec2", schedule.key[0], "TerminateInstances", params)
            role = str(target["RoleArn"]).rpartition("/")[2]
            self._guard.check_role(call, role)
            self._terminate(call)
        except (ApiError, KeyError, ValueError) as error:
            log.warning("%s fired and failed: %s", schedule.arn, error)
        else:
            log.info("%s fired: %s", schedule.arn, " ".join(ids))

    def _find(self, key: Key) -> Schedule:
        with self._lock:
            if key in self._schedules:
                return self._schedules[key]
        raise ApiError(
            "ResourceNotFoundException", f"Schedule {key[2]} does not exist.", 404
        )

    def _key(self, call: Call) -> Key:
        # GroupName in a body, groupName in a query
        group = call.get("GroupName") or call.get("groupName") or "default"
        if not self._has_group(call.region, group):
            raise ApiError(
                "ResourceNotFoundException",
                f"Schedule group {group} does not exist.",
                404,
            )
        if not NAME.fullmatch(call.get("Name")):
            raise invalid(
                f"the name '{call.get('Name')}' does not match {NAME.pattern}"
            )
        return call.region, group, call.get("Name")

    def _has_group(self, region: str, name: str) -> bool:
        answered = self._site.moto.get("scheduler", region, f"/schedule-groups/{name}")
        return answered.status_code == 200

    def _body(self, call: Call) -> dict[str, Any]:
        given = {name: call.data[name] for name in GIVEN if name in call.data}
        body = {**DEFAULTS, **OPTIONAL, **given}
        moment(body)
        target = body.get("Target") or {}
        if target.get("Arn") != TERMINATE:
            raise invalid(f"the rehearsal calls no {target.get('Arn')}")
        self._check_role(str(target.get("RoleArn", "")))
        return body

    def _check_role(self, arn: str) -> None:
        """Refuse a role that Scheduler cannot assume, as CreateSchedule does."""
        params = {"RoleName": arn.rpartition("/")[2], "Version": "2010-05-08"}
        try:
            got = self._site.moto.ask(Call("iam", "us-east-1", "GetRole", params))
        except ApiError:
            trusted = ""
        else:
            trusted = got.findtext(".//AssumeRolePolicyDocument") or ""
        if "scheduler.amazonaws.com" not in trusted:
            raise invalid(
                "The execution role you provide must allow AWS EventBridge Scheduler "
                "to assume the role."
            )


def invalid(said: str) -> ApiError:
    """Return the error for a value that Scheduler refuses."""
    return ApiError("ValidationException", said, 400)


def moment(body: Mapping[str, Any]) -> float | None:
    """Return when a one-time schedule fires, epoch seconds; None for repeated ones.

    :raises ApiError: neither an ``at``, nor a ``rate`` or ``cron`` expression.
    """
    text = str(body.get("ScheduleExpression", ""))
    if OTHER.fullmatch(text):
        return None
    try:
        zone = ZoneInfo(str(body["ScheduleExpressionTimezone"]))
        found = AT.fullmatch(text)
        when = datetime.fromisoformat(found[1]) if found else None
    except (KeyError, ValueError, OSError):
        when = None
    if when is None:
        raise invalid(f"Invalid Schedule Expression {text}.")
    return when.replace(tzinfo=zone).astimezone(UTC).timestamp()
