"""``invoke registry.verify`` against moto's EC2."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import registry_move
from annexkit.flows.registry_verify import VerifyRequest, verify_registry
from annexkit.flows.site import Site
from annexkit.publish.standing import Held, Named, Verdict
from annexkit.registry import Registry, RegistryError, State
from annexkit.registry.edits import set_retired
from annexkit.registry.model import Historical
from tests.unit.flows.bakery import ec2
from tests.unit.flows.channels import (
    EAST,
    IMAGE,
    NEW,
    OLD,
    REGIONS,
    ROME,
    WEST,
    Ground,
)

Captured = pytest.CaptureFixture[str]
ASKED = ("DescribeImages", "DescribeSnapshots")


@pytest.fixture
def ground(site: Site) -> Ground:
    """OLD is current in all three regions, NEW is a candidate that is not proved."""
    ground = Ground(site)
    ground.build(OLD)
    ground.build(NEW, state=State.PENDING)
    ground.current(OLD)
    ground.candidate(NEW)
    site.cloud.calls.clear()
    return ground


def verify(
    ground: Ground, capsys: Captured, *regions: str, image: str = ""
) -> tuple[Exit, dict[tuple[str, str], dict[str, Any]], dict[str, int]]:
    """Return the exit code, the lines by build and region, and the counts."""
    capsys.readouterr()
    ground.site.console = Console(as_json=True)
    code = verify_registry(ground.site, VerifyRequest(image, regions))
    said = json.loads(capsys.readouterr().out)
    lines = {(line["build"], line["region"]): line for line in said["amis"]}
    assert len(lines) == len(said["amis"])
    return code, lines, said["counts"]


def retire(ground: Ground, region: str, *, image: bool, snapshot: bool) -> None:
    """Retire OLD in the registry; take away what is asked for."""
    there = ground.there(OLD, region)
    if image:
        del ec2(region).amis[there.ami]
    if snapshot:
        del ec2(region).snapshots[there.snapshot]
    ground.edit(lambda r: set_retired(r, IMAGE, OLD, region, "old"))


def test_what_fits_is_correct_everywhere(ground: Ground, capsys: Captured) -> None:
    code, lines, counts = verify(ground, capsys)
    assert code is Exit.DONE
    assert set(lines) == {(one, region) for one in (OLD, NEW) for region in REGIONS}
    assert counts == {"Correct": 6, "Incorrect": 0, "Missing": 0, "Unreachable": 0}
    west = lines[OLD, WEST]
    assert (west["verdict"], west["what"], west["mend"]) == ("Correct", [], "")
    assert (west["state"], west["channels"]) == ("ready", ["current"])
    assert west["ami"] == ground.there(OLD).ami


def test_it_costs_two_calls_a_region(ground: Ground, capsys: Captured) -> None:
    verify(ground, capsys)
    made = Counter[str]()
    for (region, action), times in ground.calls().items():
        if action != "GetCallerIdentity":
            made[region] += times
    assert made == dict.fromkeys(REGIONS, 2)


def test_people_get_a_line_for_each_and_the_mends(
    ground: Ground, capsys: Captured
) -> None:
    del ec2(EAST).amis[ground.there(OLD, EAST).ami]
    assert verify_registry(ground.site, VerifyRequest()) is Exit.FAILED
    said = capsys.readouterr()
    assert said.out.count("Correct") == 5
    (line,) = [line for line in said.out.splitlines() if "Missing" in line]
    for word in ("debian13", "x86_64", EAST, OLD, "ready", "current", "not exist"):
        assert word in line
    assert "invoke registry.rollback --image debian13" in said.err
    assert "> 5 Correct, 1 Missing" in said.err


def test_what_does_not_fit_is_incorrect_with_all_that_is_wrong(
    ground: Ground, capsys: Captured
) -> None:
    image = ground.image(OLD, EAST)
    image.architecture = "arm64"
    image.add_tags({tags.BUILD: "another"})
    code, lines, counts = verify(ground, capsys)
    assert code is Exit.FAILED
    assert (counts["Incorrect"], counts["Correct"]) == (1, 5)
    assert lines[OLD, EAST]["what"] == [
        "its architecture is arm64, not x86_64",
        f"its tag annexkit:build is another, not {OLD}",
    ]


def test_one_region_that_is_down_stops_no_other(
    ground: Ground, capsys: Captured
) -> None:
    ground.silence(EAST)
    code, lines, counts = verify(ground, capsys)
    assert code is Exit.PARTLY
    assert (counts["Unreachable"], counts["Correct"]) == (2, 4)
    down = lines[OLD, EAST]
    assert down["verdict"] == "Unreachable"
    assert "Could not connect" in down["what"][0]


def test_what_is_wrong_elsewhere_weighs_more_than_a_region_that_is_down(
    ground: Ground, capsys: Captured
) -> None:
    ground.silence(EAST)
    del ec2(WEST).amis[ground.there(NEW).ami]
    code, lines, _ = verify(ground, capsys)
    assert code is Exit.FAILED
    assert lines[NEW, WEST]["verdict"] == "Missing"
    assert "invoke bake --image debian13" in lines[NEW, WEST]["mend"]


def test_when_no_region_answers_it_failed(ground: Ground, capsys: Captured) -> None:
    for region in REGIONS:
        ground.silence(region)
    code, _, counts = verify(ground, capsys)
    assert code is Exit.FAILED
    assert counts["Unreachable"] == 6


def test_a_region_that_is_down_is_mended_once_for_all_its_amis(
    ground: Ground, capsys: Captured
) -> None:
    ground.silence(EAST)
    verify_registry(ground.site, VerifyRequest())
    assert capsys.readouterr().err.count("once the region answers") == 1


@pytest.mark.parametrize(
    ("image", "snapshot", "verdict", "what"),
    [
        (True, True, Verdict.CORRECT, "retired, and gone"),
        (False, False, Verdict.INCORRECT, "it is retired, and still there (available)"),
        (True, False, Verdict.INCORRECT, "still costs"),
    ],
)
def test_what_is_retired_has_to_be_gone(
    ground: Ground,
    capsys: Captured,
    *,
    image: bool,
    snapshot: bool,
    verdict: Verdict,
    what: str,
) -> None:
    retire(ground, EAST, image=image, snapshot=snapshot)
    code, lines, _ = verify(ground, capsys)
    line = lines[OLD, EAST]
    assert line["verdict"] == verdict
    assert what in line["what"][0]
    assert code is (Exit.DONE if verdict is Verdict.CORRECT else Exit.FAILED)


def test_what_is_retired_and_gone_needs_no_line(
    ground: Ground, capsys: Captured
) -> None:
    for region in (EAST, ROME):
        retire(ground, region, image=True, snapshot=True)
    verify_registry(ground.site, VerifyRequest())
    said = capsys.readouterr()
    assert "retired" not in said.out
    assert "2 retired AMIs are gone, as they should be" in said.err


def test_one_image_and_one_region_can_be_asked_for(
    ground: Ground, capsys: Captured
) -> None:
    _, lines, _ = verify(ground, capsys, f"{EAST},{ROME}")
    assert {region for _, region in lines} == {EAST, ROME}
    assert {region for region, _ in ground.calls(*ASKED)} == {EAST, ROME}
    _, lines, _ = verify(ground, capsys, image=IMAGE)
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (VerifyRequest("debain13"), "did you mean 'debian13'"),
        (VerifyRequest(regions=("us-wset-2",)), "did you mean 'us-west-2'"),
        (VerifyRequest(regions=("",)), "without a word"),
    ],
)
def test_what_the_registry_does_not_name_is_refused_before_any_call(
    ground: Ground, request_: VerifyRequest, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        verify_registry(ground.site, request_)
    assert not ground.calls()


def test_an_empty_registry_has_nothing_wrong_and_asks_nobody(
    site: Site, capsys: Captured
) -> None:
    def old_times(registry: Registry) -> None:
        registry.historical = [
            Historical(
                region=WEST,
                ami="ami-ac8890cd",
                system="Amazon Linux",
                htcondor="8.4.2",
                source="guide",
            )
        ]

    site.registry.update(old_times)
    assert verify_registry(site, VerifyRequest()) is Exit.DONE
    said = capsys.readouterr().err
    assert "the registry names no AMI" in said
    assert "1 AMIs of the 2016 guide: never launched, not asked" in said
    assert not site.cloud.calls


def test_the_registry_of_another_account_is_refused_before_any_region(
    ground: Ground,
) -> None:
    def change(registry: Registry) -> None:
        registry.account = "9" * 12

    ground.edit(change)
    with pytest.raises(RegistryError, match="belongs to account"):
        verify_registry(ground.site, VerifyRequest())
    assert ground.calls(*ASKED) == {}


def test_all_regions_are_asked_at_the_same_time(
    ground: Ground, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Barrier(len(REGIONS), timeout=30)  # broken when one waits for another

    def ask(cloud: Cloud, region: str, wanted: list[Named]) -> Held:
        together.wait()
        return Held()

    monkeypatch.setattr(registry_move, "ask", ask)
    _, _, counts = verify(ground, capsys)
    assert counts["Missing"] == 6


def test_the_newest_build_comes_first(ground: Ground, capsys: Captured) -> None:
    later = ground.site.registry.read().images[IMAGE].builds
    assert later[NEW].created - later[OLD].created == timedelta(days=1)
    _, lines, _ = verify(ground, capsys)
    assert [one for one, _ in lines] == [NEW] * 3 + [OLD] * 3
