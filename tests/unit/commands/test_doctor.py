"""The task ``doctor``: what it hands to the flow, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke import Collection, Program

import tasks
from annexkit.commands import shared
from annexkit.flows import doctor as flow
from annexkit.flows.doctor import DoctorRequest
from annexkit.flows.site import Site

ROOT = Path(__file__).parents[3]


def invoke(*argv: str) -> int:
    program = Program(namespace=Collection.from_module(tasks))
    try:
        program.run(["invoke", "-f", str(ROOT / "invoke.yaml"), *argv])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    calls: list[object] = []

    def examine(site: Site, request: DoctorRequest) -> int:
        calls.append((site.console.as_json, request))
        return 1

    monkeypatch.setattr(flow, "doctor", examine)
    monkeypatch.setattr(shared, "ROOT", tmp_path)
    return calls


def test_the_flags_reach_the_flow(asked: list[object]) -> None:
    assert invoke("doctor", "--region", "eu-west-1", "--count", "9", "--json") == 1
    assert asked == [(True, DoctorRequest("eu-west-1", {"count": "9"}))]


def test_without_a_flag_all_is_left_to_the_settings(asked: list[object]) -> None:
    assert invoke("doctor") == 1
    assert asked == [(False, DoctorRequest())]
