"""Every flag of the annex commands reaches its flow, as Invoke itself reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import annexes
from annexkit.errors import UsageError
from annexkit.flows import (
    annex_extend,
    annex_receipt,
    annex_status,
    annex_terminate,
    launch_annex,
    teardown,
    verify_annex,
    why,
)
from annexkit.flows.annex_extend import ExtendRequest
from annexkit.flows.annex_terminate import TerminateRequest
from annexkit.flows.launch_request import LaunchRequest
from annexkit.sections import LaunchSettings

SITE = SimpleNamespace(settings=SimpleNamespace(launch=LaunchSettings()))
FLOWS: tuple[tuple[Any, str], ...] = (
    (launch_annex, "launch_annex"),
    (verify_annex, "verify_annex"),
    (why, "why"),
    (annex_status, "show_status"),
    (annex_extend, "extend"),
    (annex_terminate, "terminate"),
    (annex_receipt, "show_receipt"),
    (teardown, "teardown"),
)


class Heard:
    """What a command handed to its flow."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.given: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self.as_json: list[bool] = []
        self.error: UsageError | None = None
        self.code = 0
        patch.setattr(annexes, "site_of", self.site)
        for module, name in FLOWS:
            patch.setattr(module, name, self.flow)

    def site(self, _: Any, as_json: bool = False) -> Any:
        self.as_json.append(as_json)
        return SITE

    def flow(self, site: Any, *given: Any, **options: Any) -> int:
        assert site is SITE
        self.given, self.options = given, options
        if self.error:
            raise self.error
        return self.code

    def invoke(self, line: str) -> int:
        """Run one command line; return its exit code."""
        program = Program(namespace=Collection.from_module(annexes))
        with pytest.raises(SystemExit) as ended:
            program.run(["invoke", *line.split(" ")])
            raise SystemExit(0)
        return int(ended.value.code or 0)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


def test_only_flags_that_were_given_go_over_settings(heard: Heard) -> None:
    assert heard.invoke("launch") == 0
    assert heard.given == (LaunchRequest({}),)


def test_every_flag_of_a_launch_has_the_name_of_its_setting(heard: Heard) -> None:
    heard.invoke(
        "launch --annex-name grid --count 3 --channel candidate --instance-type a,b "
        "--market spot --lease 3h --idle 5m --owner bob --max-hourly-cost 1 "
        "--image other --region us-east-1 --canary --dry-run --json"
    )
    (request,) = heard.given
    assert request.flags == {
        "annex_name": "grid",
        "count": "3",
        "channel": "candidate",
        "instance_types": "a,b",
        "market": "spot",
        "lease": "3h",
        "idle": "5m",
        "owner": "bob",
        "max_hourly_cost": "1",
    }
    assert set(request.flags) <= set(LaunchSettings.model_fields)
    assert (request.image, request.region) == ("other", "us-east-1")
    assert (request.canary, request.dry_run) == (True, True)
    assert heard.as_json == [True]


@pytest.mark.parametrize(
    ("line", "given", "options"),
    [
        ("verify --annex-name grid --region r", ("grid", "r"), {}),
        ("verify", ("annex", ""), {}),
        ("why i-0123 --region r", ("i-0123", "r"), {}),
        ("status", ("", ()), {}),
        ("status --annex-name g --region a --region b", ("g", ("a", "b")), {}),
        (
            "extend --annex-name g --lease 3h --region r --force --dry-run",
            (ExtendRequest("g", "3h", "", ("r",), True, True),),
            {},
        ),
        (
            "extend --until 2026-11-23T18:00Z",
            (ExtendRequest("annex", "", "2026-11-23T18:00Z", (), False, False),),
            {},
        ),
        (
            "terminate --annex-name g --region r --yes --drain",
            (TerminateRequest("g", ("r",), True, True),),
            {},
        ),
        ("terminate", (TerminateRequest("annex", (), False, False),), {}),
        ("receipt --annex-name g --region r", ("g", ("r",)), {}),
        (
            "teardown",
            ((),),
            {"everywhere": False, "yes": False, "dry_run": False},
        ),
        (
            "teardown --region r --all-regions --yes --dry-run",
            (("r",),),
            {"everywhere": True, "yes": True, "dry_run": True},
        ),
    ],
)
def test_flags_reach_the_flow(
    heard: Heard, line: str, given: tuple[Any, ...], options: dict[str, Any]
) -> None:
    assert heard.invoke(line) == 0
    assert (heard.given, heard.options) == (given, options)


@pytest.mark.parametrize("command", ["terminate", "extend", "verify", "receipt"])
def test_a_name_that_is_empty_is_not_the_one_of_the_settings(
    heard: Heard, command: str
) -> None:
    """An empty variable of a shell must not end another annex."""
    heard.invoke(f"{command} --annex-name ")
    (first, *_) = heard.given
    assert getattr(first, "annex_name", first) == ""


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_result_is_the_exit_code(heard: Heard, code: int) -> None:
    heard.code = code
    assert heard.invoke("launch") == code


def test_an_error_is_shown_with_its_mend_and_is_the_exit_code(
    heard: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    heard.error = UsageError("no", where="--count", mend="write a number")
    assert heard.invoke("launch --count x") == 2
    said = capsys.readouterr().err
    assert "--count: no" in said
    assert "mend: write a number" in said
    assert "Traceback" not in said
