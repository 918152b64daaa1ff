"""What goes wrong on request, how slow things are, what was called and handed out.

``/_rehearsal/faults``, ``knobs``, ``calls`` and ``secrets`` of the server.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase
from threading import Lock

from pydantic import Field

from annexkit.rehearsal.state import Value
from annexkit.rehearsal.wire import ApiError, Call

MOST_CALLS = 20_000


class Failure(Value):
    """An error as AWS answers it."""

    code: str
    message: str = "injected by the rehearsal"
    status: int = Field(default=400, ge=400, le=599)

    def error(self) -> ApiError:
        """Return it as what the server raises."""
        return ApiError(self.code, self.message, self.status)


class Trouble(Value):
    """What is wrong with machines.

    :param never_boots: they start, as the API tells it, and never come up.
    :param blocked: an ``address:port`` that their packets do not reach.
    :param console_host_key: their consoles show another host key than they have.
    :param clock_offset: how far ahead their programs' clocks are, in seconds.
    """

    never_boots: bool = False
    blocked: str = Field(default="", pattern=r"^([0-9.]+:[0-9]+)?$")
    console_host_key: bool = False
    clock_offset: float = 0


class Machines(Trouble):
    """What is wrong with the first *count* machines of a launch."""

    count: int = Field(default=10_000, ge=1)


class Rule(Value):
    """One fault.

    Without *after*, the error is answered instead of doing anything. With it, the
    call is done first, and then the error is answered, or the connection dropped
    when there is no error. *where* asks for parameters of the call, such as
    ``{"InstanceType": "c5.*"}``; actions and values may have wildcards. RunInstances
    has two more there: ``Zone``, and ``Market``, which is ``spot`` or ``on-demand``.

    Rules with *capacity* or *machines* are about RunInstances alone, and leave the
    call to other rules, too: no more than *capacity* instances are given, all calls
    together; *machines* is wrong with what the call launches.
    """

    action: str
    region: str = "*"
    where: dict[str, str] = Field(default_factory=dict)
    error: Failure | None = None
    delay_seconds: float = Field(default=0, ge=0, le=600)
    after: bool = False
    times: int | None = Field(default=None, ge=1)
    capacity: int | None = Field(default=None, ge=0)
    machines: Machines | None = None

    @property
    def about_launch(self) -> bool:
        """Whether it changes what a launch gives, instead of failing a call."""
        return self.capacity is not None or self.machines is not None

    def meets(self, call: Call) -> bool:
        """Whether the rule is about this call."""
        return (
            fnmatchcase(call.action, self.action)
            and fnmatchcase(call.region, self.region)
            and all(fnmatchcase(call.get(k), v) for k, v in self.where.items())
        )


class Knobs(Trouble):
    """How slow the cloud is, and what is wrong with all of its machines.

    :param pending_seconds: least time that an instance is pending.
    :param image_pending_seconds: least time that an image is pending.
    :param schedule_seconds: how late schedules fire; AWS's own precision is 60.
    :param spot_notice_seconds: from a spot instance's notice to its end.
    """

    pending_seconds: float = Field(default=0, ge=0)
    image_pending_seconds: float = Field(default=0, ge=0)
    schedule_seconds: float = Field(default=0, ge=0)
    spot_notice_seconds: float = Field(default=120, ge=0)


def troubled(knobs: Knobs, own: Trouble) -> Knobs:
    """Return the knobs as they are for a machine that has troubles of its own."""
    return knobs.model_copy(update=own.model_dump(exclude_defaults=True))


class Record(Value):
    """One call that was made; *time* in seconds since the epoch."""

    time: float
    service: str
    action: str
    region: str
    status: int
    seconds: float


class Faults:
    """The rules, knobs and record of calls of one rehearsal; safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: list[tuple[Rule, int | None]] = []
        self._calls: deque[Record] = deque(maxlen=MOST_CALLS)
        self._secrets: deque[str] = deque(maxlen=MOST_CALLS)
        self.knobs = Knobs()

    def add(self, rules: Iterable[Rule]) -> None:
        """Add rules after those that are there."""
        with self._lock:
            self._rules += [(rule, rule.times) for rule in rules]

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules = []

    def rules(self) -> list[Rule]:
        """Return the rules that still have times left."""
        with self._lock:
            return [
                rule.model_copy(update={"times": left}) for rule, left in self._rules
            ]

    def take(self, call: Call) -> Rule | None:
        """Return the first rule that fails *call*, and use up one of its times."""
        with self._lock:
            for place, (rule, _) in enumerate(self._rules):
                if rule.meets(call) and not rule.about_launch:
                    self._use(place)
                    return rule
        return None

    def capacity(self, call: Call, least: int, most: int) -> int:
        """Return for how many of a launch's instances there is capacity.

        What is given is used up, unless it is less than *least*.
        """
        with self._lock:
            places = [
                (place, rule.capacity)
                for place, (rule, _) in enumerate(self._rules)
                if rule.capacity is not None and rule.meets(call)
            ]
            given = min([most, *(capacity for _, capacity in places)])
            for place, capacity in places if given >= least else ():
                rule, left = self._rules[place]
                now = {"capacity": capacity - given}
                self._rules[place] = rule.model_copy(update=now), left
        return given

    def machines(self, call: Call) -> list[Machines]:
        """Return what is wrong with what *call* launches; uses up times of rules."""
        with self._lock:
            places = [
                place
                for place, (rule, _) in enumerate(self._rules)
                if rule.machines is not None and rule.meets(call)
            ]
            found = [self._rules[place][0].machines for place in places]
            for place in reversed(places):
                self._use(place)
        return [one for one in found if one]

    def _use(self, place: int) -> None:
        rule, left = self._rules[place]
        if left is not None:
            self._rules[place] = (rule, left - 1)
        if left == 1:
            del self._rules[place]

    def record(self, call: Call, status: int, seconds: float) -> None:
        """Note a call that was answered."""
        done = Record(
            time=time.time(),
            service=call.service,
            action=call.action,
            region=call.region,
            status=status,
            seconds=round(seconds, 4),
        )
        with self._lock:
            self._calls.append(done)

    def calls(self) -> list[Record]:
        """Return the calls that were made, oldest first."""
        with self._lock:
            return list(self._calls)

    def forget_calls(self) -> None:
        """Start a new record of calls."""
        with self._lock:
            self._calls.clear()

    def hand_out(self, secret: str) -> None:
        """Note a secret that the cloud gave away: a private key, a metadata token."""
        with self._lock:
            self._secrets.append(secret)

    def secrets(self) -> list[str]:
        """Return the secrets that were handed out, for a test to look for."""
        with self._lock:
            return list(self._secrets)
