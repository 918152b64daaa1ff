"""``invoke bake``: what is done, what is left alone, and what a failure costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.bake.index import Unchecked
from annexkit.bake.packer import PackerError
from annexkit.console import Console
from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    Interrupted,
    Level,
    UsageError,
)
from annexkit.flows.fresh_boot import ProofError
from annexkit.registry import State
from tests.unit.flows.bakery import OTHER, REGIONS, Bakery, ec2, make_site, raising
from tests.unit.helpers import NOON, REGION, FakeClock

NOT_RUNNING = ProofError([Finding(Level.ERROR, "check 'condor' failed", mend="look")])


@pytest.fixture
def bakery(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Bakery:
    return Bakery(make_site(tmp_path, clock, cloud), monkeypatch)


def region_of(bakery: Bakery, build: str, region: str = REGION) -> State:
    builds = bakery.site.registry.read().images["debian13"].builds
    return builds[build].regions[region].state


def only_build(bakery: Bakery) -> str:
    (build,) = bakery.site.registry.read().images["debian13"].builds
    return build


def test_a_bake_ends_with_a_proved_current_build(bakery: Bakery) -> None:
    assert bakery.bake() == Exit.DONE
    build = only_build(bakery)
    assert bakery.names().model_dump() == {
        **{"current": build, "previous": None, "candidate": None}
    }
    record = bakery.site.registry.read().images["debian13"].builds[build]
    there = record.regions[REGION]
    assert (there.state, there.verified_at, there.boot_seconds) == ("ready", NOON, 21.5)
    assert [there.ami] == bakery.ours()
    assert record.htcondor == "23.9.6"
    assert bakery.site.journal.entries() == []
    said = bakery.site.cloud.describe_images(REGION, ImageIds=[there.ami])
    assert tags.EXPIRES not in {t["Key"] for t in said[0].get("Tags", [])}


def test_an_equal_build_is_left_alone_with_two_calls(bakery: Bakery) -> None:
    bakery.bake()
    before = bakery.site.registry.path.read_bytes()
    assert bakery.bake() == Exit.DONE
    assert dict(bakery.site.cloud.calls) == {(REGION, "DescribeImages"): 2}
    assert bakery.site.registry.path.read_bytes() == before
    assert len(bakery.proved) == 1


def test_force_bakes_what_has_not_changed_and_keeps_the_old_as_previous(
    bakery: Bakery,
) -> None:
    bakery.bake()
    first = only_build(bakery)
    bakery.site.clock.sleep(5)
    bakery.bake(force=True)
    names = bakery.names()
    assert (names.previous, names.candidate) == (first, None)
    assert names.current not in (None, first)


def test_a_change_of_the_provisioning_bakes_anew(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.bake()
    (bakery.site.root / "provision" / "10-system.sh").write_text("#!/bin/sh\n")
    bakery.site.clock.sleep(5)
    assert bakery.bake() == Exit.DONE
    assert "changed: provision changed" in capsys.readouterr().err
    assert len(bakery.proved) == 2


def test_a_candidate_that_was_never_proved_is_proved_and_not_baked_again(
    bakery: Bakery,
) -> None:
    bakery.proving = raising(Interrupted("stopped by SIGTERM"))
    with pytest.raises(Interrupted):
        bakery.bake()
    build = only_build(bakery)
    assert (region_of(bakery, build), bakery.names().candidate) == ("pending", build)
    bakery.proving = lambda: None
    assert bakery.bake() == Exit.DONE
    assert only_build(bakery) == build
    assert bakery.names().current == build
    assert len(bakery.ours()) == 1


def test_an_equal_build_whose_ami_is_gone_is_retired_and_baked_again(
    bakery: Bakery,
) -> None:
    bakery.bake()
    first = only_build(bakery)
    ec2().amis.pop(bakery.ours()[0])
    bakery.site.clock.sleep(5)
    assert bakery.bake() == Exit.DONE
    assert region_of(bakery, first) == "retired"
    names = bakery.names()
    assert names.current not in (None, first)
    assert names.previous is None, "nothing points at an AMI that is gone"


def test_keep_candidate_leaves_current_where_it_was(bakery: Bakery) -> None:
    bakery.bake()
    first = only_build(bakery)
    bakery.site.clock.sleep(5)
    assert bakery.bake(force=True, keep_candidate=True) == Exit.DONE
    names = bakery.names()
    assert names.current == first
    assert names.candidate not in (None, first)
    assert region_of(bakery, names.candidate or "") == "ready"


def test_a_proved_candidate_becomes_current_without_another_proof(
    bakery: Bakery,
) -> None:
    bakery.bake(keep_candidate=True)
    assert bakery.bake() == Exit.DONE
    assert bakery.names().current == only_build(bakery)
    assert len(bakery.proved) == 1
    assert bakery.changing() == []


def test_a_build_that_fails_its_proof_keeps_the_old_current(bakery: Bakery) -> None:
    bakery.bake()
    first = only_build(bakery)
    bakery.proving = raising(NOT_RUNNING)
    bakery.site.clock.sleep(5)
    assert bakery.bake(force=True) == Exit.FAILED
    names = bakery.names()
    assert (names.current, names.candidate) == (first, None)
    builds = bakery.site.registry.read().images["debian13"].builds
    (failed,) = (b.regions[REGION] for i, b in builds.items() if i != first)
    assert failed.state == "failed"
    assert "check 'condor' failed" in failed.reason
    assert failed.ami in bakery.ours(), "it stays for a look until its expiry"


def test_a_failed_proof_is_told_with_what_becomes_of_the_ami(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.proving = raising(NOT_RUNNING)
    bakery.bake()
    said = capsys.readouterr().err
    assert "error: check 'condor' failed\n  mend: look" in said
    assert "stays for a look until its expiry" in said


def test_a_proof_that_could_not_be_held_says_nothing_about_the_ami(
    bakery: Bakery,
) -> None:
    bakery.proving = raising(AnnexkitError("no room for two instances"))
    assert bakery.bake() == Exit.FAILED
    build = only_build(bakery)
    assert (region_of(bakery, build), bakery.names().candidate) == ("pending", build)
    bakery.proving = lambda: None
    assert bakery.bake() == Exit.DONE
    assert bakery.names().current == build
    assert len(bakery.ours()) == 1


def test_a_region_that_fails_stops_no_other_and_moves_no_pointer(
    bakery: Bakery,
) -> None:
    bakery.packing = {REGION: raising(PackerError("Packer failed at 'x'"))}
    assert bakery.bake(regions=REGIONS) == Exit.PARTLY
    assert bakery.names(REGION).current is None
    assert bakery.names(OTHER).current is not None
    assert bakery.site.journal.entries() == []
    assert bakery.ours(REGION) == [], "what the failed run left was taken away"


def test_all_regions_failing_is_a_failure(bakery: Bakery) -> None:
    bakery.packing = dict.fromkeys(REGIONS, raising(PackerError("no")))
    assert bakery.bake(regions=REGIONS) == Exit.FAILED


def test_a_second_region_moves_only_its_own_pointer(bakery: Bakery) -> None:
    bakery.bake()
    bakery.bake(regions=(OTHER,))
    assert bakery.names(REGION).current != bakery.names(OTHER).current
    assert bakery.names(REGION).previous is None


def test_stopped_in_the_middle_it_cleans_up_and_goes_no_further(
    bakery: Bakery,
) -> None:
    bakery.packing = {REGION: raising(Interrupted("stopped by SIGINT"))}
    before = bakery.site.registry.path.read_bytes()
    with pytest.raises(Interrupted):
        bakery.bake(regions=REGIONS)
    assert bakery.ours(REGION) == bakery.ours(OTHER) == []
    assert bakery.site.journal.entries() == []
    assert bakery.site.registry.path.read_bytes() == before
    assert bakery.proved == []


@pytest.mark.parametrize("force", [False, True])
def test_a_dry_run_changes_nothing(bakery: Bakery, force: bool) -> None:
    before = bakery.site.registry.path.read_bytes()
    assert bakery.bake(dry_run=True, force=force) == Exit.DONE
    assert bakery.changing() == []
    assert bakery.site.registry.path.read_bytes() == before
    assert bakery.site.journal.entries() == []
    assert len(bakery.validated) == 1, "but Packer has checked the template"


def test_a_dry_run_says_what_would_be_done_with_an_unproved_candidate(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.proving = raising(Interrupted("stopped"))
    with pytest.raises(Interrupted):
        bakery.bake()
    assert bakery.bake(dry_run=True) == Exit.DONE
    assert bakery.changing() == []
    said = capsys.readouterr().err
    assert f"would prove build {only_build(bakery)}" in said


def test_an_index_that_cannot_be_asked_counts_as_unchanged(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.bake()
    bakery.offers = Unchecked("the mirror is down")
    assert bakery.bake() == Exit.DONE
    said = capsys.readouterr().err
    assert "was not checked: the mirror is down" in said
    assert "nothing to do" in said
    assert len(bakery.ours()) == 1


def test_the_result_is_told_as_json(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.site.console = Console(as_json=True)
    bakery.packing = {REGION: raising(PackerError("no", mend="look"))}
    bakery.bake(regions=REGIONS)
    told = json.loads(capsys.readouterr().out)
    assert told["regions"][REGION] == {"error": "no -- look", "result": "failed"}
    assert told["regions"][OTHER]["result"] == "current"
    assert told["regions"][OTHER]["build"] == bakery.names(OTHER).current
    assert told["seconds"]["rendering"] > 0


@pytest.mark.parametrize("regions", [("",), (",",), ("", " ")])
def test_a_flag_without_a_region_is_refused(
    bakery: Bakery, regions: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="without a word"):
        bakery.bake(regions=regions)


def test_settings_without_a_region_are_refused(
    bakery: Bakery, tmp_path: Path, cloud: Cloud, clock: FakeClock
) -> None:
    bakery.site = make_site(tmp_path, clock, cloud, bake={"regions": ""})
    with pytest.raises(UsageError, match="no region to bake in"):
        bakery.bake()


def test_what_is_missing_from_the_checkout_is_found_before_any_call_that_costs(
    bakery: Bakery,
) -> None:
    for name in ("provision/hygiene.tsv", "cloud-init/annexkit.yaml"):
        (bakery.site.root / name).unlink()
    with pytest.raises(AnnexkitError) as caught:
        bakery.bake()
    assert [f.mend.rpartition(" ")[2] for f in caught.value.findings] == [
        "provision/hygiene.tsv",
        "cloud-init/annexkit.yaml",
    ]
    assert bakery.changing() == []
