"""Elements of an HTML page, by Python's own ElementTree, which escapes what it writes.

Text of others only ever comes in as text or as the value of an attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from annexkit.publish.night import Did
from annexkit.publish.page_words import plain


def add(parent: Element, tag: str, text: str = "", /, **attributes: str) -> Element:
    """Add an element and return it.

    :param attributes: ``class_`` for class, ``aria_label`` for aria-label, and so on.
    """
    given = {key.rstrip("_").replace("_", "-"): v for key, v in attributes.items()}
    made = SubElement(parent, tag, {key: v for key, v in given.items() if v})
    if text:
        made.text = text
    return made


def then(element: Element, text: str) -> None:
    """Add text to what an element holds, after its children."""
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def state(parent: Element, did: Did, word: str = "") -> Element:
    """Add a state: its word, and the shape that the style sheet draws before it."""
    return add(parent, "span", word or str(did), class_=f"w {did}")


def code(parent: Element, text: str, most: int = 300) -> Element:
    """Add text of others in the fixed-width face; a dash for none."""
    return add(parent, "code" if text else "span", plain(text, most) or "–")


def small(parent: Element, text: str, class_: str = "") -> Element:
    """Add a line in small letters."""
    return add(parent, "span", text, class_=f"s {class_}".strip())


def table(
    parent: Element, caption: str, columns: Sequence[str], class_: str = ""
) -> Element:
    """Add a table that scrolls by itself where it is too wide; return its body."""
    around = add(
        parent, "div", class_="wide", role="group", tabindex="0", aria_label=caption
    )
    made = add(around, "table", class_=class_)
    add(made, "caption", caption)
    row = add(add(made, "thead"), "tr")
    for column in columns:
        add(row, "th", column, scope="col")
    return add(made, "tbody")


def fold(parent: Element, summary: str) -> Element:
    """Add a part that is folded until somebody opens it."""
    made = add(parent, "details")
    add(made, "summary", summary)
    return made


def bullets(parent: Element, lines: Iterable[str]) -> None:
    """Add a list of sentences, if there are any."""
    lines = list(lines)
    if lines:
        listed = add(parent, "ul")
        for line in lines:
            add(listed, "li", line)


def document(root: Element) -> str:
    """Return the page as text that ends in a newline."""
    text = tostring(root, encoding="unicode", method="html")
    return f"<!doctype html>\n{text}\n"
