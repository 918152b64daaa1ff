"""An HTML page as a browser's parser sees it, and what must not be in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr", "base"}
# All that the page is made of.
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer"),
    *("section", "h1", "h2", "h3", "p", "div", "span", "b", "a", "code", "pre"),
    *("ul", "ol", "li", "dl", "dt", "dd", "details", "summary", "figure", "figcaption"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "desc", "line", "circle", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href"),
    *("scope", "colspan", "role", "tabindex", "width", "height", "text-anchor"),
    *("aria-label", "aria-labelledby", "aria-hidden"),
    *("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "dx", "dy"),
}


@dataclass
class Node:
    """An element: its name, attributes, elements within, and all text within."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Node]:
        """Return every element of a name within, at any depth."""
        return [
            found
            for child in self.children
            for found in ([child] if child.tag == tag else []) + child.all(tag)
        ]

    def has(self, name: str, value: str) -> list[Node]:
        """Return every element within of which an attribute holds a word."""
        return [
            found
            for child in self.children
            for found in (
                [child] if value in child.attributes.get(name, "").split() else []
            )
            + child.has(name, value)
        ]


class Page(HTMLParser):
    """Reads a page, and complains of what is not closed, or not of ours."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("")
        self.open = [self.root]
        self.wrong: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{node.tag}> is not closed" for node in self.open[1:]]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in KNOWN:
            self.wrong.append(f"<{tag}>")
        self.wrong += [f"{tag} {name}=" for name in given if name not in ATTRIBUTES]
        if len(given) != len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        node = Node(tag, given)
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1].tag == tag:
            self.open.pop()
        else:
            self.wrong.append(f"</{tag}> closes <{self.open[-1].tag}>")

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.wrong.append(f"<{tag}/>")

    def handle_data(self, data: str) -> None:
        for node in self.open:
            node.text += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data}-->")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data}")
