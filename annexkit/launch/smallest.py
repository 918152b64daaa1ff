"""The smallest instance that is enough to try an AMI on, and what its life costs."""

from __future__ import annotations

from dataclasses import replace

from annexkit.launch.offers import Offers, targets
from annexkit.launch.target import Target

# MiB. For a system, the five daemons of a pool of one node, and a job that asks for 32:
# nobody tried it with less.
LEAST_MEMORY = 1024
LEAST_BILLED = 60.0  # seconds of an instance (AWS, EC2 On-Demand pricing)


def smallest_first(offered: Offers) -> tuple[Target, ...]:
    """Return where to ask for one instance on demand: least memory first.

    Types with too little of it are left out; of equal ones the order stays. No prices.
    """
    fit = [t for t in offered.types if offered.memory.get(t, 0) >= LEAST_MEMORY]
    fit.sort(key=lambda kind: offered.memory[kind])
    return targets(replace(offered, types=tuple(fit)), "on-demand", {})


def why_none(offered: Offers) -> list[str]:
    """Say of each type why it is not among the smallest, as far as it is known."""
    small = [
        f"{kind} has {offered.memory.get(kind, 0)} MiB of memory, not {LEAST_MEMORY}"
        for kind in offered.types
        if offered.memory.get(kind, 0) < LEAST_MEMORY
    ]
    return [*(found.what for found in offered.findings), *small]


def cost(hourly: float | None, seconds: float) -> float | None:
    """Return what an instance costs that runs for so long, in USD; None if unknown.

    An estimate: without its disk, its address and what it sends.

    >>> round(cost(0.36, 100), 6), cost(0.36, 1), cost(None, 100)
    (0.01, 0.006, None)
    """
    return None if hourly is None else hourly * max(seconds, LEAST_BILLED) / 3600
