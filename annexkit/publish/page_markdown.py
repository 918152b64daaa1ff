"""The morning page in GitHub's Markdown: a job's summary, a pull request's body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from annexkit.publish import page, page_packages, page_room
from annexkit.publish.night import Did, ImageNight, Night, PackageNight, StepNight
from annexkit.publish.page_headline import headline
from annexkit.publish.page_room import Room
from annexkit.publish.page_words import (
    WHOLE,
    counted,
    is_command,
    joined,
    money,
    plain,
    span,
    took,
)

# GitHub takes 65,536 characters in the body of a pull request and 1 MiB in a job's
# summary; counted in bytes, with room for what a workflow adds.
MOST = 60_000
# Punctuation that means something in Markdown or HTML, as an entity it never does
# (CommonMark 0.31, "Entity and numeric character references").
ENTITIES = {c: f"&#{ord(c)};" for c in "\\`*_[]<>&|~$"}
SPECIAL = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])")
# What GitHub makes links, pictures or notices of, in text that is rendered already.
LINKED = re.compile(r"[@#](?=\w)|:(?=//|[+a-z_-][\w+-]*:)|\b(www|gh)(?=[.-])", re.I)
# At the beginning of a line these are a heading, a list or a rule.
LEADING = re.compile(r"^(\d+(?=[.)])|(?=[#+=-]))(.)")
MARKS = {
    Did.DONE: "✅ done",
    Did.UNCHANGED: "▫️ unchanged",
    Did.FAILED: "❌ **failed**",
    Did.WAITING: "⏳ waiting",
}
IMAGE_MARKS = {**MARKS, Did.DONE: "✅ changed", Did.WAITING: "⏳ to do"}


def render_markdown(night: Night) -> str:
    """Return the page as text that ends in a newline, of at most :data:`MOST` bytes.

    The first line says whether there is anything to read. What there is no room for
    is counted and, for packages, had by the command that is named.
    """
    fits = page_room.fitted(night, lambda room: _text(_page(night, room)), MOST)
    return fits or _text([*_head(night, page_room.ROOMS[-1]), *_too_long()])


def prose(text: str, most: int = 2000) -> str:
    """Return text of others for a sentence or a cell, meaning nothing to Markdown.

    A character of no width parts what GitHub would make a link or a notice of
    (``@somebody``, ``#1``, ``https://``, ``:+1:``).
    """
    said = LINKED.sub("\\g<0>\u200b", plain(text, most))
    said = SPECIAL.sub(lambda found: ENTITIES[found[0]], said)
    return LEADING.sub(lambda found: f"{found[1]}&#{ord(found[2])};", said)


def code(text: str, most: int = 2000) -> str:
    """Return text of others as code, also within a table; a dash for none."""
    said = plain(text, most)
    if not re.search(r"[`|\\]", said):
        return f"`{said}`" if said else "–"
    # Within a table no code span can hold all of these.
    entities = "".join(f"&#{ord(c)};" if not c.isalnum() else c for c in said)
    return f"<code>{entities}</code>"


def _page(night: Night, room: Room) -> Iterator[str]:
    yield from _head(night, room)
    yield from _to_do(night, room)
    yield from _overview(night, room)
    for _, image in page_room.images(night, room.images):
        yield from _image(image, room)
    yield from _retired(night, room)
    yield from _cost(night)


def _head(night: Night, room: Room) -> Iterator[str]:
    said = headline(night)
    yield f"**{said.word}:** {prose(said.rest, 2000)}"
    yield ""
    facts = [f"Night {code(night.id, 80)}, {span(night.began, night.ended)}"]
    if night.dry_run:
        facts.append("only looked, changed nothing")
    if night.account:
        facts.append(f"account {code(night.account, 40)}")
    if night.endpoint:
        facts.append(f"endpoint {code(night.endpoint, 80)}")
    facts.append(counted(night.calls, "AWS call"))
    yield ", ".join(facts) + "."


def _to_do(night: Night, room: Room) -> Iterator[str]:
    found = page.actions(night)
    if not found:
        return
    yield from ("", "## What to do")
    for number, action in enumerate(found[: room.actions], 1):
        whose = [prose(one.where, 120) for one in action.failures]
        lead = joined(whose, 6) or "Then go on with the night"
        yield from ("", f"{number}. {lead}")
        errors = (prose(one.error, room.text) for one in action.failures)
        yield from (f"   - {error}" for error in dict.fromkeys(errors) if error)
        if is_command(action.mend) and len(action.mend) <= WHOLE:
            yield from ("", *_indented(_fenced(action.mend)))
        else:
            yield f"   - **do:** {prose(action.mend, room.text)}"
    yield from _more(len(found) - room.actions, "thing to do", "things to do")


def _overview(night: Night, room: Room) -> Iterator[str]:
    if not night.images:
        return
    shown = page_room.images(night, room.listed)
    rows = []
    for _, image in shown:
        all_of = len(image.regions)
        where = f"{len(page.finished_in(image))} of {all_of}" if all_of else "–"
        rows.append(
            (
                prose(page.name_of(image), 80),
                IMAGE_MARKS[page.state_of(image)],
                code(image.build, 40),
                where,
            )
        )
    yield from ("", "## Images", "")
    yield from _table(("image", "tonight", "build", "finished in regions"), rows)
    yield from _more(len(night.images) - len(shown), "image")


def _image(image: ImageNight, room: Room) -> Iterator[str]:
    yield from ("", f"### {prose(page.name_of(image), 80)}", "")
    for why in image.why[:20]:
        yield f"- {prose(why, room.text) or '–'}"
    if image.digest:
        yield f"- input digest {code(image.digest, 80)}"
    if image.before and image.before != image.build:
        yield f"- build before: {code(image.before, 40)}"
    if image.unchecked:
        yield f"- **updates not checked:** {prose(image.unchecked, room.text)}"
    for name, step in (("bake", image.bake), ("fresh boot", image.boot)):
        if step.did is not Did.WAITING or image.changed:
            home = f" in {prose(image.home, 40)}" if image.home else ""
            yield f"- {name}{home}: {_cell(step)}"
    yield from _matrix(image, room)
    if image.pending:
        columns = ("package", "installed", "offered")
        title = counted(len(image.pending), "newer package") + " in the repositories"
        yield from _packages(image.pending, room, title, columns, "")
    if image.packages:
        columns = ("package", "before", "now")
        title = counted(len(image.packages), "package") + " changed"
        all_of = page_packages.diff_command(image)
        yield from _packages(image.packages, room, title, columns, all_of)


def _matrix(image: ImageNight, room: Room) -> Iterator[str]:
    if not image.regions:
        return
    count = counted(len(image.regions), "region")
    same = page.same_everywhere(image)
    if same is Did.WAITING:
        yield f"- {count}: {MARKS[same]}"
        return
    shown, left_out = page_room.regions(image, room.regions)
    rows = []
    for region, there in shown.items():
        steps = [getattr(there, field) for field, _ in page.REGION_STEPS]
        boot = took(there.boot_seconds) if there.boot_seconds is not None else "–"
        cells = [_cell(step) for step in steps]
        rows.append((code(region, 40), code(there.ami, 40), *cells, boot))
    names = [name for _, name in page.REGION_STEPS]
    table = [*_table(("region", "AMI", *names, "boot"), rows)]
    table += _more(left_out, "region")
    yield from _folded(f"{count}: unchanged", table) if same else ("", *table)


def _packages(
    found: Sequence[PackageNight],
    room: Room,
    title: str,
    columns: tuple[str, str, str],
    all_of: str,
) -> Iterator[str]:
    """Show the important packages, then the others, folded when they are many."""
    kept = page_packages.shown(found, room.packages)
    yield from ("", f"**{title}**")
    if kept.first:
        yield from ("", *_table(columns, [_package(one) for one in kept.first]))
    if kept.rest:
        table = _table(columns, [_package(one) for one in kept.rest])
        other = "other package" if kept.first else "package"
        fold = len(kept.rest) > page_packages.SHORT
        title = counted(len(kept.rest), other)
        yield from _folded(title, table) if fold else ("", *table)
    yield from _more(kept.left_out, "package")
    if kept.left_out and all_of:
        yield from ("", f"All of them: {code(all_of, 300)}")


def _package(one: PackageNight) -> tuple[str, ...]:
    return code(one.name, 100), *(
        code(said, 80) for said in page_packages.versions(one)
    )


def _retired(night: Night, room: Room) -> Iterator[str]:
    shown, left_out, stay = page_room.retired(night, room.retired)
    if not shown:
        return
    rows = [
        (
            prose(one.step, 20) + (" ❌ **failed**" if one.error else ""),
            code(one.ami, 40),
            prose(f"{one.image} {one.arch}", 80),
            code(one.region, 40),
            code(one.build, 40),
            prose("; ".join(filter(None, (one.error, one.reason))), room.text),
        )
        for one in shown
    ]
    title = "What would be retired" if night.dry_run else "Retired"
    yield from ("", f"## {title}", "")
    columns = ("step", "AMI", "image", "region", "build", "why")
    yield from _table(columns, rows)
    yield from _more(left_out, "AMI")
    if stay:
        yield from (
            "",
            f"{counted(stay, 'other AMI stays', 'other AMIs stay')} for now.",
        )


def _cost(night: Night) -> Iterator[str]:
    yield from ("", "## Cost", "")
    yield f"- tonight: about {money(page.tonight(night))} (estimated)"
    for when, dollars in (("before", night.month_before), ("after", night.month_after)):
        if dollars is not None:
            said = f"at most {money(dollars)}"
            yield f"- snapshots a month, {when} this night: {said}"


def _cell(step: StepNight) -> str:
    after = f", {took(step.seconds)}" if step.seconds else ""
    return MARKS[step.did] + after


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    # Without the empty lines GitHub takes what is inside for HTML.
    yield from (
        "",
        f"<details><summary>{title}</summary>",
        "",
        *lines,
        "",
        "</details>",
    )


def _more(number: int, one: str, many: str = "") -> list[str]:
    if number <= 0:
        return []
    said = counted(number, f"more {one}", f"more {many or one + 's'}")
    return ["", f"… and {said}."]


def _fenced(text: str) -> list[str]:
    """Return a command as a block that can be copied, whole: half of one does harm."""
    said = plain(text, WHOLE)
    longest = max((len(run) for run in re.findall(r"`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}sh", said, fence]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    yield from (f"   {line}" for line in lines)


def _too_long() -> list[str]:
    return ["", "There is too much for this page: more is in night.html beside it."]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
