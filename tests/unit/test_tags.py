"""The expiry tag is read strictly: what is no number never expires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit import tags


def test_every_tag_of_ours_carries_our_prefix() -> None:
    names = (tags.BUILD, tags.EXPIRES, tags.IMAGE, tags.OWNER)
    assert all(name.startswith(tags.PREFIX) for name in names)
    assert len(set(names)) == 4


@given(st.integers(0, 2**40))
def test_an_expiry_is_epoch_seconds(moment: int) -> None:
    assert tags.expiry({tags.EXPIRES: str(moment)}) == moment


@pytest.mark.parametrize("text", ["", "tomorrow", "2024-05-17", "1 700"])
def test_a_value_that_is_no_number_counts_as_unsaid(text: str) -> None:
    assert tags.expiry({tags.EXPIRES: text}) is None
    assert tags.expiry({}) is None


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1_700", "1e3", "١"])
def test_a_number_that_is_no_moment_counts_as_unsaid(text: str) -> None:
    assert tags.expiry({tags.EXPIRES: text}) is None
