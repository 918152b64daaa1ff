from __future__ import annotations

import pytest

from annexkit.bake.dialect import Dialect, Version, dialect_for, parse_version
from annexkit.errors import UsageError


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ((1, 6, 6), Dialect.PACKER_1_6),
        ((1, 7, 0), Dialect.PACKER_1_7),
        ((1, 16, 0), Dialect.PACKER_1_7),
        ((2, 0, 0), Dialect.PACKER_1_7),
    ],
)
def test_the_installed_version_decides(version: Version, dialect: Dialect) -> None:
    assert dialect_for(version) is dialect


@pytest.mark.parametrize("version", [(1, 6, 5), (1, 5, 9), (0, 12, 0)])
def test_one_too_old_for_gp3_is_answered_with_what_to_install(version: Version) -> None:
    with pytest.raises(UsageError, match="is too old") as caught:
        dialect_for(version)
    assert "apt-get install packer" in caught.value.mend


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Packer v1.6.6\n", (1, 6, 6)),
        ("Packer v1.10.0-dev (abc)\n\nYour version is out of date", (1, 10, 0)),
        ("1.14.2", (1, 14, 2)),
    ],
)
def test_the_version_is_read_out_of_what_packer_says(
    said: str, version: Version
) -> None:
    assert parse_version(said) == version


@pytest.mark.parametrize("said", ["", "usage: packer", "v1.6"])
def test_an_unreadable_version_is_shown(said: str) -> None:
    with pytest.raises(UsageError, match=f"it said '{said or 'nothing'}'") as caught:
        parse_version(said)
    assert "apt-get install packer" in caught.value.mend
    assert "install 1.7 or newer" in caught.value.mend


def test_each_dialect_states_the_versions_it_is_for() -> None:
    assert Dialect.PACKER_1_6.required_version == ">= 1.6.6, < 1.7.0"
    assert Dialect.PACKER_1_7.required_version == ">= 1.7.0"
