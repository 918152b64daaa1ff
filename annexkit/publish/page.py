"""What a night comes to, for every form of its page: how it ended, and what to do.

Values in, values out; how it looks is for ``page_markdown`` and ``page_html``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from annexkit.publish.night import Did, ImageNight, Night, RetiredNight, StepNight
from annexkit.publish.retention import Step

# The steps of one region, in their order: field of the record, name on the page.
REGION_STEPS = (("copied", "copy"), ("smoke", "smoke"), ("promote", "promote"))
RETIREMENT = "retirement"
RESUME = "invoke nightly --resume"
STAYS = (Step.KEEP, Step.WAIT)


class Verdict(StrEnum):
    """Whether there is anything to read."""

    QUIET = "quiet"
    CHANGED = "changed"
    UNFINISHED = "unfinished"
    FAILED = "failed"


RED = (Verdict.FAILED, Verdict.UNFINISHED)


@dataclass(frozen=True)
class Failure:
    """One step that failed; ``region`` is empty for a step of the whole image."""

    whose: str
    step: str
    region: str
    error: str
    mend: str

    @property
    def where(self) -> str:
        """Where it was, in a few words."""
        place = f" in {self.region}" if self.region else ""
        step = "" if self.step == self.whose else f", {self.step}"
        return f"{self.whose}{step}{place}"


@dataclass(frozen=True)
class Action:
    """A command, or a sentence, that comes next, and the failures that it mends."""

    mend: str
    failures: tuple[Failure, ...] = ()


def verdict(night: Night) -> Verdict:
    """Say whether anything failed, anything changed, or nothing is to be read.

    A night that ended and left a step waiting without any failure is not finished.
    """
    if next(failures(night), None):
        return Verdict.FAILED
    if night.ended is None or (unfinished(night) and not night.dry_run):
        return Verdict.UNFINISHED
    if taken(night) or any(worked(image) for image in night.images):
        return Verdict.CHANGED
    return Verdict.QUIET


def steps_of(image: ImageNight) -> Iterator[tuple[str, str, StepNight]]:
    """Yield every step of an image: region (empty at first), its name, how it went."""
    yield "", "bake", image.bake
    yield "", "fresh boot", image.boot
    for field, name in REGION_STEPS:
        for region, there in sorted(image.regions.items()):
            yield region, name, getattr(there, field)


def failures(night: Night) -> Iterator[Failure]:
    """Yield what failed, in the order in which it is to be mended."""
    for image in night.images:
        for region, name, step in steps_of(image):
            if step.did is Did.FAILED:
                yield Failure(name_of(image), name, region, step.error, step.mend)
    if night.retire.did is Did.FAILED:
        step = night.retire
        yield Failure(RETIREMENT, RETIREMENT, "", step.error, step.mend)
        return  # it says what the lines say
    for one in night.retired:
        if one.error:
            whose = f"{one.step} of {one.ami}"
            yield Failure(RETIREMENT, whose, one.region, one.error, "invoke retire")


def actions(night: Night) -> list[Action]:
    """Return what to do next, in order, each once; the night's own resumption last."""
    if verdict(night) not in RED:
        return []
    found: dict[str, list[Failure]] = {}
    for failure in failures(night):
        found.setdefault(failure.mend.strip() or RESUME, []).append(failure)
    last = found.pop(RESUME, [])
    first = [Action(mend, tuple(whose)) for mend, whose in found.items()]
    return first if night.dry_run else [*first, Action(RESUME, tuple(last))]


def worked(image: ImageNight) -> bool:
    """Whether anything was done for an image, or would be."""
    return image.changed or state_of(image) is not Did.UNCHANGED


def state_of(image: ImageNight) -> Did:
    """Return how an image ended: its worst step, or else whether anything was done.

    A bake or a fresh boot that waits says nothing by itself: a build that somebody
    rolled back from is left alone.
    """
    found = {step.did for _, _, step in steps_of(image)}
    waits = any(s.did is Did.WAITING for region, _, s in steps_of(image) if region)
    if Did.FAILED in found:
        return Did.FAILED
    if waits or (image.changed and Did.DONE not in found):
        return Did.WAITING
    return Did.DONE if Did.DONE in found else Did.UNCHANGED


def same_everywhere(image: ImageNight) -> Did | None:
    """Return the state that every step has in every region, where nothing was done."""
    found = {step.did for region, _, step in steps_of(image) if region}
    quiet = found in ({Did.UNCHANGED}, {Did.WAITING})
    return next(iter(found)) if quiet else None


def name_of(image: ImageNight) -> str:
    """Return an image's name and architecture."""
    return f"{image.image} {image.arch}"


def finished_in(image: ImageNight) -> list[str]:
    """Return the regions in which no step is left: it is current, or left alone."""
    there = (Did.DONE, Did.UNCHANGED)
    return [r for r, one in sorted(image.regions.items()) if one.promote.did in there]


def taken(night: Night) -> list[RetiredNight]:
    """Return the steps of the retirement that were taken, or would be."""
    return [one for one in night.retired if one.step not in STAYS and not one.error]


def unfinished(night: Night) -> list[ImageNight]:
    """Return the images that are still to be worked on although none of it failed."""
    return [image for image in night.images if state_of(image) is Did.WAITING]


def tonight(night: Night) -> float:
    """Return the estimated cost of the night, in US dollars."""
    steps = [step for image in night.images for _, _, step in steps_of(image)]
    return sum(step.cost for step in [*steps, night.retire])
