"""The first line of the morning page: whether there is anything to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from annexkit.publish.night import Did, ImageNight, Night
from annexkit.publish.page import (
    RETIREMENT,
    Verdict,
    failures,
    finished_in,
    name_of,
    state_of,
    taken,
    unfinished,
    verdict,
    worked,
)
from annexkit.publish.page_packages import in_short
from annexkit.publish.page_words import counted, joined, plain
from annexkit.publish.retention import Step

RETIRED = {
    Step.DEPRECATE: "deprecated",
    Step.DISABLE: "disabled",
    Step.DEREGISTER: "deregistered",
    Step.CLEAR: "cleared",
    Step.RESTORE: "restored",
}


@dataclass(frozen=True)
class Headline:
    """The first line of the page: what it begins with, and the rest."""

    word: str
    rest: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.word}: {self.rest}"


def headline(night: Night) -> Headline:
    """Return the line that says first whether there is anything to read."""
    found = verdict(night)
    if found is Verdict.QUIET:
        return Headline("Nothing to do", _quiet(night))
    if found is Verdict.CHANGED:
        return Headline("Would change" if night.dry_run else "Changed", _changed(night))
    if found is Verdict.UNFINISHED:
        return Headline("Not finished", _unfinished(night))
    return Headline("Failed", _failed(night))


def _quiet(night: Night) -> str:
    regions = {region for image in night.images for region in image.regions}
    images = counted(len(night.images), "image is", "images are")
    where = f" in {counted(len(regions), 'region')}" if regions else ""
    said = [f"{images} unchanged{where}" if night.images else "there are no images"]
    said += _waits(night)
    return "; ".join(said)


def _unfinished(night: Night) -> str:
    if night.ended is None:
        return "it began, and did not end: it still runs, or it was stopped"
    names = joined(plain(name_of(image), 60) for image in unfinished(night))
    return f"nothing failed, and yet steps were not taken: {names}"


def _changed(night: Night) -> str:
    images = [image for image in night.images if worked(image)]
    said = [_image(image, night) for image in images]
    if len(images) > 2:
        names = joined(plain(name_of(image), 60) for image in images)
        said = [f"{len(images)} images: {names}"]
    steps = Counter(one.step for one in taken(night))
    if steps:
        ended = [
            f"{steps[step]} {word}" for step, word in RETIRED.items() if steps[step]
        ]
        said.append(f"old AMIs: {', '.join(ended)}")
    return "; ".join([*said, *_waits(night)])


def _failed(night: Night) -> str:
    found: dict[str, dict[str, list[str]]] = {}
    for one in failures(night):
        step = "" if one.whose == RETIREMENT else one.step
        found.setdefault(one.whose, {}).setdefault(step, []).append(one.region)
    said = []
    for whose, steps in found.items():
        what = [_places(step, regions) for step, regions in steps.items() if step]
        name = plain(whose, 60)
        said.append(f"{name} ({', '.join(what)})" if what else name)
    well = [i for i in night.images if state_of(i) is Did.DONE]
    also = [f"changed: {joined(plain(name_of(i), 60) for i in well)}"] if well else []
    return "; ".join([*_few(said), *also])


def _places(step: str, regions: list[str]) -> str:
    named = [plain(region, 40) for region in regions if region]
    return f"{step} in {joined(named)}" if named else step


def _image(image: ImageNight, night: Night) -> str:
    name = plain(name_of(image), 60)
    if night.dry_run:
        why = f": {plain(image.why[0], 100)}" if image.why else ""
        what = "a new build" if image.changed else "what it lacks"
        return f"{name} would get {what}{why}"
    count, all_of = len(finished_in(image)), len(image.regions)
    of = f"{count} of {all_of}" if count < all_of else f"{all_of}"
    place = f"in place in {of} region{'' if all_of == 1 else 's'}"
    packages = in_short(image.packages)
    what = f" ({packages})" if packages else ""
    return f"{name}: build {plain(image.build, 40) or '?'}{what} is {place}"


def _waits(night: Night) -> list[str]:
    """Say what a person may want to know although nothing is to be done."""
    names = [plain(name_of(i), 60) for i in night.images if i.unchecked]
    return [f"updates of {joined(names)} were not checked"] if names else []


def _few(said: list[str]) -> list[str]:
    more = len(said) - 3
    return [*said[:3], f"{more} more"] if more > 0 else said
