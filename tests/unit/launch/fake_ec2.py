"""An EC2 that answers RunInstances as a list of events says, and keeps true records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from annexkit.aws import AwsError
from annexkit.instances import Launch
from annexkit.launch.capacity import CapacityTable
from annexkit.launch.launched import Launched
from annexkit.launch.nodes import Doors, Order, Pace, launch_nodes
from annexkit.launch.target import Bought, Target
from tests.unit.helpers import AMI, REGION, FakeClock

PACE = Pace(patience=60, profile_timeout=60, poll=5)


def refused(code: str, message: str = "no") -> AwsError:
    return AwsError(
        message, code=code, action="RunInstances", region=REGION, refused=True
    )


def lost(code: str = "ReadTimeoutError") -> AwsError:
    return AwsError("lost", code=code, action="RunInstances", region=REGION)


@dataclass(frozen=True)
class Event:
    """What one call comes to: how many are launched of those asked, and what is said.

    :param gives: the most that it launches; None for all that are asked.
    :param says: the error, after launching ``gives``; None for the ids.
    """

    gives: int | None = None
    says: AwsError | None = None


FULL = Event()


def refuses(code: str, message: str = "no") -> Event:
    return Event(0, refused(code, message))


def loses(gives: int | None = None, code: str = "ReadTimeoutError") -> Event:
    return Event(gives, lost(code))


@dataclass
class FakeEc2:
    """``hidden``: seconds for which new instances are not found by their token."""

    clock: FakeClock
    events: Iterable[Event] = ()
    hidden: float = 0.0
    blind: bool = False
    made: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, Launch] = field(default_factory=dict)
    announced: list[tuple[str, Target, int]] = field(default_factory=list)
    finished: dict[str, Sequence[str]] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    history: list[Launch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.script = iter(self.events)
        self.numbers = count(1)

    @property
    def alive(self) -> set[str]:
        return {i for ids in self.made.values() for i in ids} - self.ended

    def run(self, launch: Launch) -> list[str]:
        self.calls["run"] += 1
        self.history.append(launch)
        assert self.announced[-1][0] == launch.token, "written before the call"
        assert self.asked.setdefault(launch.token, launch) == launch, "one token, once"
        event = next(self.script, FULL)
        known = self.made.get(launch.token)
        if known is None:
            gives = launch.count if event.gives is None else event.gives
            ids = [f"i-{next(self.numbers):017x}" for _ in range(gives)][: launch.count]
            if ids:
                self.made[launch.token] = ids
            self.born |= dict.fromkeys(ids, self.clock.monotonic())
        elif event.says and event.says.code == "IdempotentInstanceTerminated":
            self.ended |= set(known)
        if event.says:
            raise event.says
        return list(self.made.get(launch.token, []))

    def find(self, token: str) -> list[str]:
        self.calls["find"] += 1
        if self.blind:
            raise lost("EndpointConnectionError")
        now = self.clock.monotonic()
        found = [i for i in self.made.get(token, []) if i not in self.ended]
        return [i for i in found if now - self.born[i] >= self.hidden]

    def request(self, target: Target, number: int, token: str) -> Launch:
        return Launch(
            region=REGION,
            ami=AMI,
            instance_type=target.instance_type,
            count=number,
            token=token,
            user_data="",
            tags={},
            security_group="sg-1",
            subnet_id=target.subnet,
            market=target.market,
            least=1,
        )

    def before(self, token: str, target: Target, number: int) -> None:
        self.announced.append((token, target, number))

    def after(self, token: str, ids: Sequence[str]) -> None:
        assert token not in self.finished
        self.finished[token] = ids

    def doors(self, path: Path, pace: Pace = PACE) -> Doors:
        return Doors(
            request=self.request,
            run=self.run,
            find=self.find,
            capacity=CapacityTable(path / "capacity.json", 600, self.clock.time),
            before=self.before,
            after=self.after,
            clock=self.clock,
            jitter=lambda: 0.5,
            pace=pace,
        )


def target(
    zone: str = "a", kind: str = "m7i.large", market: Bought = "on-demand"
) -> Target:
    return Target(market, kind, f"{REGION}{zone}", f"subnet-{zone}", 0.1)


A, B, C = target("a"), target("b"), target("c")


def order(count: int, *targets: Target, spot_timeout: float = 120) -> Order:
    return Order(REGION, "grid", count, targets or (A, B, C), spot_timeout)


def launch(
    ec2: FakeEc2, path: Path, count: int, *targets: Target, spot_timeout: float = 120
) -> Launched:
    asked = order(count, *targets, spot_timeout=spot_timeout)
    launched = launch_nodes(asked, ec2.doors(path))
    assert set(launched.ids) <= {i for ids in ec2.made.values() for i in ids}
    assert ec2.finished.keys() == {b.token for b in launched.batches if b.settled}
    return launched
