"""What a region gets of a build by copying, and what it is when it gets none."""

from __future__ import annotations

import pytest

from annexkit.registry import Registry, State
from annexkit.registry.edits import EditError, promote, put_copy, put_failure
from annexkit.registry.store import dump
from tests.unit.helpers import REGION, ami_id
from tests.unit.registry.test_edits import IMAGE, A, names, prove, with_builds


def copied(registry: Registry, ami: int, region: str = "eu-west-1") -> None:
    put_copy(registry, IMAGE, A, region, ami=ami_id(ami), snapshot="")


def test_a_copy_is_its_regions_candidate() -> None:
    registry = with_builds(A)
    copied(registry, 7)
    there = registry.images[IMAGE].builds[A].regions["eu-west-1"]
    assert (there.ami, there.snapshot, there.state) == (ami_id(7), None, State.PENDING)
    assert names(registry, "eu-west-1") == (None, None, A)
    dump(registry)


def test_a_proved_copy_stays_proved_when_it_is_found_again() -> None:
    registry = with_builds(A)
    copied(registry, 7)
    prove(registry, A, "eu-west-1")
    promote(registry, IMAGE, A, "eu-west-1")
    snapshot = "snap-00000000000000001"
    put_copy(registry, IMAGE, A, "eu-west-1", ami=ami_id(7), snapshot=snapshot)
    there = registry.images[IMAGE].builds[A].regions["eu-west-1"]
    assert (there.snapshot, there.state) == (snapshot, State.READY)
    assert names(registry, "eu-west-1") == (A, None, None)


def test_a_proved_ami_is_not_replaced_by_another() -> None:
    registry = with_builds(A)
    with pytest.raises(EditError, match="meanwhile"):
        copied(registry, 99, REGION)


def test_a_region_that_got_nothing_says_why() -> None:
    registry = with_builds(A)
    put_failure(registry, IMAGE, A, "eu-west-1", reason="down", anew=False)
    there = registry.images[IMAGE].builds[A].regions["eu-west-1"]
    assert (there.ami, there.state, there.reason) == (None, State.FAILED, "down")


@pytest.mark.parametrize(("anew", "state"), [(True, "failed"), (False, "pending")])
def test_a_copy_is_given_up_only_when_it_is_of_no_use(anew: bool, state: str) -> None:
    registry = with_builds(A)
    copied(registry, 7)
    put_failure(registry, IMAGE, A, "eu-west-1", reason="no", anew=anew)
    there = registry.images[IMAGE].builds[A].regions["eu-west-1"]
    assert (there.ami, str(there.state)) == (ami_id(7), state)
    candidate = None if anew else A
    assert names(registry, "eu-west-1") == (None, None, candidate)


def test_no_failure_takes_a_proved_ami_away() -> None:
    registry = with_builds(A)
    put_failure(registry, IMAGE, A, REGION, reason="no", anew=True)
    assert registry.images[IMAGE].builds[A].regions[REGION].state is State.READY


def test_a_build_that_somebody_took_out_meanwhile_is_an_error_for_people() -> None:
    registry = with_builds(A)
    with pytest.raises(EditError, match=f"have build {A} in eu-west-1 any more"):
        promote(registry, IMAGE, A, "eu-west-1")
    del registry.images[IMAGE].builds[A]
    with pytest.raises(EditError, match=f"no build {A} of image '{IMAGE}' any more"):
        copied(registry, 7)
    registry.images.clear()
    with pytest.raises(EditError, match="no build") as caught:
        copied(registry, 7)
    assert "git log" in caught.value.mend
