from __future__ import annotations

import re

import pytest

from annexkit.publish.night import Did
from annexkit.publish.page_style import DARK, LIGHT, PAIRS, sheet


def luminance(color: str) -> float:
    """Return the relative luminance of a color (WCAG 2.2)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_everything_can_be_read(
    theme: dict[str, str], front: str, back: str, least: float
) -> None:
    assert contrast(theme[front], theme[back]) >= least


def test_both_themes_have_every_colour_that_the_rules_use() -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", sheet()))
    assert used == set(LIGHT) == set(DARK)
    assert used - {"line"} == {name for pair in PAIRS for name in pair[:2]}


@pytest.mark.parametrize("did", list(Did))
def test_every_state_has_a_shape_of_its_own(did: Did) -> None:
    shapes = {
        one: re.findall(rf"\.w\.{one}::before{{([^}}]+)}}", sheet()) for one in Did
    }
    assert len(shapes[did]) == 1
    assert [one for one in Did if shapes[one] == shapes[did]] == [did]


def test_nothing_is_fetched() -> None:
    assert not re.search(r"url\(|@import|@font-face|https?:|</", sheet())
    assert sheet().count("{") == sheet().count("}")
