"""What the instances of a night's bake and fresh boot cost, as far as prices are known.

The smokes tell their own.
"""

from __future__ import annotations

from annexkit.flows.bake_plan import BakePlan
from annexkit.flows.hourly_price import on_demand
from annexkit.flows.prove import COUNT
from annexkit.flows.site import Site
from annexkit.launch import smallest


def of_bake(site: Site, plan: BakePlan, seconds: float) -> float:
    """Return the builder's cost in USD; 0 when its price is not known.

    An estimate: without its disk, its address and what it sends, and by the time that
    the whole step took.
    """
    return _cost(site, plan, _own(plan), seconds)


def of_boot(site: Site, plan: BakePlan, seconds: float) -> float:
    """Return the cost of the fresh boot's instances, as :func:`of_bake` does."""
    kind = site.settings.prove.instance_type or _own(plan)
    return COUNT * _cost(site, plan, kind, seconds)


def _own(plan: BakePlan) -> str:
    return plan.image.instance_type[plan.image.architecture(plan.arch)]


def _cost(site: Site, plan: BakePlan, kind: str, seconds: float) -> float:
    hourly = on_demand(site, plan.region, kind)
    return smallest.cost(hourly, seconds) or 0.0
