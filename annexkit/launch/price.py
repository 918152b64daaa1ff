"""What an instance costs an hour, in USD: from the settings, or from AWS.

A price is for knowing beforehand what a launch will cost; one that cannot be found out
is None and a warning, never an error of its own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.errors import Finding, Level
from annexkit.files import FileError, write_beside
from annexkit.launch.target import MARKETS

PRICING_REGION = "us-east-1"  # one of the few with an endpoint; it knows all regions
DAY = 86_400.0
LINUX = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")


@dataclass(frozen=True)
class Prices:
    """USD an hour by ``type/market``; None where nobody could say."""

    usd: Mapping[str, float | None]
    findings: tuple[Finding, ...]


def prices(
    cloud: Cloud,
    region: str,
    *,
    types: Sequence[str],
    market: str,
    given: Mapping[str, float],
    cache: Path,
    now: float,
) -> Prices:
    """Find the price of each type in each market that the launch may buy in.

    :param given: prices of the settings, by type; they are believed for both markets.
    :param cache: file that keeps what the Pricing API said, for a day.
    :param now: seconds since the epoch.
    """
    asked = [kind for kind in types if kind not in given]
    found: dict[str, float | None] = {}
    why: dict[str, str] = {}
    for bought in MARKETS[market]:
        found |= {f"{kind}/{bought}": given.get(kind) for kind in types}
        if not asked:
            continue
        try:
            said = (
                _spot(cloud, region, asked, now)
                if bought == "spot"
                else _on_demand(cloud, region, asked, cache, now)
            )
        except AwsError as error:
            said, why[bought] = {}, _brief(error)
        found |= {f"{kind}/{bought}": said.get(kind) for kind in asked}
    unknown: dict[str, list[str]] = {
        bought: [kind for kind in types if found[f"{kind}/{bought}"] is None]
        for bought in MARKETS[market]
    }
    return Prices(found, tuple(_unknown(unknown, why)))


def _unknown(
    unknown: Mapping[str, list[str]], why: Mapping[str, str]
) -> Iterator[Finding]:
    for bought, kinds in unknown.items():
        if not kinds:
            continue
        said = f": {why[bought]}" if bought in why else ""
        example = ",".join(f"{kind}=0.10" for kind in kinds)
        yield Finding(
            Level.WARNING,
            f"the {bought} price of {', '.join(kinds)} is not known{said}",
            "launch.hourly_price",
            f"give it: INVOKE_ANNEXKIT_LAUNCH_HOURLY_PRICE={example}",
        )


def _brief(error: AwsError) -> str:
    """Return what AWS said in one short line; some endpoints answer with a page."""
    said = " ".join(error.what.split())
    return error.code if said.startswith("<") else said[:160]


def _spot(
    cloud: Cloud, region: str, types: Sequence[str], now: float
) -> dict[str, float]:
    """Return the dearest zone's newest price of each type."""
    pages = cloud.pages(
        region,
        "describe_spot_price_history",
        "SpotPriceHistory",
        InstanceTypes=list(types),
        ProductDescriptions=list(LINUX),
        # From now on: the newest price of each zone and no history before it.
        StartTime=datetime.fromtimestamp(now, UTC),
    )
    newest: dict[tuple[str, str], tuple[datetime, float]] = {}
    for said in pages:
        with contextlib.suppress(KeyError, ValueError):
            place = (said["InstanceType"], said["AvailabilityZone"])
            price = (said["Timestamp"], float(said["SpotPrice"]))
            newest[place] = max(newest.get(place, price), price)
    dearest: dict[str, float] = {}
    for (kind, _), (_, usd) in newest.items():
        dearest[kind] = max(usd, dearest.get(kind, 0.0))
    return dearest


def _on_demand(
    cloud: Cloud, region: str, types: Sequence[str], cache: Path, now: float
) -> dict[str, float]:
    """Return the list prices, out of the cache as far as it is a day old or less.

    :raises AwsError: the Pricing API could not be asked, and the cache lacks one.
    """
    kept = _read(cache)
    found: dict[str, float] = {}
    try:
        for kind in types:
            key = f"{cloud.endpoint} {region} {kind}"
            at, usd = kept.get(key, (0.0, 0.0))
            if not 0 <= now - at <= DAY or usd <= 0:
                usd = _listed(cloud, region, kind) or 0.0
                kept[key] = (now, usd)
            if usd > 0:
                found[kind] = usd
    finally:
        fresh = {key: value for key, value in kept.items() if now - value[0] <= DAY}
        with contextlib.suppress(FileError):  # then it is asked for again
            write_beside(cache, json.dumps(fresh, indent=1, sort_keys=True) + "\n")
    return found


def _listed(cloud: Cloud, region: str, kind: str) -> float | None:
    """Ask the Pricing API for Linux on shared hardware; the dearest of what fits."""
    wanted = {
        "instanceType": kind,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    said = cloud.call(
        PRICING_REGION,
        "get_products",
        service="pricing",
        launch=True,  # one try: a price is not worth waiting half a minute for
        ServiceCode="AmazonEC2",
        Filters=[
            {"Type": "TERM_MATCH", "Field": name, "Value": value}
            for name, value in wanted.items()
        ],
    )
    found = [usd for text in said.get("PriceList", []) for usd in read_product(text)]
    return max(found, default=None)


def read_product(text: Any) -> list[float]:
    """Return the hourly USD prices on demand in one item of a PriceList.

    Nothing is expected of its shape but what is looked for (AWS Price List Query API,
    GetProducts); an item of another shape has no price.
    """
    try:
        item = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return []
    found = []
    for offer in _values(item, "terms", "OnDemand"):
        for dimension in _values(offer, "priceDimensions"):
            if not str(_at(dimension, "unit")).lower().startswith("h"):
                continue
            with contextlib.suppress(TypeError, ValueError):
                found.append(float(_at(_at(dimension, "pricePerUnit"), "USD")))
    return [usd for usd in found if 0 < usd < float("inf")]


def _at(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None


def _values(node: Any, *keys: str) -> list[Any]:
    for key in keys:
        node = _at(node, key)
    return list(node.values()) if isinstance(node, dict) else []


def _read(cache: Path) -> dict[str, tuple[float, float]]:
    """Read the cache; one that is missing or damaged is empty."""
    try:
        said = json.loads(cache.read_text(encoding="utf-8"))
        return {key: (float(at), float(usd)) for key, (at, usd) in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
