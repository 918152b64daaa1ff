from __future__ import annotations

import pytest

from annexkit.publish import page
from annexkit.publish.night import Did, Night, RegionNight, StepNight
from annexkit.publish.page import RESUME, Verdict
from annexkit.publish.page_headline import headline
from tests.unit.publish import nights


@pytest.mark.parametrize(
    ("night", "found", "line"),
    [
        (
            nights.quiet(),
            Verdict.QUIET,
            "Nothing to do: 2 images are unchanged in 16 regions",
        ),
        (
            nights.busy(),
            Verdict.CHANGED,
            f"Changed: debian13 x86_64: build {nights.NEW} (HTCondor 23.9.6+dfsg-2.1 "
            "→ 23.10.18+dfsg-1, kernel, container runtime, 10 other packages) is "
            "in place in 16 regions; old AMIs: 1 deprecated, 1 disabled, "
            "1 deregistered; updates of alma9 x86_64 were not checked",
        ),
        (
            nights.red(),
            Verdict.FAILED,
            "Failed: debian13 x86_64 (copy in ap-south-1, smoke in eu-west-1 and "
            "sa-east-1); alma9-osg x86_64 (bake); retirement",
        ),
        (
            nights.a_night(nights.unchanged("debian13"), ended=None),
            Verdict.UNFINISHED,
            "Not finished: it began, and did not end: it still runs, or it was stopped",
        ),
        (
            nights.a_night(),
            Verdict.QUIET,
            "Nothing to do: there are no images",
        ),
    ],
    ids=["quiet", "busy", "red", "unfinished", "empty"],
)
def test_the_first_line_says_whether_there_is_anything_to_read(
    night: Night, found: Verdict, line: str
) -> None:
    assert page.verdict(night) is found
    assert str(headline(night)) == line


def test_what_could_not_be_checked_is_said_of_a_quiet_night() -> None:
    night = nights.quiet()
    night.images[1].unchecked = "the index of trixie-security cannot be read"
    assert page.verdict(night) is Verdict.QUIET
    assert str(headline(night)).endswith(
        "; updates of debian13-c25 x86_64 were not checked"
    )


def test_a_look_that_finds_a_region_without_its_copy_has_something_to_say() -> None:
    image = nights.unchanged("debian13")
    image.regions["eu-west-1"] = RegionNight()
    night = nights.a_night(image, dry_run=True)
    assert page.verdict(night) is Verdict.CHANGED
    assert str(headline(night)).startswith(
        "Would change: debian13 x86_64 would get what it lacks: unchanged since build"
    )


def test_a_night_that_ended_with_a_step_left_to_take_is_not_finished() -> None:
    image = nights.changed("debian13")
    image.regions["eu-west-1"].promote = StepNight()
    night = nights.a_night(image)
    assert page.verdict(night) is Verdict.UNFINISHED
    assert str(headline(night)) == (
        "Not finished: nothing failed, and yet steps were not taken: debian13 x86_64"
    )
    assert [one.mend for one in page.actions(night)] == [RESUME]


def test_a_build_that_is_left_alone_is_no_news() -> None:
    image = nights.unchanged("debian13").model_copy(update={"boot": StepNight()})
    assert page.verdict(nights.a_night(image)) is Verdict.QUIET


def test_a_retirement_that_failed_is_told_once() -> None:
    night = nights.busy()
    night.retired[0].error = "UnauthorizedOperation"
    assert len(list(page.failures(night))) == 1
    night.retire = nights.failed("ami-1: UnauthorizedOperation", "invoke retire")
    assert [one.error for one in page.failures(night)] == [
        "ami-1: UnauthorizedOperation"
    ]


def test_a_look_says_what_would_be() -> None:
    image = nights.an_image("debian13", changed=True, why=["a newer HTCondor: 23.10"])
    night = nights.a_night(image, dry_run=True)
    assert str(headline(night)) == (
        "Would change: debian13 x86_64 would get a new build: a newer HTCondor: 23.10"
    )


