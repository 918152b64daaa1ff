"""What a night is to do for each image, before anything is done."""

from __future__ import annotations

import pytest

from annexkit.errors import AnnexkitError, FindingsError
from annexkit.flows.nightly_look import look_everywhere
from annexkit.flows.nightly_plan import (
    ImagePlan,
    Planned,
    Wanted,
    make_plans,
    wanted_images,
)
from annexkit.registry import Registry, State
from annexkit.registry.edits import set_failed, set_retired
from annexkit.settings import Settings
from tests.unit.flows.bakery import ec2, nothing, raising
from tests.unit.flows.shift import ALL, EAST, HOME, IMAGE, Shift

MINE = Wanted(IMAGE, "x86_64")


def planned(shift: Shift, *wanted: Wanted) -> list[Planned]:
    return make_plans(
        shift.site, wanted or (MINE,), HOME, look_everywhere(shift.site, ALL)
    )


def plan(shift: Shift) -> ImagePlan:
    (one,) = planned(shift)
    assert one.plan, one.error
    return one.plan


def two_equal(shift: Shift) -> list[str]:
    """Make two builds of one input; the newer one is not proved yet."""
    shift.run()
    shift.offer("curl")
    shift.bakery.proving = raising(AnnexkitError("no quota"))
    shift.run()
    shift.offer()
    return shift.builds


def edit(shift: Shift, build: str, region: str, state: State) -> None:
    def change(registry: Registry) -> None:
        put = set_retired if state is State.RETIRED else set_failed
        put(registry, IMAGE, build, region, "odd")

    shift.site.registry.update(change)


def test_the_images_are_those_asked_for_else_the_settings_else_the_bakes(
    shift: Shift,
) -> None:
    assert wanted_images(shift.site, ()) == [MINE]
    given = {"images": "debian13/arm64, alma9, alma9"}
    nightly = Settings.model_validate({"nightly": given}).nightly
    shift.site.settings = shift.site.settings.model_copy(update={"nightly": nightly})
    assert wanted_images(shift.site, ()) == [
        Wanted(IMAGE, "arm64"),
        Wanted("alma9", "x86_64"),
    ]
    assert wanted_images(shift.site, (IMAGE,)) == [MINE]


def test_everything_that_is_wrong_with_the_words_is_said_at_once(shift: Shift) -> None:
    with pytest.raises(FindingsError) as caught:
        wanted_images(shift.site, ("debain13", "alma9/sparc", "debian13/"))
    assert [finding.what for finding in caught.value.findings] == [
        "there is no image 'debain13'",
        "there is no architecture 'sparc'",
        "there is no architecture ''",
    ]


def test_the_newest_of_equal_builds_is_gone_on_with_even_before_it_is_proved(
    shift: Shift,
) -> None:
    old, new = two_equal(shift)
    found = plan(shift)
    assert found.going_on and found.going_on[0] == new
    assert (found.before, found.changed) == (old, True)


@pytest.mark.parametrize("state", [State.FAILED, State.RETIRED])
def test_where_the_newest_is_of_no_use_an_older_equal_one_is(
    shift: Shift, state: State
) -> None:
    old, new = two_equal(shift)
    edit(shift, new, HOME, state)
    found = plan(shift)
    assert found.going_on and found.going_on[0] == old


def test_a_candidate_that_vanished_is_baked_anew_and_struck(shift: Shift) -> None:
    shift.bakery.proving = raising(AnnexkitError("no quota"))
    shift.run()
    (build,) = shift.builds
    there = shift.there(HOME)
    assert there.state is State.PENDING
    assert plan(shift).candidate == there
    del ec2(HOME).amis[there.ami]
    found = plan(shift)
    assert (found.going_on, found.candidate) == (None, None)
    shift.bakery.proving = nothing
    assert shift.run() == 0
    assert shift.there(HOME, build).state is State.RETIRED


def test_what_repositories_offer_of_another_series_keeps_the_image_from_a_bake(
    shift: Shift,
) -> None:
    shift.bakery.edit("packer/images/debian13.pkrvars.hcl", '"23.9"', '"24.0"')
    (one,) = planned(shift)
    assert one.error and "HTCondor 24.0 is wanted" in str(one.error)


def test_an_architecture_that_a_recipe_lacks_is_told_for_this_image_alone(
    shift: Shift,
) -> None:
    arm = Wanted("al2023", "arm64")
    shift.bakery.edit("packer/images/al2023.pkrvars.hcl", "arm64", "none")
    good, bad = planned(shift, MINE, arm)
    assert good.plan and bad.error


def test_a_plan_changes_nothing_in_ec2_or_the_registry(shift: Shift) -> None:
    shift.run()
    before = shift.site.registry.path.read_bytes()
    shift.site.cloud.calls.clear()
    plan(shift)
    assert shift.site.registry.path.read_bytes() == before
    assert {action for _, action in shift.site.cloud.calls} == {"DescribeImages"}
    assert shift.calls()[HOME] == {"DescribeImages": 2}
    assert shift.calls()[EAST] == {"DescribeImages": 1}
