"""What a copy asks for, and what what lies in a region means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.amis import Ami
from annexkit.errors import UsageError
from annexkit.publish.copies import Request, sort_out, sources
from annexkit.registry import State
from tests.unit.helpers import AMI, BUILD, REGION, a_build, ami_id, in_region

SOURCE = Ami(AMI, REGION, name="annexkit-x", state="available", encrypted=False)
OTHER = "us-east-1"


def request(*useless: str, region: str = OTHER, expires: float = 10.0) -> Request:
    return Request(SOURCE, BUILD, region, expires, useless=frozenset(useless))


def test_the_token_is_the_attempts_own() -> None:
    assert request().token == request(expires=99.0).token
    assert request("ami-2", "ami-1").token == request("ami-1", "ami-2").token
    tokens = {request().token, request("ami-1").token, request(region=REGION).token}
    assert len(tokens) == 3
    assert all(len(token) == 64 for token in tokens)


def test_nothing_is_encrypted_that_nobody_wants_encrypted() -> None:
    assert not {"Encrypted", "KmsKeyId"} & set(request().parameters())


@given(st.lists(st.sampled_from(["pending", "available", "failed", "disabled"])))
def test_what_is_made_comes_before_what_is_in_the_making(states: list[str]) -> None:
    found = sort_out(
        Ami(ami_id(n), OTHER, state=state) for n, state in enumerate(states)
    )
    usable = found.usable.state if found.usable else None
    if "available" in states:
        assert usable == "available"
    else:
        assert usable == ("pending" if "pending" in states else None)
    assert [ami.state for ami in found.failed] == [s for s in states if s == "failed"]


def test_the_home_region_is_copied_from_first() -> None:
    ready = {
        region: in_region(State.READY, ami_id(n))
        for n, region in enumerate(("af-south-1", REGION, OTHER))
    }
    build = a_build({**ready, "eu-west-1": in_region()})
    assert [region for region, _ in sources(BUILD, build, OTHER)] == [
        *(OTHER, "af-south-1", REGION)
    ]


def test_what_is_proved_nowhere_is_no_source() -> None:
    with pytest.raises(UsageError, match="proved in no region"):
        sources(BUILD, a_build({REGION: in_region()}), REGION)
