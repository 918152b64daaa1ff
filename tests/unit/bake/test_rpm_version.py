from __future__ import annotations

from itertools import pairwise

import pytest

from annexkit.bake.rpm_version import RpmVersion

# Each before the next, by the rules of rpm-version(7).
ASCENDING = [
    ("0", "1.0~~", "1"),
    ("0", "1.0~rc1", "1"),
    ("0", "1.0~rc2", "1"),
    ("0", "1.0", "1"),
    ("0", "1.0", "1.el9"),
    ("0", "1.0", "2"),
    ("0", "1.0^git1", "1"),
    ("0", "1.0a", "1"),
    ("0", "1.0b", "1"),
    ("0", "1.0.1", "1"),
    ("0", "1.9", "1"),
    ("0", "1.10", "1"),
    ("0", "2", "1"),
    ("1", "0.1", "1"),
]


@pytest.mark.parametrize(("older", "newer"), list(pairwise(ASCENDING)))
def test_versions_sort_as_rpm_sorts_them(
    older: tuple[str, str, str], newer: tuple[str, str, str]
) -> None:
    assert RpmVersion(*older) < RpmVersion(*newer)
    assert not RpmVersion(*newer) < RpmVersion(*older)
    assert RpmVersion(*older) != RpmVersion(*newer)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1.00"), ("1.0", "1_0"), ("1.0", "1..0"), ("1", "1.")]
)
def test_what_only_separates_makes_no_difference(one: str, other: str) -> None:
    assert RpmVersion("", one, "1") == RpmVersion("0", other, "1")
    assert hash(RpmVersion("", one, "1")) == hash(RpmVersion("0", other, "1"))


def test_a_version_is_written_as_rpm_writes_it() -> None:
    assert str(RpmVersion("0", "24.0.20", "1.el9")) == "24.0.20-1.el9"
    assert str(RpmVersion("2", "1", "3")) == "2:1-3"


@pytest.mark.parametrize("text", ["24.0.20-1.el9", "2:1-3", "1:9.0~rc1^git-1.el9_6.2"])
def test_what_rpm_writes_is_read_back(text: str) -> None:
    assert str(RpmVersion.parse(text)) == text


def test_an_epoch_of_0_may_be_written_or_not() -> None:
    assert RpmVersion.parse("0:1.0-1") == RpmVersion.parse("1.0-1")
    with pytest.raises(ValueError, match="invalid literal"):
        RpmVersion.parse("x:1.0-1")
