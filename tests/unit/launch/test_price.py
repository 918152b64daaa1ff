"""Prices: given, asked for, kept for a day, and never in the way."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.aws import AwsError, Cloud
from annexkit.errors import Level
from annexkit.launch.price import DAY, Prices, prices, read_product
from tests.unit.helpers import REGION, FakeClock


def product(usd: str = "0.1008000000", unit: str = "Hrs") -> str:
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    offer = {"priceDimensions": {"X.Y.Z": dimension}}
    return json.dumps({"product": {}, "terms": {"OnDemand": {"X.Y": offer}}})


@dataclass
class Shop(Cloud):
    """A cloud that sells at these prices, or at none."""

    listed: dict[str, list[str]] = field(default_factory=dict)
    spot: list[dict[str, Any]] = field(default_factory=list)
    shut: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    def call(
        self,
        region: str,
        method: str,
        *,
        service: str = "ec2",
        launch: bool = False,
        **arguments: Any,
    ) -> dict[str, Any]:
        assert (region, method, service) == ("us-east-1", "get_products", "pricing")
        assert launch, "tried once"
        fields = {f["Field"]: f["Value"] for f in arguments["Filters"]}
        assert (fields["regionCode"], fields["tenancy"]) == (REGION, "Shared")
        self.asked["list"] += 1
        self._open(method)
        return {"PriceList": self.listed.get(fields["instanceType"], [])}

    def pages(self, region: str, method: str, key: str, **arguments: Any) -> Any:
        self.asked["spot"] += 1
        self._open(method)
        yield from self.spot

    def _open(self, method: str) -> None:
        if self.shut:
            raise AwsError("closed", code="AccessDenied", action=method, region=REGION)


def ask(
    shop: Cloud,
    path: Path,
    *types: str,
    market: str = "on-demand",
    given: dict[str, float] | None = None,
    now: float = 1_700_000_000.0,
) -> Prices:
    return prices(
        shop,
        REGION,
        types=types,
        market=market,
        given=given or {},
        cache=path / "cache" / "prices.json",
        now=now,
    )


def spot_price(kind: str, zone: str, usd: str, hour: int) -> dict[str, Any]:
    return {
        "InstanceType": kind,
        "AvailabilityZone": zone,
        "SpotPrice": usd,
        "Timestamp": datetime(2026, 5, 1, hour, tzinfo=UTC),
    }


def test_what_the_settings_give_is_believed_and_nobody_is_asked(tmp_path: Path) -> None:
    shop = Shop(shut=True)
    found = ask(
        shop,
        tmp_path,
        "m7i.large",
        market="spot-then-on-demand",
        given={"m7i.large": 0.1},
    )
    assert found.usd == {"m7i.large/spot": 0.1, "m7i.large/on-demand": 0.1}
    assert found.findings == ()
    assert shop.asked == {}


def test_the_list_price_is_asked_for_once_a_day(tmp_path: Path) -> None:
    shop = Shop(listed={"m7i.large": [product()]})
    now = 1_700_000_000.0
    for later in (0.0, 60.0, DAY):
        found = ask(shop, tmp_path, "m7i.large", now=now + later)
        assert found.usd == {"m7i.large/on-demand": 0.1008}
    assert shop.asked["list"] == 1
    ask(shop, tmp_path, "m7i.large", now=now + DAY + 1)
    assert shop.asked["list"] == 2


def test_the_dearest_of_what_fits_counts(tmp_path: Path) -> None:
    shop = Shop(listed={"t3.small": [product("0.02"), product("0.03"), product("0")]})
    assert ask(shop, tmp_path, "t3.small").usd == {"t3.small/on-demand": 0.03}


def test_an_unknown_price_is_a_warning_that_names_the_type(tmp_path: Path) -> None:
    found = ask(Shop(), tmp_path, "m7i.large")
    assert found.usd == {"m7i.large/on-demand": None}
    [warning] = found.findings
    assert warning.level is Level.WARNING
    assert warning.what == "the on-demand price of m7i.large is not known"
    assert "HOURLY_PRICE=m7i.large=" in warning.mend


def test_a_pricing_api_that_refuses_is_a_warning_with_its_reason(
    tmp_path: Path,
) -> None:
    shop = Shop(shut=True)
    found = ask(shop, tmp_path, "m7i.large", "t3.small", market="spot-then-on-demand")
    assert set(found.usd.values()) == {None}
    assert [f.level for f in found.findings] == [Level.WARNING] * 2
    assert all("m7i.large, t3.small" in f.what for f in found.findings)
    assert all("closed" in f.what for f in found.findings)
    assert shop.asked == {"spot": 1, "list": 1}


def test_a_page_of_html_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(*_: Any, **__: Any) -> Any:
        text = "<!doctype html>\n<h1>Internal Server Error</h1>"
        raise AwsError(text, code="500", action="GetProducts", region=REGION)

    monkeypatch.setattr(Shop, "call", page)
    [found] = ask(Shop(), tmp_path, "m7i.large").findings
    assert found.what == "the on-demand price of m7i.large is not known: 500"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1]}', "null"])
def test_a_damaged_cache_is_asked_around(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "prices.json").write_text(text)
    shop = Shop(listed={"m7i.large": [product()]})
    assert ask(shop, tmp_path, "m7i.large").usd == {"m7i.large/on-demand": 0.1008}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands in the way")
    shop = Shop(listed={"m7i.large": [product()]})
    assert ask(shop, tmp_path, "m7i.large").usd == {"m7i.large/on-demand": 0.1008}


def test_the_spot_price_is_the_newest_of_the_dearest_zone(tmp_path: Path) -> None:
    shop = Shop(
        spot=[
            spot_price("m7i.large", "a", "0.09", 1),
            spot_price("m7i.large", "a", "0.03", 2),
            spot_price("m7i.large", "b", "0.04", 1),
            spot_price("t3.small", "a", "0.01", 1),
            {"InstanceType": "t3.small"},
            spot_price("t3.small", "b", "cheap", 1),
        ]
    )
    found = ask(shop, tmp_path, "m7i.large", "t3.small", market="spot")
    assert found.usd == {"m7i.large/spot": 0.04, "t3.small/spot": 0.01}
    assert found.findings == ()


def test_moto_names_spot_prices_in_this_shape(
    cloud: Cloud, tmp_path: Path, clock: FakeClock
) -> None:
    found = ask(cloud, tmp_path, "m7i.large", market="spot", now=clock.time())
    assert found.usd == {"m7i.large/spot": 0.00001}


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["terms", "OnDemand", "priceDimensions", "unit", "USD"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_like | st.text())
def test_an_item_of_any_shape_has_prices_or_none(item: Any) -> None:
    assert all(usd > 0 for usd in read_product(item))


def test_prices_by_the_second_or_in_other_money_do_not_count() -> None:
    assert read_product(product(unit="Quantity")) == []
    assert read_product(product("n/a")) == []
    assert read_product(product().replace("USD", "CNY")) == []
