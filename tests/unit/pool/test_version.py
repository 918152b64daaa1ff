"""Which HTCondor of a node goes with which of a pool."""

from __future__ import annotations

import pytest

from annexkit.errors import Level
from annexkit.pool.version import series, served, skew


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("25.14.1", (25, 14)),
        ("23.9.6+dfsg-2.1", (23, 9)),
        ("1:25.4.0-1", (25, 4)),
        ("$CondorVersion: 23.9.6 2024-08-08 BuildID: Debian-23.9.6 $", (23, 9)),
        ("", None),
        ("unknown", None),
    ],
)
def test_a_version_is_read_however_it_is_packaged(
    version: str, expected: tuple[int, int] | None
) -> None:
    assert series(version) == expected


def test_an_image_that_is_newer_than_the_pool_is_an_error_with_a_mend() -> None:
    [found] = skew("1:25.14.1-1", "$CondorVersion: 23.9.6 2024-08-08 $")
    assert found.level is Level.ERROR
    assert "25.14.1 of the image" in found.what and "pool's 23.9.6:" in found.what
    assert "--image" in found.mend


@pytest.mark.parametrize(
    ("image", "pool"),
    [
        ("23.9.6", "25.14.1"),
        ("25.14.1", "25.4.0"),
        ("25.4.0", "25.14.1"),
        ("", "23.9.6"),
        ("25.14.1", ""),
    ],
)
def test_older_equal_and_unknown_ones_are_fine(image: str, pool: str) -> None:
    assert skew(image, pool) == []


@pytest.mark.parametrize(
    ("image", "said"),
    [("1:25.14.1-1", "pools of HTCondor 25.14 or newer"), ("", ""), ("unknown", "")],
)
def test_an_image_serves_pools_as_new_as_itself(image: str, said: str) -> None:
    assert served(image) == said
