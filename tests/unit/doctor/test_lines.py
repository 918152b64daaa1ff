from __future__ import annotations

import pytest

from annexkit.aws import AwsError
from annexkit.doctor.lines import (
    Line,
    Missing,
    Status,
    as_json,
    counted,
    of_error,
    of_finding,
    ok,
    page,
    setting,
    unchecked,
    verdict,
    warning,
    wrong,
)
from annexkit.errors import Exit, Finding, FindingsError, Level

ALL = [
    ok("one", "well"),
    warning("two", "hm\n  hm", mend="do\nthis"),
    wrong("three", "bad", where="here", mend="do that"),
    unchecked("four", "who knows"),
]


def aws(code: str, *, refused: bool = True) -> AwsError:
    return AwsError("no", code=code, action="A", region="r", refused=refused)


@pytest.mark.parametrize(
    ("lines", "code"), [(ALL, Exit.FAILED), ([ALL[0], ALL[1], ALL[3]], Exit.DONE)]
)
def test_only_what_is_wrong_fails(lines: list[Line], code: Exit) -> None:
    assert verdict(lines) is code
    assert as_json(lines)["exit"] == code


def test_the_page_has_a_row_a_line_its_mend_and_the_sum() -> None:
    assert page(ALL).splitlines() == [
        "ok           one    well",
        "warning      two    hm hm",
        "                    mend: do this",
        "wrong        three  bad [here]",
        "                    mend: do that",
        "not checked  four   who knows",
        "",
        "1 ok, 1 warning, 1 wrong, 1 not checked",
    ]
    assert page([]).endswith("0 not checked")


def test_the_page_for_machines_holds_the_same() -> None:
    said = as_json(ALL, region="r")
    assert said["region"] == "r"
    assert said["lines"][2] == {
        "check": "three",
        "status": "wrong",
        "what": "bad",
        "where": "here",
        "mend": "do that",
    }
    assert said["counts"] == {"ok": 1, "warning": 1, "wrong": 1, "not checked": 1}
    assert sum(counted(ALL).values()) == 4


@pytest.mark.parametrize(
    ("level", "mend", "status"),
    [
        (Level.ERROR, "", Status.WRONG),
        (Level.WARNING, "x", Status.WARNING),
        (Level.INFO, "", Status.OK),
        (Level.INFO, "look there", Status.UNCHECKED),
    ],
)
def test_a_finding_becomes_a_line(level: Level, mend: str, status: Status) -> None:
    line = of_finding("c", Finding(level, "what", "where", mend))
    assert line == Line("c", status, "what", "where", mend)


@pytest.mark.parametrize(
    ("code", "needed", "status"),
    [
        ("UnauthorizedOperation", True, Status.WRONG),
        ("AccessDenied", False, Status.UNCHECKED),
        ("ExpiredToken", True, Status.WRONG),
        ("NoSuchResourceException", False, Status.UNCHECKED),
        ("RequestLimitExceeded", True, Status.UNCHECKED),
        ("ThrottlingException", True, Status.UNCHECKED),
        ("EndpointConnectionError", True, Status.UNCHECKED),
        ("ReadTimeoutError", True, Status.UNCHECKED),
        ("InternalError", True, Status.UNCHECKED),
        ("OptInRequired", True, Status.WRONG),
    ],
)
def test_an_error_of_aws_is_wrong_or_tells_nothing(
    code: str, needed: bool, status: Status
) -> None:
    [line] = of_error("c", aws(code), needed=needed)
    assert line.status is status
    assert line.mend
    assert line.where == "A in r"


def test_other_errors_are_wrong_one_line_a_finding() -> None:
    found = [Finding(Level.ERROR, "a"), Finding(Level.WARNING, "b")]
    lines = of_error("c", FindingsError(found), needed=False)
    assert [line.status for line in lines] == [Status.WRONG, Status.WARNING]


def test_what_has_nothing_to_start_from_names_the_other_check() -> None:
    [line] = of_error("c", Missing("network"))
    assert line.status is Status.UNCHECKED
    assert "'network'" in line.what


@pytest.mark.parametrize(
    ("value", "typed"),
    [("debian13", "debian13"), ("", "''"), ("a,b", "a,b"), ("a b", "'a b'")],
)
def test_another_value_is_exported_as_a_shell_reads_it(value: str, typed: str) -> None:
    said = setting("bake.image", value)
    assert said == f"export INVOKE_ANNEXKIT_BAKE_IMAGE={typed}"
