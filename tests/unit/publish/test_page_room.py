from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

from annexkit.publish import page_room
from annexkit.publish.page_room import ROOMS, Room, fitted
from tests.unit.publish import nights


def test_there_is_less_room_from_step_to_step() -> None:
    for more, less in pairwise(ROOMS):
        assert all(a >= b for a, b in zip(astuple(more), astuple(less), strict=True))
        assert more != less


def test_the_fullest_page_that_fits_is_taken() -> None:
    night = nights.quiet()
    assert fitted(night, lambda room: "ä" * room.packages, 600) == "ä" * 300
    assert fitted(night, lambda room: "ä" * room.packages, 599) == "ä" * 150
    assert fitted(night, lambda _: "too much", 3) is None


def test_a_page_that_cannot_fit_is_not_tried() -> None:
    night, tried = nights.huge(4, 1, 2000), list[Room]()

    def render(room: Room) -> str:
        tried.append(room)
        return "short"

    assert fitted(night, render, 60_000) == "short"
    assert [room.packages for room in tried] == [300]


def test_what_failed_is_kept_longest() -> None:
    night = nights.red()
    kept = page_room.images(night, 2)
    assert [(n, image.image) for n, image in kept] == [
        (0, "debian13"),
        (1, "alma9-osg"),
    ]
    night.images.reverse()
    assert [n for n, _ in page_room.images(night, 2)] == [1, 2]
    shown, left_out = page_room.regions(nights.red().images[0], 4)
    assert list(shown) == ["ap-northeast-1", "ap-south-1", "eu-west-1", "sa-east-1"]
    assert left_out == 12
    lines, more, stay = page_room.retired(nights.red(), 2)
    assert [one.step for one in lines] == ["disable", "deprecate"]
    assert (more, stay) == (1, 2)
