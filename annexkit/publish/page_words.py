"""The small words of the morning page: numbers, times, money, text of others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

# Commands longer than this are shown as text: half a command would do harm.
WHOLE = 500
COMMAND = re.compile(
    r"(invoke|aws|export|sudo|git|gh|make|ssh|packer|systemctl|condor_\w+) \S"
)


def plain(text: str, most: int = 2000) -> str:
    """Return text of others in one line, cut at *most* characters.

    What is no visible character (control characters, those that turn the direction of
    writing, halves of surrogates) becomes U+FFFD: it can neither hide nor reorder.
    """
    line = " ".join(text[: 4 * most].split())
    seen = line
    if not line.isprintable():
        seen = "".join(c if c.isprintable() else _visible(c) for c in line)
    return seen if len(seen) <= most else seen[: most - 1].rstrip() + "…"


def is_command(mend: str) -> bool:
    """Whether a mend can be typed as it stands; otherwise it is a sentence."""
    return COMMAND.match(mend) is not None


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "region"), counted(2, "image is", "images are")
    ('1 region', '2 images are')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def joined(words: Iterable[str], most: int = 3) -> str:
    """Return words as a list of at most *most*, and how many more there are.

    >>> joined(["a", "b", "c", "d"], most=2), joined(["a", "b"])
    ('a, b and 2 more', 'a and b')
    """
    words = list(words)
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def took(seconds: float) -> str:
    """Return a time span: ``0.4 s``, ``42 s``, ``3 min 20 s``, ``1 h 5 min``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def money(dollars: float) -> str:
    """Return US dollars; what is not nothing is never shown as nothing."""
    return "less than $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def moment(when: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def span(began: datetime, ended: datetime | None) -> str:
    """Return when something was, in UTC, and how long it took."""
    if ended is None:
        return f"since {moment(began)}"
    first, last = began.astimezone(UTC), ended.astimezone(UTC)
    to = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return (
        f"{first:%Y-%m-%d %H:%M} to {to} UTC ({took((last - first).total_seconds())})"
    )


def _visible(character: str) -> str:
    # Spaces of other widths are not "printable", but harmless.
    return " " if unicodedata.category(character) == "Zs" else "\ufffd"
