"""What `invoke smoke` says before and after it, and its exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annexkit.console import Console
from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.flows import smoke_regions
from annexkit.flows.publish_request import PublishRequest
from annexkit.flows.smoke_report import smoke_and_report
from tests.unit.flows.copying import EAST, WEST
from tests.unit.flows.smoking import SMOKED, Smoke, a_smoke, wrong
from tests.unit.helpers import BUILD, REGION, FakeClock

BOTH = PublishRequest(regions=(EAST, WEST))


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Smoke:
    return a_smoke(tmp_path, clock, monkeypatch, EAST, WEST)


@pytest.mark.parametrize(
    ("bad", "code"),
    [((), Exit.DONE), ((WEST,), Exit.PARTLY), ((EAST, WEST), Exit.FAILED)],
)
def test_the_exit_code_tells_how_many_regions_failed(
    world: Smoke, bad: tuple[str, ...], code: Exit
) -> None:
    world.errors = {region: wrong() for region in bad}
    assert smoke_and_report(world.site, BOTH) == code


def test_machines_are_told_every_figure(
    world: Smoke, capsys: pytest.CaptureFixture[str]
) -> None:
    world.site.console = Console(as_json=True)
    world.errors = {WEST: wrong()}
    capsys.readouterr()
    smoke_and_report(world.site, PublishRequest(regions=(EAST, WEST, REGION)))
    said = json.loads(capsys.readouterr().out)
    assert (said["build"], said["cost"]) == (BUILD, SMOKED.cost)
    east, west, home = (said["regions"][r] for r in (EAST, WEST, REGION))
    assert east["result"] == "ready" and east["ami"].startswith("ami-")
    for name in ("boot_seconds", "job_seconds", "ended_seconds", "cost"):
        assert east[name] == getattr(SMOKED, name)
    assert west["result"] == "failed" and "held" in west["reason"]
    assert home["result"] == "nothing to do"


def test_trouble_is_not_called_a_failure_of_the_ami(
    world: Smoke, capsys: pytest.CaptureFixture[str]
) -> None:
    world.errors = {EAST: AnnexkitError("the quota is used up")}
    assert smoke_and_report(world.site, BOTH) == Exit.PARTLY
    said = capsys.readouterr().out
    assert "not smoked" in said and "the quota is used up" in said


def test_an_unknown_price_makes_the_sum_unknown(
    world: Smoke, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = replace(SMOKED, cost=None)
    monkeypatch.setattr(smoke_regions, "smoke", lambda *_: free)
    smoke_and_report(world.site, BOTH)
    assert "an unknown price for what passed" in capsys.readouterr().out


def test_a_dry_run_says_what_it_would_cost_and_changes_nothing(
    world: Smoke, capsys: pytest.CaptureFixture[str]
) -> None:
    before = world.site.registry.path.read_bytes()
    request = replace(BOTH, regions=(EAST, REGION), dry_run=True)
    assert smoke_and_report(world.site, request) == Exit.DONE
    said = capsys.readouterr().out
    assert "t3.micro" in said and "about $0.0052" in said and "nothing to do" in said
    assert world.smoked == []
    assert world.site.registry.path.read_bytes() == before
    world.errors = {EAST: AnnexkitError("no such type")}
    assert smoke_and_report(world.site, request) == Exit.PARTLY
    assert "no such type" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (PublishRequest(), "no region to smoke: none is named"),
        (PublishRequest(regions=(EAST,), build="20200101T000000-000000"), "no build"),
        (PublishRequest(regions=(EAST,), arch="sparc"), "no current build"),
    ],
)
def test_what_cannot_be_smoked_is_said(
    world: Smoke, request_: PublishRequest, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        smoke_and_report(world.site, request_)
    assert "invoke copy" not in caught.value.mend, "what was typed was another task"
