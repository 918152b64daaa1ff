"""Errors carry what is wrong, where, and the mend; findings come all at once."""

from __future__ import annotations

import pytest

from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    FindingsError,
    Interrupted,
    Level,
    UsageError,
    nearest,
    raise_on_errors,
)

BAD = Finding(Level.ERROR, "the sky is green", "sky:1", "paint it")
ODD = Finding(Level.WARNING, "it rains")


def test_an_error_says_where_what_and_mend_in_one_line() -> None:
    error = AnnexkitError("it broke", where="there:7", mend="glue it")
    assert str(error) == "there:7: it broke -- glue it"
    assert error.findings == (Finding(Level.ERROR, "it broke", "there:7", "glue it"),)


def test_an_error_without_where_and_mend_says_only_what() -> None:
    assert str(AnnexkitError("it broke")) == "it broke"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(AnnexkitError, 1), (Interrupted, 1), (UsageError, 2)],
)
def test_the_exit_code_follows_the_kind_of_error(
    kind: type[AnnexkitError], code: int
) -> None:
    assert kind("x").exit_code == code


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {e.name: e.value for e in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "PARTLY": 3,
    }


def test_findings_error_shows_everything_that_was_found() -> None:
    error = FindingsError(iter([ODD, BAD]))
    assert error.findings == (ODD, BAD)
    assert str(error) == "it rains; sky:1: the sky is green -- paint it"
    assert error.exit_code == Exit.USAGE


def test_only_an_error_stops_the_work() -> None:
    raise_on_errors([])
    raise_on_errors(iter([ODD, Finding(Level.INFO, "so so")]))
    with pytest.raises(FindingsError) as caught:
        raise_on_errors(iter([ODD, BAD]))
    assert caught.value.findings == (ODD, BAD)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("regoins", "did you mean 'regions'?"), ("zzz", ""), ("", "")],
)
def test_the_nearest_known_name_is_proposed_if_near_at_all(
    name: str, hint: str
) -> None:
    assert nearest(name, {"regions": 1, "image": 2}) == hint
