"""What one instance on demand costs an hour, as far as it is known."""

from __future__ import annotations

from annexkit.flows.site import Site
from annexkit.launch.price import prices

MARKET = "on-demand"


def on_demand(site: Site, region: str, kind: str) -> float | None:
    """Return what a type costs an hour there, in USD; None when nobody could say."""
    found = prices(
        site.cloud,
        region,
        types=[kind],
        market=MARKET,
        given=site.settings.launch.hourly_price,
        cache=site.cache / "prices.json",
        now=site.clock.time(),
    )
    return found.usd[f"{kind}/{MARKET}"]
