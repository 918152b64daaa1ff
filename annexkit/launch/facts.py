"""What the plan of a launch is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from annexkit.errors import Finding
from annexkit.launch.capacity import Closed
from annexkit.launch.target import Target

AT_ONCE, A_SECOND = 1000, 2  # instances


@dataclass(frozen=True)
class PlanFacts:
    """What a plan is made from. Times in epoch seconds, spans in seconds, money in USD.

    :param targets: what can be asked for, in order, with prices.
    :param closed: those that had no capacity lately.
    :param free: addresses that are left in the subnets; None when not asked.
    :param margin: what a node gets to live beyond the time to boot and to join.
    :param layers: the lease layers that will be armed, named for people.
    :param creates: what will be made besides the nodes, one line each.
    :param findings: what was found wrong while the facts were gathered.
    """

    now: float
    annex: str
    owner: str
    region: str
    count: int
    market: str
    image: str
    channel: str
    build: str
    ami: str
    ami_created: float
    targets: tuple[Target, ...]
    lease: float
    idle: float
    boot_timeout: float
    join_timeout: float
    margin: float
    outdated_after: float
    layers: tuple[str, ...]
    method: str
    creates: tuple[str, ...] = ()
    closed: Mapping[Target, Closed] = field(default_factory=dict)
    free: int | None = None
    max_hourly_cost: float = 0.0
    canary: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def ami_age(self) -> float:
        """How old the AMI is, in seconds."""
        return max(0.0, self.now - self.ami_created)

    @property
    def outdated(self) -> bool:
        """Whether the AMI is older than the settings want."""
        return self.ami_age > self.outdated_after

    @property
    def probation(self) -> float:
        """How long every node may take to be verified and leased, in seconds.

        A canary goes through all of it before the others begin; and EC2 gives the
        first thousand at once and two a second from then on (EC2 API throttling).
        """
        waves = 2 if self.canary else 1
        waiting = max(0, self.count - AT_ONCE) / A_SECOND
        return waves * self.ready_in + waiting + self.margin

    @property
    def ready_in(self) -> float:
        """How long a node may take until it is in the pool, in seconds."""
        return self.boot_timeout + self.join_timeout
