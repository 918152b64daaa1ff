"""The reaper as a person meets it: list, ask, act, report."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import reap
from annexkit.flows.reap_report import reap_and_report
from annexkit.flows.site import Site
from annexkit.sweep.find import Thing, find_things
from tests.unit.helpers import BUILD, REGION

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def volume(site: Site) -> str:
    """Something of ours that is past its time."""
    return expired(site)


def expired(site: Site) -> str:
    said = site.cloud.call(
        REGION,
        "create_volume",
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [
                    {"Key": tags.BUILD, "Value": BUILD},
                    {"Key": tags.EXPIRES, "Value": str(int(site.clock.time()) - 1)},
                ],
            }
        ],
    )
    return str(said["VolumeId"])


def volumes(cloud: Cloud) -> list[str]:
    return [v["VolumeId"] for v in cloud.pages(REGION, "describe_volumes", "Volumes")]


def test_reap_takes_on_yes_and_says_what(
    site: Site, volume: str, capsys: Captured
) -> None:
    assert reap_and_report(site, (), yes=True, dry_run=False) == Exit.DONE
    assert volumes(site.cloud) == []
    assert f"took volume {volume} in {REGION}" in capsys.readouterr().err


def test_reap_without_anybody_to_ask_takes_nothing(
    site: Site, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # a pipe is nobody
    with pytest.raises(UsageError, match="nobody is here to ask") as caught:
        reap_and_report(site, (), yes=False, dry_run=False)
    assert caught.value.mend == "invoke reap --yes"
    assert volumes(site.cloud) == [volume]


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("", 1), ("no", 1)])
def test_reap_asks_a_person(
    site: Site,
    volume: str,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    reap_and_report(site, (), yes=False, dry_run=False)
    assert len(volumes(site.cloud)) == left


def answering(patch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let a person say yes, after something happened."""

    def ask(_: str) -> str:
        meanwhile()
        return "y"

    patch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    patch.setattr("builtins.input", ask)


def test_what_was_proved_while_the_question_stood_is_not_taken(
    site: Site, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def proved() -> None:
        site.cloud.call(
            REGION, "delete_tags", Resources=[volume], Tags=[{"Key": tags.EXPIRES}]
        )

    answering(monkeypatch, proved)
    assert reap_and_report(site, (), yes=False, dry_run=False) == Exit.DONE
    assert volumes(site.cloud) == [volume]


def test_what_nobody_was_asked_about_is_not_taken(
    site: Site, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[str] = []
    answering(monkeypatch, lambda: later.append(expired(site)))
    assert reap_and_report(site, (), yes=False, dry_run=False) == Exit.DONE
    assert volumes(site.cloud) == later


def test_a_dry_reap_only_lists(site: Site, volume: str, capsys: Captured) -> None:
    site.console = Console(as_json=True)
    site.cloud.calls.clear()
    assert reap_and_report(site, (REGION,), yes=True, dry_run=True) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert [(f["id"], f["fate"]) for f in told["found"]] == [(volume, "take")]
    assert told["taken"] == []
    assert {a for _, a in site.cloud.calls if not a.startswith("Describe")} <= {
        "GetCallerIdentity"
    }


def test_nothing_to_take_is_told(site: Site, capsys: Captured) -> None:
    assert reap_and_report(site, (), yes=False, dry_run=False) == Exit.DONE
    assert "nothing to take in 2 regions" in capsys.readouterr().out


def test_a_region_that_cannot_be_asked_is_told_and_the_others_are_reaped(
    site: Site, volume: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(cloud: Cloud, region: str, prefix: str) -> list[Thing]:
        if region != REGION:
            raise AwsError("no", code="OptInRequired", action="X", region=region)
        return find_things(cloud, region, prefix)

    monkeypatch.setattr(reap, "find_things", find)
    assert reap_and_report(site, (), yes=True, dry_run=False) == Exit.PARTLY
    assert volumes(site.cloud) == []
    assert "warning: us-east-1: X in us-east-1: no" in capsys.readouterr().err


def test_a_thing_that_resists_is_told_and_makes_it_partly_done(
    site: Site, volume: str, capsys: Captured
) -> None:
    call = site.cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "delete_volume":
            raise AwsError("no", code="Odd", action="DeleteVolume", region=region)
        return call(region, method, **arguments)

    site.cloud.call = refuse  # type: ignore[method-assign]
    assert reap_and_report(site, (), yes=True, dry_run=False) == Exit.PARTLY
    assert f"error: {volume}: " in capsys.readouterr().err


def test_an_empty_region_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a word"):
        reap_and_report(site, ("",), yes=True, dry_run=False)
