"""``invoke retire`` as a person meets it: shown first, done on --yes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from annexkit.aws import AwsError
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import retire
from annexkit.flows.retire import Done, RetirePlan, carry_out, terms_of
from annexkit.flows.retire_report import (
    Cost,
    RetireRequest,
    cost_of,
    retire_and_report,
)
from annexkit.flows.site import Site
from annexkit.publish.retention import Copy, Seen, Step, Verdict
from annexkit.settings import Settings, load
from annexkit.stopping import Stop
from tests.unit.flows.retiring import ELSEWHERE, Shelf
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]
OLD = 100.0


@pytest.mark.parametrize(
    "request_",
    [RetireRequest(no_pool=True), RetireRequest(yes=True, dry_run=True, no_pool=True)],
    ids=["plain", "dry-run"],
)
def test_without_yes_it_is_only_shown(
    shelf: Shelf, capsys: Captured, request_: RetireRequest
) -> None:
    ami = shelf.add(1, OLD)
    kept = shelf.add(2, 3)
    assert retire_and_report(shelf.site, request_) is Exit.DONE
    said = capsys.readouterr()
    assert "nothing was changed; to do it: invoke retire --yes" in said.out
    assert "1 keep, 1 deprecate, in 1 region" in said.out
    assert "the rule: 14 nights, 8 weeks, current and previous always" in said.err
    rows = {line.split()[5]: line for line in said.out.splitlines() if "ami-" in line}
    assert rows[ami].split()[0] == "deprecate"
    assert rows[ami].rstrip().endswith("100 days old: no part of the rule keeps it")
    assert rows[kept].split()[0] == "keep"
    assert "14 nights" in rows[kept] and "3 days old" in rows[kept]
    assert not shelf.described(ami).get("DeprecationTime")


def test_nothing_to_do_is_told(shelf: Shelf, capsys: Captured) -> None:
    shelf.add(1, 1)
    assert shelf.run() is Exit.DONE
    assert "nothing to do" in capsys.readouterr().out


def test_each_step_is_told_as_it_is_taken(shelf: Shelf, capsys: Captured) -> None:
    ami = shelf.add(1, OLD)
    did = []
    for days in (15.0, 8.0, 0.0):
        shelf.run()
        did += [x for x in capsys.readouterr().err.splitlines() if ami in x]
        shelf.wait(days)
    assert did == [
        f"> deprecated {ami} in {REGION}",
        f"> disabled {ami} in {REGION}",
        f"> deregistered, with its snapshots, {ami} in {REGION}",
    ]


def test_json_has_a_rule_and_a_reason_for_every_ami(
    shelf: Shelf, capsys: Captured
) -> None:
    ami = shelf.add(1, OLD)
    kept = shelf.add(2, 3)
    shelf.site.console = Console(as_json=True)
    assert shelf.run() is Exit.DONE
    told = json.loads(capsys.readouterr().out)
    by = {one["ami"]: one for one in told["amis"]}
    assert by[ami]["step"] == "deprecate" and by[ami]["age_days"] == 100
    assert by[kept] | {"gib_at_most": 0} == {
        "step": "keep",
        "by": "14 nights",
        "reason": "3 days old",
        "image": "debian13",
        "arch": "x86_64",
        "region": REGION,
        "build": "20230101T000000-000002",
        "ami": kept,
        "age_days": 3,
        "gib_at_most": 0,
    }
    assert by[kept]["gib_at_most"] == 15.0  # moto's snapshots
    assert told["done"] == [{"step": "deprecate", "region": REGION, "ami": ami}]
    assert told["failed"] == [] and told["unreachable"] == {}
    assert told["monthly_cost_at_most"] == {
        "before": 1.5,
        "after": 1.5,
        "later": 0.75,
    }


def test_a_step_that_fails_is_told_and_makes_it_partly_done(
    shelf: Shelf, capsys: Captured
) -> None:
    ami = shelf.add(1, OLD)
    other = shelf.add(2, OLD - 1)
    call = shelf.site.cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "enable_image_deprecation" and arguments["ImageId"] == ami:
            raise AwsError("no", code="Odd", action="X", region=region)
        return call(region, method, **arguments)

    shelf.site.cloud.call = refuse  # type: ignore[method-assign]
    shelf.site.console = Console(as_json=True)
    assert shelf.run() is Exit.PARTLY
    said = capsys.readouterr()
    assert f"error: {ami}: " in said.err
    told = json.loads(said.out)
    assert [one["ami"] for one in told["failed"]] == [ami]
    assert "no (Odd)" in told["failed"][0]["error"]
    assert [one["ami"] for one in told["done"]] == [other]


def test_what_was_taken_before_a_signal_is_recorded_and_nothing_begins_after(
    shelf: Shelf,
) -> None:
    first, second = shelf.add(1, OLD), shelf.add(2, OLD - 1)

    def stop(_: Done) -> None:
        raise Stop("SIGTERM")

    with pytest.raises(Stop):
        carry_out(shelf.site, shelf.plan(), stop)
    assert shelf.described(first)["DeprecationTime"]
    assert shelf.there(1).reason
    assert not shelf.described(second).get("DeprecationTime")
    assert shelf.steps()[2] is Step.DEPRECATE


def test_an_empty_region_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="without a word"):
        retire_and_report(site, RetireRequest(("",)))


def test_regions_may_be_given_with_commas(shelf: Shelf, capsys: Captured) -> None:
    shelf.add(1, 1, REGION, ELSEWHERE)
    request = RetireRequest((f"{REGION},{ELSEWHERE}",), no_pool=True)
    assert retire_and_report(shelf.site, request) is Exit.DONE
    assert "2 keep, in 2 regions" in capsys.readouterr().out


def test_the_cost_counts_what_is_gone_and_what_is_going(site: Site) -> None:
    def verdict(step: Step, size: float, *, gone: bool = False) -> Verdict:
        seen = None if gone else Seen(size=size)
        copy = Copy(
            "i", "x86_64", REGION, "b", f"ami-{size}", 0.0, seen=seen, left_size=size
        )
        return Verdict(copy, step, "", "")

    plan = RetirePlan(
        terms_of(site),
        (
            verdict(Step.KEEP, 1),
            verdict(Step.RESTORE, 2),
            verdict(Step.WAIT, 4),
            verdict(Step.DEPRECATE, 8),
            verdict(Step.DEREGISTER, 16),
            verdict(Step.CLEAR, 32, gone=True),
        ),
        (REGION,),
    )
    cost = cost_of(plan, 0.5)
    assert cost == Cost(before=31.5, after=7.5, later=1.5)
    assert str(cost).startswith(
        "snapshots cost at most $31.50 a month now, $7.50 after this run, $1.50 when"
    )


def test_a_snapshots_own_size_counts_not_that_of_its_disk(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(1, OLD)
    pages = shelf.site.cloud.pages

    def full(region: str, method: str, key: str, **asked: Any) -> Any:
        for said in pages(region, method, key, **asked):
            size = {"FullSnapshotSizeInBytes": 3 << 29}
            yield said | size if method == "describe_snapshots" else said

    monkeypatch.setattr(shelf.site.cloud, "pages", full)
    (verdict,) = shelf.plan().verdicts
    assert verdict.copy.size == 1.5


def test_the_settings_of_the_file_are_the_defaults() -> None:
    text = (Path(__file__).parents[3] / "invoke.yaml").read_text()
    given = load(yaml.safe_load(text)["annexkit"])
    assert given.retire == Settings().retire


@pytest.mark.parametrize(
    "wrong", [{"grace": "1m"}, {"disabled": 0}, {"most": 0}, {"snapshot_price": -1}]
)
def test_settings_that_would_skip_a_stage_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"annexkit\.retire"):
        load({"retire": wrong})


def test_a_plan_says_which_regions_did_not_answer(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    shelf.add(1, OLD)

    def down(_: Any, region: str) -> Any:
        raise AwsError("down", code="Unavailable", action="X", region=region)

    monkeypatch.setattr(retire, "look", down)
    shelf.site.console = Console(as_json=True)
    assert retire_and_report(shelf.site, RetireRequest()) is Exit.PARTLY
    told = json.loads(capsys.readouterr().out)
    assert list(told["unreachable"]) == [REGION] and told["amis"] == []
