from __future__ import annotations

import re

import pytest

from annexkit.rehearsal.site import Addresses, bridge_address
from annexkit.rehearsal.wire import ApiError


def test_an_address_that_was_freed_is_used_again_last() -> None:
    addresses = Addresses("10.0.0.0/28")
    first, second = addresses.take(), addresses.take()
    assert (first, second) == ("10.0.0.10", "10.0.0.11")
    addresses.free(first)
    assert addresses.take() == "10.0.0.12"


def test_a_full_subnet_says_so() -> None:
    addresses = Addresses("10.0.0.0/28")
    taken = [addresses.take() for _ in range(5)]
    assert taken[-1] == "10.0.0.14"
    with pytest.raises(ApiError, match="InsufficientFreeAddressesInSubnet"):
        addresses.take()
    addresses.free("10.0.0.12")
    assert addresses.take() == "10.0.0.12"


def test_a_bridges_address_is_local_and_follows_from_the_rehearsal() -> None:
    assert re.fullmatch(r"02:fe(:[0-9a-f]{2}){4}", bridge_address("0123abcd"))
    assert bridge_address("0123abcd") != bridge_address("0123abce")
