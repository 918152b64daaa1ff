"""The smallest type that is enough, and what it costs."""

from __future__ import annotations

from annexkit.errors import Finding, Level
from annexkit.launch.offers import Offers, Subnet
from annexkit.launch.smallest import cost, smallest_first, why_none

SUBNETS = (Subnet("subnet-a", "vpc-1", "za", 5), Subnet("subnet-b", "vpc-1", "zb", 50))
KINDS = ("large", "small", "twin", "tiny")
MEMORY = {"large": 8192, "small": 1024, "twin": 1024, "tiny": 1023}
ZONES = frozenset((kind, zone) for kind in KINDS for zone in ("za", "zb"))


def offered(**changes: object) -> Offers:
    values = {
        "subnets": SUBNETS,
        "types": KINDS,
        "zones": ZONES,
        "spot": frozenset(KINDS),
        "findings": (),
        "memory": MEMORY,
    }
    return Offers(**(values | changes))  # type: ignore[arg-type]


def test_least_memory_comes_first_and_too_little_not_at_all() -> None:
    found = smallest_first(offered())
    assert [(t.instance_type, t.subnet) for t in found] == [
        ("small", "subnet-b"),
        ("small", "subnet-a"),
        ("twin", "subnet-b"),
        ("twin", "subnet-a"),
        ("large", "subnet-b"),
        ("large", "subnet-a"),
    ]
    assert {t.market for t in found} == {"on-demand"}


def test_a_zone_that_lacks_the_type_is_left_out() -> None:
    found = smallest_first(offered(zones=ZONES - {("small", "zb")}))
    assert [t.zone for t in found if t.instance_type == "small"] == ["za"]


def test_memory_that_nobody_told_is_not_enough() -> None:
    assert smallest_first(offered(memory={})) == ()


def test_each_type_has_its_reason() -> None:
    unknown = Finding(Level.ERROR, "'x1' is no instance type of here")
    assert why_none(offered(types=("tiny",), findings=(unknown,))) == [
        "'x1' is no instance type of here",
        "tiny has 1023 MiB of memory, not 1024",
    ]


def test_less_than_a_minute_is_billed_as_one() -> None:
    assert cost(3.6, 1) == cost(3.6, 60) == 0.06
    assert cost(3.6, 600) == 0.6
    assert cost(None, 600) is None
