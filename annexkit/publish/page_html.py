"""The morning page as one HTML file: no network, no script, in any window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from annexkit import __version__
from annexkit.publish import page, page_packages, page_room
from annexkit.publish.night import Did, ImageNight, Night, PackageNight
from annexkit.publish.page import Verdict
from annexkit.publish.page_elements import (
    add,
    bullets,
    code,
    document,
    fold,
    small,
    state,
    table,
    then,
)
from annexkit.publish.page_headline import headline
from annexkit.publish.page_matrix import matrix, notes, step_line
from annexkit.publish.page_plot import plot
from annexkit.publish.page_room import Room
from annexkit.publish.page_style import sheet
from annexkit.publish.page_words import (
    WHOLE,
    counted,
    is_command,
    money,
    plain,
    span,
)

MOST = 290_000  # bytes; the page is to stay under 300 KB
# Nothing is fetched and nothing runs, even if something of others got past escaping.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"
BADGES = {
    Verdict.QUIET: ("quiet", Did.UNCHANGED),
    Verdict.CHANGED: ("changed", Did.DONE),
    Verdict.UNFINISHED: ("failed", Did.WAITING),
    Verdict.FAILED: ("failed", Did.FAILED),
}
IMAGE_WORDS = {Did.DONE: "changed", Did.WAITING: "to do"}


def render_html(night: Night) -> str:
    """Return the page as text that ends in a newline, of at most :data:`MOST` bytes.

    What there is no room for is counted and, for packages, had by the command that is
    named.
    """
    fits = page_room.fitted(night, lambda room: _page(night, room), MOST)
    return fits or _page(night, Room(0, 0, 0, 0, 0, 0, 0, 80))


def _page(night: Night, room: Room) -> str:
    root = Element("html", {"lang": "en"})
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    policy = add(head, "meta", content=POLICY)
    policy.set("http-equiv", "Content-Security-Policy")
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(
        head,
        "title",
        f"{headline(night).word}: annexkit, night {plain(night.id, 80)}",
    )
    add(head, "style", sheet())
    body = add(root, "body")
    _top(add(body, "header"), night)
    main = add(body, "main")
    _to_do(main, night, room)
    _overview(main, night, room)
    for number, image in page_room.images(night, room.images):
        _image(main, image, room, f"i{number}")
    _retired(main, night, room)
    _cost(main, night)
    footer = add(body, "footer")
    add(footer, "p", f"Written by annexkit {__version__} from night.json.")
    return document(root)


def _top(header: Element, night: Night) -> None:
    said = headline(night)
    class_, shape = BADGES[page.verdict(night)]
    badge = add(header, "span", class_=f"badge {class_}")
    state(badge, shape, said.word)
    add(header, "h1", plain(said.rest))
    facts = add(header, "dl")
    _fact(facts, "night", night.id)
    _fact(facts, "when", span(night.began, night.ended))
    if night.dry_run:
        _fact(facts, "how", "only looked, changed nothing")
    _fact(facts, "account", night.account)
    _fact(facts, "endpoint", night.endpoint)
    _fact(facts, "AWS calls", f"{night.calls:,}")


def _fact(facts: Element, name: str, value: str) -> None:
    if value:
        one = add(facts, "div")
        add(one, "dt", name)
        add(one, "dd", plain(value, 120))


def _to_do(main: Element, night: Night, room: Room) -> None:
    found = page.actions(night)
    if not found:
        return
    section = add(main, "section")
    add(section, "h2", "What to do")
    listed = add(section, "ol")
    for action in found[: room.actions]:
        item = add(listed, "li")
        if not action.failures:
            add(item, "p", "Then go on with the night:")
        for error, where in _by_error(action):
            failed = add(item, "div", class_="error")
            add(failed, "b", plain(where, 200))
            small(failed, plain(error, room.text))
        if is_command(action.mend) and len(action.mend) <= WHOLE:
            add(add(item, "pre"), "code", plain(action.mend, WHOLE))
        else:
            add(item, "p", plain(action.mend, room.text))
    _more(section, len(found) - room.actions, "thing to do", "things to do")


def _by_error(action: page.Action) -> Iterable[tuple[str, str]]:
    """Return each error once, with the places where it was."""
    found: dict[str, list[str]] = {}
    for one in action.failures:
        found.setdefault(one.error, []).append(one.where)
    for error, places in found.items():
        more = f" and {counted(len(places) - 6, 'more place')}" if places[6:] else ""
        yield error, "; ".join(places[:6]) + more


def _overview(main: Element, night: Night, room: Room) -> None:
    if not night.images:
        return
    section = add(main, "section")
    add(section, "h2", "Images")
    shown = page_room.images(night, room.listed)
    linked = {number for number, _ in page_room.images(night, room.images)}
    said = (
        "What the night did to each image, and in how many regions its build is through"
    )
    body = table(section, said, ("image", "tonight", "build", "finished in"))
    for number, image in shown:
        row = add(body, "tr")
        head = add(row, "th", scope="row")
        name = plain(page.name_of(image), 80)
        if number in linked:
            add(head, "a", name, href=f"#i{number}")
        else:
            then(head, name)
        _image_state(add(row, "td"), image)
        code(add(row, "td"), image.build, 40)
        all_of = len(image.regions)
        where = f"{len(page.finished_in(image))} of {counted(all_of, 'region')}"
        add(row, "td", where if all_of else "–")
    _more(section, len(night.images) - len(shown), "image")


def _image_state(parent: Element, image: ImageNight) -> Element:
    did = page.state_of(image)
    return state(parent, did, IMAGE_WORDS.get(did, ""))


def _image(main: Element, image: ImageNight, room: Room, name: str) -> None:
    section = add(main, "section", id=name)
    head = add(section, "h2", f"{plain(page.name_of(image), 80)} ")
    _image_state(head, image)
    facts = add(section, "dl")
    _fact(facts, "build", image.build)
    if image.before != image.build:
        _fact(facts, "build before", image.before)
    _fact(facts, "baked in", image.home)
    _fact(facts, "input digest", image.digest[:16])
    bullets(section, (plain(why, room.text) for why in image.why[:20]))
    if image.unchecked:
        note = add(section, "p")
        state(note, Did.WAITING, "updates not checked")
        then(note, f": {plain(image.unchecked, room.text)}")
    step_line(section, "bake", image.bake, room, image.changed)
    step_line(section, "fresh boot", image.boot, room, image.changed)
    matrix(section, image, room)
    notes(section, image, room)
    if image.pending:
        what = f"{counted(len(image.pending), 'newer package')} in the repositories"
        columns = ("package", "installed", "offered")
        _packages(section, image.pending, room, what, columns)
    if image.packages:
        what = f"{counted(len(image.packages), 'package')} changed"
        left_out = _packages(
            section, image.packages, room, what, ("package", "before", "now")
        )
        if left_out:
            add(section, "p", "All of them:")
            command = page_packages.diff_command(image)
            add(add(section, "pre"), "code", plain(command, WHOLE))
    plot(section, image, room.points, name)


def _packages(
    section: Element,
    found: Sequence[PackageNight],
    room: Room,
    what: str,
    columns: Sequence[str],
) -> int:
    """Show the important packages, then the others; return how many are left out."""
    kept = page_packages.shown(found, room.packages)
    add(section, "h3", what)
    if kept.first:
        said = "HTCondor, kernel and container runtime"
        _package_rows(table(section, said, columns, "packages"), kept.first)
    if kept.rest:
        other = "other package" if kept.first else "package"
        said = counted(len(kept.rest), other)
        folds = len(kept.rest) > page_packages.SHORT
        place = fold(section, said) if folds else section
        _package_rows(table(place, said, columns, "packages"), kept.rest)
    _more(section, kept.left_out, "package")
    return kept.left_out


def _package_rows(body: Element, found: Iterable[PackageNight]) -> None:
    for one in found:
        row = add(body, "tr")
        add(row, "th", plain(one.name, 100), scope="row")
        for said in page_packages.versions(one):
            add(row, "td", plain(said, 80))


def _retired(main: Element, night: Night, room: Room) -> None:
    shown, left_out, stay = page_room.retired(night, room.retired)
    if not shown:
        return
    section = add(main, "section")
    add(section, "h2", "What would be retired" if night.dry_run else "Retired")
    body = table(section, "Each AMI, its step and why", ("step", "AMI", "why"), "long")
    for one in shown:
        row = add(body, "tr")
        step = add(row, "td")
        did = Did.WAITING if night.dry_run else Did.DONE
        word = plain(one.step, 20)
        if one.error:
            state(step, Did.FAILED, f"{word} failed")
        else:
            state(step, did, word)
        ami = add(row, "th", scope="row")
        code(ami, one.ami, 40)
        small(ami, plain(f"{one.image} {one.arch}, {one.region}, {one.build}", 200))
        why = add(row, "td", plain(one.reason, room.text))
        if one.error:
            add(why, "div", plain(one.error, room.text), class_="error")
    _more(section, left_out, "AMI")
    if stay:
        said = counted(stay, "other AMI stays", "other AMIs stay")
        add(section, "p", f"{said} for now.")


def _cost(main: Element, night: Night) -> None:
    section = add(main, "section")
    add(section, "h2", "Cost")
    facts = add(section, "dl")
    _fact(facts, "tonight, estimated", money(page.tonight(night)))
    if night.month_before is not None:
        _fact(facts, "snapshots a month before", f"at most {money(night.month_before)}")
    if night.month_after is not None:
        _fact(facts, "snapshots a month after", f"at most {money(night.month_after)}")


def _more(parent: Element, number: int, one: str, many: str = "") -> None:
    if number > 0:
        said = counted(number, f"more {one}", f"more {many or one + 's'}")
        add(parent, "p", f"… and {said}.")
