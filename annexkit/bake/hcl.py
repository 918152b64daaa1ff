"""HCL source text: writing literals that arrive unchanged, reading plain values.

python-hcl2 takes values as HCL source and escapes nothing, so every literal of ours
goes through :func:`quoted` or :func:`joined`, and source is written only where an
expression is meant (:class:`Expression`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2
from hcl2.rules.base import AttributeRule, BlockRule
from hcl2.rules.containers import ObjectRule, TupleRule
from hcl2.rules.expressions import ExprTermRule
from hcl2.rules.literal_rules import (
    FloatLitRule,
    IdentifierRule,
    IntLitRule,
    LiteralValueRule,
)
from hcl2.rules.strings import StringRule
from hcl2.utils import process_escape_sequences
from lark.exceptions import LarkError

from annexkit.errors import Finding, Level, UsageError

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
PLAIN_ONLY = "write a plain value: text, number, true or false, list or object"

Place = tuple[str | int, ...]


class UnwritableText(UsageError):
    """A text that Packer cannot carry unchanged."""


@dataclass(frozen=True)
class Expression:
    """HCL source of an expression, such as ``var.region``; never user text."""

    source: str

    def __str__(self) -> str:
        """Return it as python-hcl2 wants a bare expression."""
        return f"${{{self.source}}}"


def unwritable(text: str) -> str:
    """Say why Packer cannot carry *text* unchanged; ``""`` when it can.

    Packer hands nearly every string to its own template engine, where ``{{`` opens an
    action (Packer manual, "Template Engine"). HCL strings are Unicode in normal form C
    and go-cty normalizes what is not (HCL native syntax specification, "Template
    Expressions"). NUL ends an environment variable.
    """
    if "{{" in text:
        return "has '{{', which Packer's template engine would take for a template"
    if "\0" in text:
        return "has a NUL character, which no environment variable can hold"
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return "is not Unicode text (a lone surrogate)"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normal form C, so Packer would change it"
    return ""


def quoted(text: str, *, what: str = "the text") -> str:
    """Return a literal string as HCL source; nothing in it is interpolated.

    :param what: names the text in the error.
    :raises UnwritableText: Packer would change it.
    """
    reason = unwritable(text)
    if reason:
        raise UnwritableText(
            f"{what} {reason}", where=repr(text)[:200], mend="write it without that"
        )
    return f'"{_escaped(text)}"'


def joined(*parts: str | Expression) -> str:
    """Return a string of literals and interpolated expressions as HCL source.

    :raises UnwritableText: Packer would change one of the literals.
    """
    return '"' + "".join(_part(part) for part in parts) + '"'


def engine(text: str) -> str:
    """Return a string whose ``{{ }}`` *is* meant for Packer's template engine."""
    return f'"{_escaped(text)}"'


def dump(document: hcl2.Builder) -> str:
    """Return a document as text, without trailing blanks or runs of empty lines.

    Not yet as ``packer fmt`` would have it. Safe for anything written through this
    module: no literal of ours spans lines.
    """
    text: str = hcl2.dumps(document.build())  # type: ignore[no-untyped-call]
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"


def _part(part: str | Expression) -> str:
    return str(part) if isinstance(part, Expression) else quoted(part)[1:-1]


def _escaped(text: str) -> str:
    # Not by doubling ("$${"): python-hcl2 8.1.4 cannot read all of that back.
    body = "".join(_escape(character) for character in text)
    return body.replace("${", "\\u0024{").replace("%{", "\\u0025{")


def _escape(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    code = ord(character)
    # C1 and the line separators are written out so that no tool breaks a line there.
    special = code < 0x20 or 0x7F <= code < 0xA0 or code in {0x2028, 0x2029, 0xFEFF}
    return f"\\u{code:04x}" if special else character


@dataclass
class Assignments:
    """The ``key = value`` lines of an HCL variables file, as plain Python values.

    ``lines`` tells the line of each value by its place: ``("root_volume", "size")``.
    Lists come as tuples.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    refused: set[Place] = field(default_factory=set)

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a place, or of the nearest one around it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.lines:
                return f"{self.path}:{self.lines[place[:end]]}"
        return str(self.path)

    def complain(self, place: Place, what: str, mend: str) -> None:
        """Note an error at a place."""
        self.refused.add(place)
        self.findings.append(Finding(Level.ERROR, what, self.where(place), mend))


def read(path: Path) -> Assignments:
    """Read an HCL variables file that may hold only plain values.

    Expressions, blocks and keys set twice become findings of the result.

    :raises UsageError: the file cannot be read, or is not HCL (names the line).
    """
    try:
        tree = hcl2.parses(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the recipe cannot be read: {error.strerror}",
            where=str(path),
            mend="correct its permissions (ls -l)",
        ) from None
    except UnicodeDecodeError:
        raise UsageError(
            "not UTF-8 text",
            where=str(path),
            mend="save the file as UTF-8: iconv -t UTF-8",
        ) from None
    except LarkError as error:
        line, column = (getattr(error, name, 0) for name in ("line", "column"))
        raise UsageError(
            "not valid HCL" + (f" at column {column}" if column > 0 else ""),
            where=f"{path}:{line}" if line > 0 else str(path),
            mend="check quotes, commas and brackets on this line and the one before",
        ) from None
    return _Reader(Assignments(path)).body(tree.body.children)


class _Reader:
    """Walks python-hcl2's tree; its own conversion keeps no line numbers."""

    def __init__(self, into: Assignments) -> None:
        self.into = into

    def body(self, children: Iterable[Any]) -> Assignments:
        for child in children:
            if isinstance(child, AttributeRule):
                place = (str(child.identifier.serialize()),)
                self.entry(self.into.values, place, child)
            elif isinstance(child, BlockRule):
                key = str(child.labels[0].serialize())
                self.into.lines.setdefault((key,), child._meta.line)
                self.into.complain(
                    (key,), f"'{key}' is a block here", f"write {key} = {{ … }}"
                )
        return self.into

    def entry(self, target: dict[str, Any], place: Place, node: Any) -> None:
        """Read one ``key = value`` into *target*."""
        key = str(place[-1])
        first = self.into.lines.get(place)
        self.into.lines[place] = node._meta.line
        if first is not None:
            what = f"'{key}' is set twice, first on line {first}"
            self.into.complain(place, what, "remove one of them")
        target[key] = self.value(place, node.expression)

    def value(self, place: Place, node: Any) -> Any:
        self.into.lines.setdefault(place, node._meta.line)
        match node:
            case ExprTermRule():
                return self.value(place, node.expression)
            case StringRule():
                return self.text(place, node)
            case TupleRule():
                items = enumerate(node.elements)
                return tuple(self.value((*place, i), item) for i, item in items)
            case ObjectRule():
                return self.mapping(place, node)
            case IntLitRule() | FloatLitRule() | LiteralValueRule():
                return node.serialize()
        return self.refuse(place)

    def mapping(self, place: Place, node: ObjectRule) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for element in node.elements:
            match getattr(element.key, "value", None):
                case IdentifierRule() | IntLitRule() as key:
                    name = str(key.serialize())
                case StringRule() as key:
                    name = self.text(place, key)
                case _:
                    self.refuse(place)
                    continue
            self.entry(result, (*place, name), element)
        return result

    def text(self, place: Place, node: StringRule) -> str:
        return "".join(self.piece(place, part.content) for part in node.string_parts)

    def piece(self, place: Place, content: Any) -> str:
        match content.lark_name():
            case "STRING_CHARS":
                return process_escape_sequences(str(content.value))
            case "ESCAPED_INTERPOLATION" | "ESCAPED_DIRECTIVE":
                return str(content.value)[1:]
        self.refuse(place)
        return ""

    def refuse(self, place: Place) -> None:
        name = ".".join(str(part) for part in place)
        self.into.complain(place, f"'{name}' is an expression", PLAIN_ONLY)