def test_what_an_earlier_night_left_undone_is_a_change_when_it_is_done() -> None:
    night = nights.quiet()
    there = night.images[0].regions["eu-west-1"]
    there.copied, there.smoke, there.promote = (nights.done(1) for _ in range(3))
    assert page.verdict(night) is Verdict.CHANGED
    assert f"debian13 x86_64: build {nights.OLD} is in place in 16 regions" in str(
        headline(night)
    )


def test_a_retirement_alone_is_a_change_and_what_stays_is_none() -> None:
    night = nights.quiet()
    night.retired = nights.retirement()[3:]  # keep, wait
    assert page.verdict(night) is Verdict.QUIET
    night.retired = nights.retirement()[:1]
    assert str(headline(night)) == "Changed: old AMIs: 1 deprecated"


def test_a_long_night_still_has_a_short_first_line() -> None:
    line = str(headline(nights.huge(40, 1)))
    assert line == (
        "Changed: 40 images: debian13-0 x86_64, debian13-1 x86_64, debian13-2 x86_64 "
        "and 37 more"
    )
    night = nights.huge(40, 4)
    for image in night.images:
        image.regions["ap-south-1"].smoke = nights.failed("no", "invoke doctor")
    assert len(str(headline(night))) < 400


def test_each_command_comes_once_in_order_and_the_resumption_last() -> None:
    night = nights.red()
    night.images[0].regions["eu-west-2"].copied = nights.failed("no", RESUME)
    night.images[0].regions["eu-west-3"].copied = nights.failed("down", "invoke doctor")
    found = page.actions(night)
    assert [one.mend for one in found] == [
        "invoke doctor",
        "invoke why i-0abc --region eu-west-1",
        "invoke why i-0abc --region sa-east-1",
        "see that the repository answers, then: invoke bake --image alma9-osg",
        "invoke retire",
        RESUME,
    ]
    assert [one.region for one in found[0].failures] == ["ap-south-1", "eu-west-3"]
    assert found[-1].failures[0].where == "debian13 x86_64, copy in eu-west-2"


def test_a_failure_without_a_mend_is_told_before_the_resumption() -> None:
    night = nights.quiet()
    night.images[0].boot = nights.failed("it did not boot", "")
    [action] = page.actions(night)
    assert action.mend == RESUME
    assert action.failures[0].error == "it did not boot"


def test_a_night_without_trouble_needs_nothing() -> None:
    assert page.actions(nights.quiet()) == page.actions(nights.busy()) == []


def test_a_look_is_not_resumed() -> None:
    night = nights.red()
    night.dry_run = True
    assert RESUME not in [one.mend for one in page.actions(night)]


def test_an_image_ends_as_its_worst_step_did() -> None:
    image = nights.changed("debian13")
    assert page.state_of(image) is Did.DONE
    image.regions["eu-west-1"].smoke = nights.failed("no", "")
    assert page.state_of(image) is Did.FAILED
    assert page.state_of(nights.unchanged("debian13")) is Did.UNCHANGED
    assert page.state_of(nights.an_image("debian13", changed=True)) is Did.WAITING


def test_regions_that_are_all_alike_are_known() -> None:
    waiting = {region: RegionNight() for region in ("eu-west-1", "us-east-1")}
    same = page.same_everywhere
    assert same(nights.unchanged("debian13")) is Did.UNCHANGED
    assert same(nights.an_image("debian13", regions=waiting)) is Did.WAITING
    assert same(nights.changed("debian13")) is None
    assert same(nights.an_image("debian13")) is None
    waiting["eu-west-1"].copied = nights.SAME
    assert same(nights.an_image("debian13", regions=waiting)) is None


def test_the_cost_is_that_of_all_steps() -> None:
    image = nights.an_image("debian13", bake=nights.done(1, 0.5))
    image.boot = nights.done(1, 0.25)
    image.regions["eu-west-1"] = RegionNight(smoke=nights.done(1, 0.125))
    night = nights.a_night(image, retire=StepNight(did=Did.DONE, cost=1.0))
    assert page.tonight(night) == 1.875
