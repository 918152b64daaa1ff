"""A whole suite in which machine tests are missing must not pass."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.machine_count import SUITES, WANTED, shortfall

NUMBERS = json.loads(WANTED.read_text(encoding="utf-8"))


def config(
    markexpr: str = "not matrix", keyword: str = "", args: tuple[str, ...] = ("tests",)
) -> pytest.Config:
    option = SimpleNamespace(markexpr=markexpr, keyword=keyword)
    said: Any = SimpleNamespace(
        option=option, args=list(args), getini=lambda _: ["tests"]
    )
    return cast(pytest.Config, said)


@pytest.fixture(autouse=True)
def _required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNEXKIT_REQUIRE_MACHINES", "1")


@pytest.mark.parametrize(("markexpr", "suite"), SUITES.items())
def test_one_too_few_is_said_and_enough_is_enough(markexpr: str, suite: str) -> None:
    wanted = NUMBERS[suite]
    assert str(wanted) in shortfall(config(markexpr), wanted - 1)
    assert shortfall(config(markexpr), wanted) == ""


def test_a_person_who_chose_some_tests_gets_just_those() -> None:
    assert shortfall(config(keyword="boot"), 0) == ""
    assert shortfall(config(args=("tests/unit",)), 0) == ""
    assert shortfall(config(markexpr="matrix"), 0) == ""


def test_without_the_variable_skipping_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANNEXKIT_REQUIRE_MACHINES")
    assert shortfall(config(), 0) == ""


def test_the_committed_numbers_ask_for_real_machines() -> None:
    assert 0 < NUMBERS["test"] < NUMBERS["test-all"]
