"""Where an instance can be asked for: a market, a type and a subnet of one zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Bought = Literal["on-demand", "spot"]
MARKETS: dict[str, tuple[Bought, ...]] = {
    "on-demand": ("on-demand",),
    "spot": ("spot",),
    "spot-then-on-demand": ("spot", "on-demand"),
}
# Types that share one vCPU quota (Amazon EC2 User Guide, On-Demand Instance quotas:
# "Standard (A, C, D, H, I, M, R, T, Z)"; VT is counted with G).
STANDARD = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")


@dataclass(frozen=True)
class Target:
    """One place to ask; ``price`` is USD an hour for one instance, None if unknown."""

    market: Bought
    instance_type: str
    zone: str
    subnet: str
    price: float | None = None

    @property
    def priced_as(self) -> str:
        """What its price depends on, as the annex's record has it: ``type/market``."""
        return f"{self.instance_type}/{self.market}"

    def __str__(self) -> str:
        """Say it for people: ``m7i.large in us-west-2a (spot)``."""
        return f"{self.instance_type} in {self.zone} ({self.market})"


def quota_family(instance_type: str) -> str:
    """Return which vCPU quota an instance type counts against.

    >>> quota_family("m7i.large"), quota_family("p5.48xlarge")
    ('standard', 'p')
    """
    match = re.match(r"[a-z]+", instance_type)
    letters = match[0] if match else instance_type
    if letters in STANDARD:
        return "standard"
    return "g" if letters == "vt" else letters
