"""The smoke of a build in many regions: what is missing is done, and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit import tags
from annexkit.errors import AnnexkitError, Interrupted, UsageError
from annexkit.flows.regionwise import Ended
from annexkit.flows.smoke import Smoked
from annexkit.flows.smoke_regions import (
    GoneError,
    plan_regions,
    smoke_regions,
)
from annexkit.instance_values import from_tags
from annexkit.registry import Registry, State
from annexkit.registry.edits import set_failed
from tests.unit.flows.copying import EAST, NORTH, WEST, there
from tests.unit.flows.fake_images import refusal
from tests.unit.flows.smoking import PLANNED, SMOKED, Smoke, a_smoke, wrong
from tests.unit.helpers import AMI, BUILD, NOON, REGION, FakeClock, ami_id

IMAGE = "debian13"


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Smoke:
    return a_smoke(tmp_path, clock, monkeypatch, EAST, WEST)


def smoked(world: Smoke, *regions: str) -> list[Ended[Smoked]]:
    return smoke_regions(world.site, IMAGE, BUILD, regions)


def marked(world: Smoke, region: str) -> str | None:
    """Return the expiry that the AMI of a region carries."""
    (said,) = world.images.of(region)
    return from_tags(said["Tags"]).get(tags.EXPIRES)


def test_each_region_is_smoked_recorded_and_has_no_expiry_any_more(
    world: Smoke,
) -> None:
    ended = smoked(world, EAST, WEST)
    assert ended == [Ended(EAST, SMOKED), Ended(WEST, SMOKED)]
    assert world.places == sorted((EAST, WEST))
    for region in (EAST, WEST):
        found = there(world.site, region)
        assert (found.state, found.verified_at) == (State.READY, NOON)
        assert found.boot_seconds == 12.5
        assert marked(world, region) is None
        names = world.site.registry.read().channel(IMAGE, "x86_64", region)
        assert (names.candidate, names.current) == (BUILD, None), "no pointer moved"


def test_the_ami_of_the_region_is_what_is_booted(world: Smoke) -> None:
    smoked(world, EAST)
    (subject,) = world.smoked
    assert subject.ami == there(world.site, EAST).ami != AMI
    assert (subject.build_id, subject.region) == (BUILD, EAST)
    assert subject.image.name == IMAGE


def test_a_second_run_does_nothing_with_one_call_a_region(world: Smoke) -> None:
    smoked(world, EAST, WEST)
    world.images.calls.clear()
    before = world.site.registry.path.read_bytes()
    assert smoked(world, REGION, EAST, WEST) == [
        Ended(REGION),
        Ended(EAST),
        Ended(WEST),
    ]
    assert len(world.smoked) == 2
    assert world.site.registry.path.read_bytes() == before
    assert world.images.calls == {
        (region, "describe_images"): 1 for region in (REGION, EAST, WEST)
    }


def test_the_ami_outlives_its_own_smoke(world: Smoke, clock: FakeClock) -> None:
    clock.sleep(100_000)  # long past the expiry that the copy was given
    seen: list[float] = []
    world.during = lambda: seen.append(float(marked(world, EAST) or 0))
    smoked(world, EAST)
    assert seen[0] >= int(clock.time() + 1800)


def test_what_fails_is_recorded_and_stays_for_a_look(world: Smoke) -> None:
    world.errors[EAST] = wrong()
    east, west = smoked(world, EAST, WEST)
    assert west == Ended(WEST, SMOKED)
    assert east.error is not None and "stays for a look" in str(east.error)
    found = there(world.site, EAST)
    assert found.state is State.FAILED and "held" in found.reason
    assert marked(world, EAST), "the reaper takes it in the end"
    names = world.site.registry.read().channel(IMAGE, "x86_64", EAST)
    assert (names.candidate, names.current) == (None, None)


@pytest.mark.parametrize(
    "error",
    [
        refusal("VcpuLimitExceeded", "RunInstances", EAST),
        refusal("EndpointConnectionError", "RunInstances", EAST, refused=False),
        AnnexkitError("no login within 300 s"),
        Interrupted("stopped"),
    ],
    ids=lambda error: error.what[:20],
)
def test_what_says_nothing_about_the_ami_leaves_it_a_candidate(
    world: Smoke, error: AnnexkitError
) -> None:
    world.errors[EAST] = error
    assert smoked(world, EAST)[0].error is error
    assert there(world.site, EAST).state is State.PENDING
    del world.errors[EAST]
    assert smoked(world, EAST) == [Ended(EAST, SMOKED)]


def test_a_run_that_was_stopped_before_the_expiry_came_off_is_finished(
    world: Smoke,
) -> None:
    down = refusal("EndpointConnectionError", "DeleteTags", EAST, refused=False)
    world.images.errors[EAST, "delete_tags"] = [down]
    assert smoked(world, EAST)[0].error is down
    assert there(world.site, EAST).state is State.READY and marked(world, EAST)
    assert smoked(world, EAST) == [Ended(EAST)]
    assert len(world.smoked) == 1 and marked(world, EAST) is None


def test_a_region_that_does_not_answer_stops_no_other(world: Smoke) -> None:
    down = refusal("EndpointConnectionError", "DescribeImages", WEST, refused=False)
    world.images.errors[WEST, "describe_images"] = [down]
    east, west = smoked(world, EAST, WEST)
    assert east == Ended(EAST, SMOKED) and west.error is down
    assert there(world.site, WEST).state is State.PENDING


@pytest.mark.parametrize("ready", [False, True])
def test_an_ami_that_is_gone_is_struck_from_the_record(
    world: Smoke, ready: bool
) -> None:
    if ready:
        smoked(world, EAST)
        world.smoked.clear()
    ami = there(world.site, EAST).ami
    assert ami
    del world.images.images[EAST, ami]
    (ended,) = smoked(world, EAST)
    assert isinstance(ended.error, GoneError) and "invoke copy" in ended.error.mend
    assert there(world.site, EAST).state is State.RETIRED
    assert world.smoked == []


def test_a_copy_that_is_not_there_yet_is_left_alone(world: Smoke) -> None:
    (said,) = world.images.of(EAST)
    said["State"] = "pending"
    world.images.looks[EAST] = 9
    (ended,) = smoked(world, EAST)
    assert "is pending" in str(ended.error)
    assert there(world.site, EAST).state is State.PENDING
    assert world.smoked == []


@pytest.mark.parametrize("known", [False, True])
def test_where_there_is_no_copy_it_says_how_to_make_one(
    world: Smoke, known: bool
) -> None:
    region = NORTH
    if known:
        region = EAST
        world.site.registry.update(
            lambda r: set_failed(r, IMAGE, BUILD, EAST, "it did not boot")
        )
    (ended,) = smoked(world, region)
    assert ended.error is not None and "invoke copy" in ended.error.mend
    assert ("it did not boot" in str(ended.error)) is known
    assert world.smoked == []


def test_a_build_is_not_judged_by_the_checks_of_another(world: Smoke) -> None:
    (world.site.root / "provision" / "units.tsv").write_text("another\n")
    (ended,) = smoked(world, EAST)
    assert isinstance(ended.error, UsageError)
    assert "was made from" in str(ended.error)
    assert there(world.site, EAST).state is State.PENDING
    assert world.smoked == []


def test_an_old_build_of_which_nothing_is_recorded_is_smoked(world: Smoke) -> None:
    def forget(registry: Registry) -> None:
        registry.images[IMAGE].builds[BUILD].parts.clear()

    world.site.registry.update(forget)
    assert smoked(world, EAST) == [Ended(EAST, SMOKED)]


def test_what_somebody_else_put_there_meanwhile_is_not_called_proved(
    world: Smoke,
) -> None:
    def replace(registry: Registry) -> None:
        registry.images[IMAGE].builds[BUILD].regions[EAST].ami = ami_id(0xBEEF)

    world.during = lambda: world.site.registry.update(replace)
    (ended,) = smoked(world, EAST)
    assert "not the AMI of build" in str(ended.error)
    assert there(world.site, EAST).state is State.PENDING


def test_no_such_build(world: Smoke) -> None:
    with pytest.raises(UsageError, match="no build"):
        smoke_regions(world.site, IMAGE, "20200101T000000-000000", (EAST,))
    with pytest.raises(UsageError):
        smoke_regions(world.site, "nothing", BUILD, (EAST,))


def test_a_plan_changes_nothing(world: Smoke) -> None:
    smoked(world, WEST)
    before = world.site.registry.path.read_bytes()
    world.images.calls.clear()
    world.errors[NORTH] = wrong()
    east, west, north = plan_regions(world.site, IMAGE, BUILD, (EAST, WEST, NORTH))
    assert (east, west) == (Ended(EAST, PLANNED), Ended(WEST))
    assert north.error is not None
    assert world.site.registry.path.read_bytes() == before
    assert {method for _, method in world.images.calls} == {"describe_images"}
    assert world.places == [WEST]
