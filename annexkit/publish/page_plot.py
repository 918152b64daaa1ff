"""The boot times of an image's builds, drawn as SVG that fits any width.

Along the builds everything is placed in percent, upwards in pixels: the letters stay as
large on a phone as they are on a wide screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from xml.etree.ElementTree import Element

from annexkit.publish.night import BootNight, ImageNight
from annexkit.publish.page import name_of
from annexkit.publish.page_elements import add, then
from annexkit.publish.page_words import counted, plain, took

TOP, BOTTOM, HEIGHT = 18.0, 192.0, 220  # pixels
LEFT, RIGHT = 2.0, 98.0  # percent
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds


@dataclass(frozen=True)
class Point:
    """One build: its time on the line, and the fastest and slowest region. Seconds."""

    build: str
    created: datetime
    line: float
    low: float
    high: float
    regions: int


@dataclass(frozen=True)
class Trend:
    """The builds in order of time; ``line`` says whose times the line shows."""

    line: str
    points: tuple[Point, ...]


def trend(image: ImageNight, most: int) -> Trend:
    """Return the boot times of the last *most* builds.

    The line is the home region's where it has been measured in most of the builds,
    otherwise the median of the regions of each.
    """
    by_build: dict[str, list[BootNight]] = {}
    for one in image.boots:
        by_build.setdefault(one.build, []).append(one)
    of = sorted(by_build.values(), key=lambda ones: min(o.created for o in ones))
    of = of[-most:] if most else []
    at_home = [ones for ones in of if _of_region(ones, image.home)]
    if at_home and 2 * len(at_home) > len(of):
        return Trend(image.home, tuple(_point(ones, image.home) for ones in at_home))
    return Trend("", tuple(_point(ones, "") for ones in of))


def plot(parent: Element, image: ImageNight, most: int, name: str) -> None:
    """Add the plot of an image's boot times, if there are any.

    :param name: an id of the page that nothing else has.
    """
    found = trend(image, most)
    if not found.points:
        return
    step, top = scale(max(point.high for point in found.points))
    figure = add(parent, "figure", class_="plot")
    add(figure, "figcaption", "Boot: seconds from launch to SSH login, by build")
    svg = add(
        figure,
        "svg",
        width="100%",
        height=str(HEIGHT),
        role="img",
        aria_labelledby=f"{name}t {name}d",
    )
    add(svg, "title", f"Boot times of {plain(name_of(image), 100)}", id=f"{name}t")
    add(svg, "desc", in_words(found), id=f"{name}d")
    _axes(svg, found, step, top)
    _ranges(svg, found, top)
    _line(svg, found, top)
    _key(figure, found)


def scale(highest: float) -> tuple[int, float]:
    """Return the distance of the grid's lines and the top of the axis, in seconds."""
    step = next((s for s in STEPS if highest <= 4 * s), math.ceil(highest / 4))
    return step, step * max(1, math.ceil(highest / step))


def in_words(found: Trend) -> str:
    """Return what the plot shows, for those who do not see it."""
    first, last = found.points[0], found.points[-1]
    whose = plain(found.line, 40) or "median of the regions"
    said = f"{counted(len(found.points), 'build')}; {whose}: {took(first.line)}"
    if len(found.points) > 1:
        said += f" on {_day(first)}, {took(last.line)} on {_day(last)}"
    slowest = max(found.points, key=lambda point: point.high)
    return f"{said}; slowest of all: {took(slowest.high)} on {_day(slowest)}."


def _axes(svg: Element, found: Trend, step: int, top: float) -> None:
    for seconds in range(0, round(top) + 1, step):
        y = _px(_up(seconds, top))
        add(svg, "line", class_="g", x1="0", x2="100%", y1=y, y2=y)
        text = f"{seconds} s"
        add(svg, "text", text, x="-8", y=y, dy=".32em", text_anchor="end")
    count = len(found.points)
    ticks = {0: "start", count // 2: "middle", count - 1: "end"}
    for at in sorted(ticks if count > 4 else {0, count - 1}):
        anchor = "middle" if count == 1 else ticks[at]
        x = _across(at, count)
        y = _px(BOTTOM + 18)
        add(svg, "text", _day(found.points[at]), x=x, y=y, text_anchor=anchor)


def _ranges(svg: Element, found: Trend, top: float) -> None:
    for at, point in enumerate(found.points):
        if point.high > point.low:
            x = _across(at, len(found.points))
            low, high = _px(_up(point.low, top)), _px(_up(point.high, top))
            add(svg, "line", class_="r", x1=x, x2=x, y1=low, y2=high)


def _line(svg: Element, found: Trend, top: float) -> None:
    places = [
        (_across(at, len(found.points)), _px(_up(point.line, top)))
        for at, point in enumerate(found.points)
    ]
    for (x1, y1), (x2, y2) in pairwise(places):
        add(svg, "line", class_="h", x1=x1, y1=y1, x2=x2, y2=y2)
    for point, (x, y) in zip(found.points, places, strict=True):
        dot = add(svg, "circle", class_="p", cx=x, cy=y, r="4")
        many = f"; {took(point.low)} to {took(point.high)}" if point.regions > 1 else ""
        add(dot, "title", f"{plain(point.build, 40)}: {took(point.line)}{many}")
    # The last one is written where nothing is drawn: beside it.
    x, y = places[-1]
    said = f"{found.points[-1].line:.0f} s"
    add(svg, "text", said, class_="v", x=x, y=y, dx="10", dy=".32em")


def _key(figure: Element, found: Trend) -> None:
    key = add(figure, "p", class_="key")
    whose = f"{plain(found.line, 40)} (home)" if found.line else "median of the regions"
    _sample(key, "h", "0 6 22 6", whose)
    spread = [point.regions for point in found.points if point.high > point.low]
    if most := max(spread, default=0):
        _sample(key, "r", "11 0 11 12", f"fastest to slowest of {most} regions")


def _sample(key: Element, class_: str, ends: str, said: str) -> None:
    one = add(key, "span")
    svg = add(one, "svg", width="22", height="12", aria_hidden="true")
    x1, y1, x2, y2 = ends.split()
    add(svg, "line", class_=class_, x1=x1, y1=y1, x2=x2, y2=y2)
    then(one, said)


def _point(ones: Sequence[BootNight], region: str) -> Point:
    times = [max(0.0, one.seconds) for one in ones]
    home = _of_region(ones, region)
    return Point(
        ones[0].build,
        min(one.created for one in ones),
        max(0.0, home[0].seconds) if home else median(times),
        min(times),
        max(times),
        len({one.region for one in ones}),
    )


def _of_region(ones: Sequence[BootNight], region: str) -> list[BootNight]:
    return [one for one in ones if region and one.region == region]


def _across(at: int, count: int) -> str:
    part = at / (count - 1) if count > 1 else 0.5
    return f"{LEFT + part * (RIGHT - LEFT):.4g}%"


def _up(seconds: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(1.0, seconds / top)


def _px(pixels: float) -> str:
    return f"{pixels:.4g}"


def _day(point: Point) -> str:
    return f"{point.created.astimezone(UTC):%Y-%m-%d}"
