"""Targets and the quotas their types count against."""

from __future__ import annotations

import pytest

from annexkit.launch.target import quota_family
from tests.unit.launch.fake_ec2 import target


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        *((kind, "standard") for kind in ("m7i.large", "t3.small", "im4gn.large")),
        *((kind, "standard") for kind in ("c7gn.large", "is4gen.xlarge", "z1d.large")),
        *((("g5.xlarge"), "g"), ("vt1.3xlarge", "g"), ("p5.48xlarge", "p")),
        *((("x2idn.16xlarge"), "x"), ("inf2.xlarge", "inf"), ("hpc7a.96xlarge", "hpc")),
        *((("u-6tb1.metal"), "u"), ("7strange", "7strange")),
    ],
)
def test_a_type_counts_against_the_quota_of_its_family(kind: str, family: str) -> None:
    assert quota_family(kind) == family


def test_a_target_says_itself_in_words() -> None:
    spot = target("a", market="spot")
    assert str(spot) == "m7i.large in us-west-2a (spot)"
    assert spot.priced_as == "m7i.large/spot"
