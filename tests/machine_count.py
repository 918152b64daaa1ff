"""Hooks of pytest: a run that must use machines may not pass by skipping them."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

WANTED = Path(__file__).with_name("machine_tests.json")
# As the Makefile runs them, and as one run with all that needs no machine.
SUITES = {
    "machines and not matrix": "test",
    "machines": "test-all",
    "not matrix": "test",
    "": "test-all",
}
RAN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the list of machine tests that really ran."""
    config.stash[RAN] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note each test marked ``machines`` whose body ran to its end."""
    report = yield
    ran = report.when == "call" and not report.skipped
    if ran and item.get_closest_marker("machines"):
        item.config.stash[RAN].append(item.nodeid)
    return report


def shortfall(config: pytest.Config, ran: int) -> str:
    """Say how many machine tests are missing; empty when none, or none were asked.

    Only whole suites count: a person who chose some tests gets just those.
    """
    suite = SUITES.get(config.option.markexpr)
    chosen = config.option.keyword or config.args != config.getini("testpaths")
    if os.environ.get("ANNEXKIT_REQUIRE_MACHINES") != "1" or suite is None or chosen:
        return ""
    wanted = int(json.loads(WANTED.read_text(encoding="utf-8"))[suite])
    if ran >= wanted:
        return ""
    return f"only {ran} machine tests ran, {WANTED.name} wants {wanted} for {suite}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which too few machine tests ran."""
    if shortfall(session.config, len(session.config.stash[RAN])):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many machine tests ran, and whether that was enough."""
    ran = len(config.stash[RAN])
    terminalreporter.write_line(f"machine tests run: {ran}")
    if missing := shortfall(config, ran):
        terminalreporter.write_line(f"ERROR: {missing}", red=True)
