"""How much of a night a page has room for, and what is left out first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from annexkit.publish.night import Did, ImageNight, Night, RegionNight, RetiredNight
from annexkit.publish.page import REGION_STEPS, STAYS, state_of


@dataclass(frozen=True)
class Room:
    """How many of each are shown at most, and how many characters of a text.

    ``listed``: images in the overview; ``images``: those with a part of their own.
    """

    listed: int = 2000
    images: int = 1000
    regions: int = 1000
    packages: int = 5000
    retired: int = 2000
    actions: int = 500
    points: int = 30
    text: int = 2000


ROW = len("| `a` | `1` | `2` |")  # the shortest row of a table
# From all to what fits whatever a night holds. Package lists go first: they can be had
# again by `invoke registry.diff`.
ROOMS = (
    Room(),
    Room(packages=300, retired=500),
    Room(packages=150, retired=200, text=800),
    Room(packages=60, retired=100, actions=200, text=500),
    Room(500, 200, 64, packages=30, retired=60, actions=100, points=20, text=400),
    Room(200, 80, 40, packages=12, retired=40, actions=50, points=15, text=300),
    Room(100, 40, 20, packages=8, retired=20, actions=20, points=12, text=200),
    Room(50, 20, 10, packages=6, retired=10, actions=10, points=8, text=120),
    Room(20, 8, 4, packages=4, retired=4, actions=5, points=4, text=60),
)


def fitted(night: Night, render: Callable[[Room], str], most: int) -> str | None:
    """Return the fullest page that fits, or None when even the least does not.

    :param most: bytes it may have as UTF-8.
    """
    for room in ROOMS:
        if _least(night, room) > most:  # not worth the seconds of rendering it
            continue
        text = render(room)
        if len(text.encode("utf-8")) <= most:
            return text
    return None


def images(night: Night, most: int) -> list[tuple[int, ImageNight]]:
    """Return at most *most* images with their numbers, in their order.

    Those that failed are kept first, then those that changed.
    """
    order = (Did.FAILED, Did.DONE, Did.WAITING, Did.UNCHANGED)
    ranked = sorted(
        enumerate(night.images), key=lambda at: order.index(state_of(at[1]))
    )
    return sorted(ranked[:most], key=lambda at: at[0])


def regions(image: ImageNight, most: int) -> tuple[dict[str, RegionNight], int]:
    """Return at most *most* regions by name, and how many are left out.

    Those in which a step failed are kept first.
    """
    names = sorted(image.regions, key=lambda name: (not _broken(image, name), name))
    kept = sorted(names[:most])
    return {name: image.regions[name] for name in kept}, len(names) - len(kept)


def retired(night: Night, most: int) -> tuple[list[RetiredNight], int, int]:
    """Return at most *most* steps of the retirement, those that failed first.

    :returns: they; how many are left out; how many AMIs only stay or wait.
    """
    steps = [one for one in night.retired if one.step not in STAYS or one.error]
    steps.sort(key=lambda one: not one.error)
    return steps[:most], len(steps[most:]), len(night.retired) - len(steps)


def _least(night: Night, room: Room) -> int:
    """Return bytes that a page has at least, by its packages alone."""
    counts = sorted((len(image.packages) for image in night.images), reverse=True)
    return ROW * sum(min(count, room.packages) for count in counts[: room.images])


def _broken(image: ImageNight, region: str) -> bool:
    there = image.regions[region]
    return any(getattr(there, field).did is Did.FAILED for field, _ in REGION_STEPS)
