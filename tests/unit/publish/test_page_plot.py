from __future__ import annotations

import re
from datetime import timedelta
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.publish.night import BootNight, ImageNight
from annexkit.publish.page_plot import BOTTOM, TOP, in_words, plot, scale, trend
from tests.unit.publish import nights


def image(*boots: tuple[int, str, float]) -> ImageNight:
    return nights.an_image(
        "debian13",
        boots=[
            BootNight(
                build=f"b{day}",
                region=region,
                created=nights.BEGAN + timedelta(days=day),
                seconds=seconds,
            )
            for day, region, seconds in boots
        ],
    )


def drawn(of: ImageNight, most: int = 30) -> Element:
    parent = Element("section")
    plot(parent, of, most, "x")
    return parent


def test_the_line_is_the_home_regions_and_the_bars_are_the_others() -> None:
    found = trend(
        image(
            *((2, nights.HOME, 40.0), (2, "eu-west-1", 52.0), (2, "us-east-1", 38.0)),
            *((1, nights.HOME, 30.0), (1, "eu-west-1", 31.0)),
        ),
        30,
    )
    assert found.line == nights.HOME
    assert [(p.build, p.line, p.low, p.high, p.regions) for p in found.points] == [
        ("b1", 30.0, 30.0, 31.0, 2),
        ("b2", 40.0, 38.0, 52.0, 3),
    ]


def test_without_the_home_region_the_line_is_the_median() -> None:
    boots = [(1, "a", 30.0), (1, "b", 50.0), (1, "c", 31.0), (2, "a", 20.0)]
    found = trend(image(*boots), 30)
    assert found.line == ""
    assert [point.line for point in found.points] == [31.0, 20.0]


def test_only_the_last_builds_are_drawn() -> None:
    boots = [(day, nights.HOME, 30.0 + day) for day in range(40)]
    assert [p.build for p in trend(image(*boots), 3).points] == ["b37", "b38", "b39"]
    assert trend(image(*boots), 0).points == ()


@pytest.mark.parametrize(
    ("highest", "step", "top"),
    [
        *[(0, 1, 1), (3.2, 1, 4), (41, 20, 60), (60, 20, 60), (130, 60, 180)],
        *[(600, 300, 600), (50_000, 12_500, 50_000)],
    ],
)
def test_the_axis_has_few_round_lines(highest: float, step: int, top: float) -> None:
    assert scale(highest) == (step, top)


@given(st.floats(0, 1e6))
def test_every_time_is_on_the_axis(highest: float) -> None:
    step, top = scale(highest)
    assert highest <= top
    assert top / step <= 5


def test_what_is_drawn_is_where_the_numbers_say() -> None:
    of = image((1, nights.HOME, 0.0), (2, nights.HOME, 40.0), (2, "eu-west-1", 20.0))
    svg = drawn(of).find("figure/svg")
    assert svg is not None
    dots = [(c.get("cx"), float(c.get("cy", ""))) for c in svg.iter("circle")]
    assert dots == [("2%", BOTTOM), ("98%", TOP)]  # the axis ends at 40 s
    [bar] = [line for line in svg.iter("line") if line.get("class") == "r"]
    assert float(bar.get("y1", "")) == (TOP + BOTTOM) / 2
    assert float(bar.get("y2", "")) == TOP
    assert bar.get("x1") == bar.get("x2") == "98%"
    texts = [text.text for text in svg.iter("text")]
    assert texts == [
        *("0 s", "10 s", "20 s", "30 s", "40 s", "2026-11-24", "2026-11-25", "40 s")
    ]


def test_the_plot_says_in_words_what_it_shows() -> None:
    section = drawn(nights.changed("debian13"))
    svg = section.find("figure/svg")
    assert svg is not None
    assert svg.get("role") == "img"
    ids = {child.get("id") for child in svg if child.get("id")}
    assert set((svg.get("aria-labelledby") or "").split()) == ids == {"xt", "xd"}
    assert (svg.findtext("title"), svg.findtext("desc")) == (
        "Boot times of debian13 x86_64",
        in_words(trend(nights.changed("debian13"), 30)),
    )
    assert re.fullmatch(
        r"14 builds; us-west-2: 37 s on 2026-11-09, 34 s on 2026-11-22; slowest of "
        r"all: 5\d s on 2026-11-\d\d\.",
        svg.findtext("desc") or "",
    )
    key = " ".join("".join(p.itertext()) for p in section.iter("p"))
    assert "us-west-2 (home)" in key
    assert "fastest to slowest of 16 regions" in key


def test_one_build_is_a_point_without_a_line() -> None:
    section = drawn(image((1, nights.HOME, 31.0)))
    assert [c.get("cx") for c in section.iter("circle")] == ["50%"]
    assert {line.get("class") for line in section.iter("line")} == {"g", "h"}
    svg = section.find("figure/svg")
    assert svg is not None  # the only line "h" is the sample of the key
    assert all(line.get("class") == "g" for line in svg.iter("line"))


def test_no_boot_times_is_no_plot() -> None:
    assert len(drawn(image())) == 0
