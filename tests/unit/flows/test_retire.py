"""Old builds go stage by stage, whoever goes on, and nothing else goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.errors import Exit, FindingsError, UsageError
from annexkit.flows import retire
from annexkit.flows.retire import carry_out
from annexkit.flows.site import Site
from annexkit.publish import retire_look
from annexkit.publish.retention import Step
from annexkit.registry import RegistryError, State
from annexkit.settings import Settings
from tests.unit.flows.retiring import ELSEWHERE, Shelf, failing
from tests.unit.helpers import REGION

OLD = 100.0


def changing(site: Site) -> list[str]:
    """Return the calls that changed something."""
    reads = ("Describe", "Get")
    return sorted(a for _, a in site.cloud.calls.elements() if not a.startswith(reads))


def test_an_old_build_goes_stage_by_stage(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    shelf.add(2, 1)
    shelf.current(2)
    assert shelf.run() is Exit.DONE
    image = shelf.described(ami)
    assert image["State"] == "available" and image["DeprecationTime"]
    assert shelf.there(1).reason == "deprecated 2023-11-14: invoke retire"
    assert shelf.steps() == {1: Step.WAIT, 2: Step.KEEP}
    shelf.wait(14.1)
    assert shelf.run() is Exit.DONE
    assert shelf.described(ami)["State"] == "disabled"
    assert shelf.there(1).reason == "disabled 2023-11-29: invoke retire"
    assert shelf.there(1).state is State.READY
    shelf.wait(6.9)
    assert shelf.steps() == {1: Step.WAIT, 2: Step.KEEP}
    shelf.wait(0.2)
    assert shelf.run() is Exit.DONE
    assert shelf.described(ami) is None
    assert shelf.there(1).snapshot not in shelf.snapshots()
    assert shelf.there(1).state is State.RETIRED
    assert shelf.there(1).reason.startswith("gone 2023-12-06: 121 days old")
    assert shelf.steps() == {2: Step.KEEP}
    assert shelf.there(2).snapshot in shelf.snapshots()


def test_what_is_shown_is_what_is_done_and_showing_changes_nothing(
    shelf: Shelf,
) -> None:
    for number in range(1, 5):
        shelf.add(number, OLD + number)
    shelf.site.settings = with_retire(shelf.site, most=3)
    shelf.site.cloud.calls.clear()
    shown = shelf.plan()
    assert changing(shelf.site) == []
    before = shelf.registry
    done = carry_out(shelf.site, shelf.plan())
    assert [(d.verdict.step, d.verdict.copy.place) for d in done] == [
        (v.step, v.copy.place) for v in shown.work
    ]
    assert len(done) == 3 and shelf.registry != before
    again = shelf.plan()
    assert [int(v.copy.build[-6:], 16) for v in again.work] == [1]  # the youngest


def with_retire(site: Site, **changes: object) -> Settings:
    retire = site.settings.retire.model_copy(update=changes)
    return site.settings.model_copy(update={"retire": retire})


def test_a_run_at_once_after_changes_nothing(shelf: Shelf) -> None:
    shelf.add(1, OLD)
    shelf.run()
    shelf.site.cloud.calls.clear()
    assert shelf.run() is Exit.DONE
    assert changing(shelf.site) == []
    assert max(shelf.site.cloud.calls.values()) == 1
    assert len(shelf.site.cloud.calls) == 2  # images and snapshots


def test_a_build_that_is_wanted_again_is_as_it_was(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    shelf.run()
    shelf.wait(15)
    shelf.run()
    assert shelf.described(ami)["State"] == "disabled"
    shelf.current(1)
    assert shelf.steps() == {1: Step.RESTORE}
    assert shelf.run() is Exit.DONE
    image = shelf.described(ami)
    assert image["State"] == "available"
    assert not image.get("DeprecationTime")
    assert [t["Key"] for t in image["Tags"]] == [tags.BUILD]
    assert shelf.there(1).reason == ""
    assert shelf.steps() == {1: Step.KEEP}


def test_a_build_promoted_while_the_run_goes_on_is_left_alone(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    plan = shelf.plan()
    shelf.current(1)
    (done,) = carry_out(shelf.site, plan)
    assert f"its build became current in {REGION} meanwhile" in done.error
    assert not shelf.described(ami).get("DeprecationTime")


def test_a_build_that_left_the_registry_meanwhile_is_left_alone(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    plan = shelf.plan()
    shelf.site.registry.update(lambda r: r.images.clear())
    (done,) = carry_out(shelf.site, plan)
    assert "the registry says something else of it by now" in done.error
    assert not shelf.described(ami).get("DeprecationTime")


def test_one_bad_region_never_stops_the_others(shelf: Shelf) -> None:
    shelf.add(1, OLD, REGION, ELSEWHERE)
    failing(shelf.site, "enable_image_deprecation", region=ELSEWHERE)
    assert shelf.run() is Exit.PARTLY
    assert shelf.there(1).reason and not shelf.there(1, ELSEWHERE).reason


def test_a_region_that_cannot_be_asked_is_told_and_left(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.add(1, OLD, REGION, ELSEWHERE)

    def partly(cloud: Any, region: str) -> Any:
        if region == ELSEWHERE:
            raise AwsError("down", code="Unavailable", action="X", region=region)
        return retire_look.look(cloud, region)

    monkeypatch.setattr(retire, "look", partly)
    assert shelf.run() is Exit.PARTLY
    assert "warning: us-east-1: X in us-east-1: down" in capsys.readouterr().err
    assert shelf.there(1).reason and not shelf.there(1, ELSEWHERE).reason


def test_a_guard_that_cannot_be_asked_counts_for_the_whole_region(
    shelf: Shelf,
) -> None:
    shelf.add(1, OLD, REGION, ELSEWHERE)
    failing(shelf.site, "describe_image_attribute", region=ELSEWHERE)
    plan = shelf.plan()
    assert set(plan.unreachable) == {ELSEWHERE}
    assert {v.copy.region for v in plan.verdicts} == {REGION}
    assert shelf.run() is Exit.PARTLY
    assert shelf.there(1).reason and not shelf.there(1, ELSEWHERE).reason


def test_only_the_regions_that_were_asked_for_are_touched(shelf: Shelf) -> None:
    shelf.add(1, OLD, REGION, ELSEWHERE)
    assert {v.copy.region for v in shelf.plan(ELSEWHERE).verdicts} == {ELSEWHERE}
    with pytest.raises(UsageError, match="no AMI in 'eu-west-1'") as caught:
        shelf.plan("eu-west-1")
    assert caught.value.mend == "it has some in: us-east-1, us-west-2"


def test_what_annexkit_did_not_tag_or_register_is_never_touched(shelf: Shelf) -> None:
    stranger = shelf.add(1, OLD, tagged=False)
    ours, _ = shelf.make(2, REGION)  # tagged, and in no registry of ours
    for _ in range(4):
        assert shelf.run() is Exit.DONE
        shelf.wait(20)
    assert shelf.said()[1][1] == "tag"
    for ami in (stranger, ours):
        image = shelf.described(ami)
        assert image["State"] == "available" and not image.get("DeprecationTime")


def test_a_rule_that_cannot_be_read_stops_before_any_call(shelf: Shelf) -> None:
    shelf.site.settings = with_retire(shelf.site, keep="14 nigths")
    shelf.site.cloud.calls.clear()
    with pytest.raises(FindingsError, match="did you mean 'nights'"):
        shelf.plan()
    assert not shelf.site.cloud.calls


def test_the_registry_of_another_account_is_refused(shelf: Shelf) -> None:
    def another(registry: Any) -> None:
        registry.account = "999999999999"

    shelf.site.registry.update(another)
    with pytest.raises(RegistryError):
        shelf.plan()


def test_an_empty_registry_has_nothing_to_do(shelf: Shelf) -> None:
    assert shelf.plan().verdicts == ()
    assert shelf.run() is Exit.DONE


def test_the_grace_does_not_depend_on_this_machine(shelf: Shelf) -> None:
    """What somebody deprecated by hand 20 days ago has had its grace."""
    ami = shelf.add(1, OLD)
    at = datetime.fromtimestamp(shelf.site.clock.time() + 60, UTC)
    shelf.site.cloud.call(
        REGION, "enable_image_deprecation", ImageId=ami, DeprecateAt=at
    )
    shelf.wait(20)
    assert shelf.steps() == {1: Step.DISABLE}
