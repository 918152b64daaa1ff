"""What to keep of old builds, in words: ``14 nights, 8 weeks, current always``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from annexkit.errors import Finding, FindingsError, Level, nearest

WHERE = "annexkit.retire.keep"
UNITS = ("nights", "weeks", "months", "builds")
CHANNELS = ("current", "previous", "candidate")
KNOWN = (*UNITS, *CHANNELS, "and", "always")
EXAMPLE = "14 nights, 8 weeks, current and previous always"
MOST = 9999  # of anything: more is a slip of the finger


@dataclass(frozen=True)
class KeepRule:
    """What is kept of each image, for each architecture and region by itself.

    ``nights``: every build younger than so many days. ``weeks`` and ``months``: the
    newest build of each of the last so many calendar weeks or months (UTC, Monday
    first), this one included. ``builds``: the newest so many. ``always``: channels;
    current, previous and candidate are kept without a word, too.
    """

    nights: int = 0
    weeks: int = 0
    months: int = 0
    builds: int = 0
    always: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it as :func:`parse` reads it."""
        parts = [self.clause(unit) for unit in UNITS if getattr(self, unit)]
        if self.always:
            parts.append(self.always_clause)
        return ", ".join(parts)

    def clause(self, unit: str) -> str:
        """Return one part of it: ``14 nights``."""
        count = getattr(self, unit)
        return f"{count} {unit[:-1] if count == 1 else unit}"

    @property
    def always_clause(self) -> str:
        """Return the part about channels: ``current and previous always``."""
        return f"{' and '.join(self.always)} always"


def parse(text: str) -> KeepRule:
    """Read a rule: parts with commas between them, numbers with units or channels.

    :raises FindingsError: naming each word that has no place in it.
    """
    found: list[Finding] = []
    counts: dict[str, int] = {}
    always: list[str] = []
    words = re.sub(r"^\s*keep\b:?", "", text, flags=re.IGNORECASE).lower()
    for part in words.split(","):
        strangers = list(_strangers(part))
        if strangers:
            found += strangers
        elif not part.strip():
            found.append(_wrong("an empty part", "remove the comma too many"))
        elif set(part.split()) & {*CHANNELS, "always"}:
            found += _channels(part.split(), always)
        else:
            for clause in re.split(r"\band\b", part):
                found += _count(clause.split(), counts)
    if found:
        raise FindingsError(found)
    return KeepRule(**counts, always=tuple(always))


def _strangers(part: str) -> Iterator[Finding]:
    for word in part.split():
        if word.isdecimal() or word in KNOWN or f"{word}s" in UNITS:
            continue
        hint = nearest(word, KNOWN) or f"known words: {', '.join(KNOWN)}"
        yield _wrong(f"unknown word '{word[:40]}'", hint)


def _channels(words: list[str], always: list[str]) -> Iterator[Finding]:
    """Read ``current and previous always``."""
    said = " ".join(words)
    names = words[:-1:2]
    joined = set(words[1:-1:2]) <= {"and"}
    if words[-1] != "always" or not joined or not set(names) <= set(CHANNELS):
        yield _wrong(f"'{said}' is no part of a rule", "current and previous always")
        return
    if len(words) % 2 or not names:
        yield _wrong(f"'{said}' names no channel", "current and previous always")
        return
    for name in names:
        if name in always:
            yield _wrong(f"'{name}' stands twice", "say it once")
        always.append(name)


def _count(words: list[str], counts: dict[str, int]) -> Iterator[Finding]:
    """Read ``14 nights``."""
    said = " ".join(words)
    if len(words) != 2 or not words[0].isdecimal() or words[1].isdecimal():
        yield _wrong(f"'{said}' is no part of a rule", "a number and a unit: 14 nights")
        return
    unit = words[1] if words[1] in UNITS else f"{words[1]}s"
    count = int(words[0])
    if unit not in UNITS:
        yield _wrong(f"'{said}' has no unit", f"one of: {', '.join(UNITS)}")
    elif not 1 <= count <= MOST:
        yield _wrong(f"'{said}': from 1 to {MOST}", f"leave {unit} out to keep none")
    elif unit in counts:
        yield _wrong(f"'{unit}' stands twice", "say it once")
    else:
        counts[unit] = count


def _wrong(what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, WHERE, f"{mend} (such as: {EXAMPLE})")
