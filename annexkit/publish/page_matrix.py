"""The HTML page's matrix of an image: each region, each step, and what went wrong."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from annexkit.publish import page_room
from annexkit.publish.night import Did, ImageNight, RegionNight, StepNight
from annexkit.publish.page import REGION_STEPS, name_of, same_everywhere
from annexkit.publish.page_elements import add, code, fold, small, state, table, then
from annexkit.publish.page_room import Room
from annexkit.publish.page_words import counted, money, plain, took

NOTES = 500  # characters of what a step says of itself


def step_line(
    section: Element, name: str, step: StepNight, room: Room, changed: bool
) -> None:
    """Add a step of the whole image in one line, and its error."""
    if step.did is Did.WAITING and not changed:
        return
    line = add(section, "p", f"{name}: ")
    state(line, step.did)
    then(line, _after(step))
    if step.did is Did.FAILED:
        add(section, "p", plain(step.error, room.text), class_="error")


def matrix(section: Element, image: ImageNight, room: Room) -> None:
    """Add the table of regions and steps, folded when nothing was done."""
    if not image.regions or not room.regions:
        return
    count = counted(len(image.regions), "region")
    same = same_everywhere(image)
    if same is Did.WAITING:
        state(add(section, "p", f"{count}: "), same)
        return
    if same:
        section = fold(section, f"{count}: unchanged")
    shown, left_out = page_room.regions(image, room.regions)
    columns = ("region and AMI", *(name for _, name in REGION_STEPS), "boot")
    said = f"{plain(name_of(image), 80)}: each step in {count}"
    body = table(section, said, columns, "matrix")
    for region, there in shown.items():
        _row(body, region, there, room)
    if left_out:
        add(section, "p", f"… and {counted(left_out, 'more region')}.")


def notes(section: Element, image: ImageNight, room: Room) -> None:
    """Add, folded, what the steps say of themselves and what each came to."""
    shown, _ = page_room.regions(image, room.regions)
    said = [
        (region, name, step)
        for region, there in shown.items()
        for field, name in REGION_STEPS
        if (step := getattr(there, field)).detail or step.cost
    ]
    whole = (("bake", image.bake), ("fresh boot", image.boot))
    home = [(image.home, name, s) for name, s in whole if s.detail or s.cost]
    if not (said or home) or not room.regions:
        return
    place = fold(section, "What each step says of itself, and its cost")
    body = table(place, "Costs are estimated", ("step", "says", "cost"))
    for region, name, step in [*home, *said]:
        row = add(body, "tr")
        head = add(row, "th", name, scope="row")
        small(head, plain(region, 40))
        add(row, "td", plain(step.detail, min(NOTES, room.text)) or "–")
        add(row, "td", money(step.cost) if step.cost else "–")


def _row(body: Element, region: str, there: RegionNight, room: Room) -> None:
    steps = [(name, getattr(there, field)) for field, name in REGION_STEPS]
    broken = [(name, s) for name, s in steps if s.did is Did.FAILED]
    row = add(body, "tr", class_="noted" if broken else "")
    head = add(row, "th", plain(region, 40), scope="row")
    if there.ami:
        small(head, plain(there.ami, 40), "m")
    for _, step in steps:
        cell = add(row, "td")
        state(cell, step.did)
        if step.seconds:
            small(cell, took(step.seconds))
    boot = there.boot_seconds
    add(row, "td", "–" if boot is None else took(boot))
    if broken:
        note = add(add(body, "tr", class_="note"), "td", colspan=str(len(steps) + 2))
        for name, step in broken:
            said = plain(step.error, room.text) or "no reason is recorded"
            error = add(note, "div", class_="error")
            add(error, "b", f"{name}: ")
            then(error, said)
            if step.mend:
                then(error, " ")
                code(error, step.mend, max(room.text, 200))


def _after(step: StepNight) -> str:
    said = [took(step.seconds)] if step.seconds else []
    said += [money(step.cost)] if step.cost else []
    return f", {', '.join(said)}" if said else ""
