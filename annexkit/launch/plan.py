"""The plan of a launch: everything that will happen, settled before any of it does.

Pure: facts in, plan out. Who gathers the facts asks AWS; this only judges them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annexkit.errors import Finding
from annexkit.launch.facts import PlanFacts
from annexkit.launch.judge import cost_per_hour, judge
from annexkit.launch.target import Target
from annexkit.launch.words import money, spell, stamp

__all__ = ["LaunchPlan", "PlanFacts", "make_plan"]


@dataclass(frozen=True)
class LaunchPlan:
    """What one ``invoke launch`` will do; printable, and without AWS to ask.

    ``hourly_cost`` is what it costs if the first target has room for all, ``most_cost``
    what it costs at worst; None when a price is not known.
    """

    facts: PlanFacts
    lease_ends: float
    probation_ends: float
    hourly_cost: float | None
    most_cost: float | None
    findings: tuple[Finding, ...]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where to ask, in order."""
        return self.facts.targets

    def rows(self) -> list[tuple[str, str]]:
        """Return the plan for people: names and values, top down."""
        facts = self.facts
        age = f"{spell(facts.ami_age)} old" + (", outdated" if facts.outdated else "")
        first = "one node, then the rest" if facts.canary else "all at once"
        return [
            ("annex", f"{facts.annex}, of {facts.owner}, in {facts.region}"),
            ("nodes", f"{facts.count}, {facts.market}; {first}"),
            ("image", f"{facts.image} ({facts.channel}), build {facts.build}"),
            ("ami", f"{facts.ami}, {age}"),
            *(("target", self._target(target)) for target in facts.targets),
            ("cost", self._cost()),
            ("lease", f"{spell(facts.lease)}, until {stamp(self.lease_ends)}"),
            ("until verified", f"a node ends at {stamp(self.probation_ends)}"),
            ("idle", f"a node ends {spell(facts.idle)} after its last job"),
            *(("lease layer", layer) for layer in facts.layers),
            ("joins by", facts.method),
            *(("makes", line) for line in facts.creates),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the plan for machines; times in epoch seconds, money in USD."""
        facts = self.facts
        names = (
            *("annex", "owner", "region", "count", "market", "image", "channel"),
            *("build", "ami", "ami_age", "outdated", "lease", "idle", "method"),
            *("canary", "max_hourly_cost"),
        )
        return {name: getattr(facts, name) for name in names} | {
            "targets": [self._target_json(target) for target in facts.targets],
            "hourly_cost": self.hourly_cost,
            "most_hourly_cost": self.most_cost,
            "lease_ends": int(self.lease_ends),
            "probation_ends": int(self.probation_ends),
            "layers": list(facts.layers),
            "creates": list(facts.creates),
            "findings": [
                {"level": f.level, "what": f.what, "where": f.where, "mend": f.mend}
                for f in self.findings
            ],
        }

    def _target(self, target: Target) -> str:
        price = (
            "price not known" if target.price is None else f"{money(target.price)}/h"
        )
        closed = self.facts.closed.get(target)
        until = f", left alone until {stamp(closed.until)}" if closed else ""
        return f"{target}, {target.subnet}, {price}{until}"

    def _target_json(self, target: Target) -> dict[str, Any]:
        closed = self.facts.closed.get(target)
        return {
            "market": target.market,
            "instance_type": target.instance_type,
            "zone": target.zone,
            "subnet": target.subnet,
            "price": target.price,
            "closed_until": int(closed.until) if closed else None,
        }

    def _cost(self) -> str:
        likely = "not known" if self.hourly_cost is None else money(self.hourly_cost)
        most = "not known" if self.most_cost is None else money(self.most_cost)
        ceiling = self.facts.max_hourly_cost
        said = f"ceiling {money(ceiling)}" if ceiling else "no ceiling"
        return f"{likely} an hour, at most {most}; {said}"


def make_plan(facts: PlanFacts) -> LaunchPlan:
    """Settle times and costs, and say everything that is wrong (law 10)."""
    probation = min(facts.lease, facts.probation)
    likely, most = cost_per_hour(facts)
    return LaunchPlan(
        facts=facts,
        lease_ends=facts.now + facts.lease,
        probation_ends=facts.now + probation,
        hourly_cost=likely,
        most_cost=most,
        findings=(*facts.findings, *judge(facts)),
    )
