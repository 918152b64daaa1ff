"""Package mirrors from this machine's own apt sources (sources.list(5))."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from debian_inspector.debcon import get_paragraphs_data

# Names that stand for a release, whatever its code name is today.
ALIASES = ("stable", "testing", "unstable", "sid", "oldstable", "oldoldstable")
KINDS = ("", "-updates", "-security")
SCHEMES = ("http://", "https://", "file:")


@dataclass(frozen=True)
class Source:
    """One suite of one repository, as an apt source names it."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True)
class Mirror:
    """Where the machine gets its distribution from.

    ``kind`` is what comes after the release's name: ``""``, ``-updates``,
    ``-security``.
    """

    uri: str
    kind: str


def read_sources(apt_dir: Path) -> list[Source]:
    """Read all enabled binary sources, in apt's own order; unreadable files are none.

    :param apt_dir: ``/etc/apt``, or what stands for it in a test.
    """
    parts = apt_dir / "sources.list.d"
    found: list[Source] = []
    for path in (apt_dir / "sources.list", *sorted(parts.glob("*"))):
        if path.suffix == ".list":
            found += _one_line(_text(path))
        elif path.suffix == ".sources":
            found += _deb822(_text(path))
    return found


def mirrors(sources: list[Source], codename: str) -> list[Mirror]:
    """Return the mirrors of the machine's own distribution, without repetition.

    A source counts when its suite is the machine's release (or an alias such as
    ``stable``), plain, ``-updates`` or ``-security``, with component ``main``.
    """
    names = {name + kind: kind for name in (codename, *ALIASES) for kind in KINDS}
    found = [
        Mirror(source.uri, names[source.suite])
        for source in sources
        if source.suite in names
        and "main" in source.components
        and source.uri.startswith(SCHEMES)
    ]
    return list(dict.fromkeys(found))


def codename() -> str:
    """Return this machine's release by name (os-release(5)), or ``""``."""
    return _os_release("VERSION_CODENAME")


def distribution() -> str:
    """Return this machine's distribution (``debian``; os-release(5)), or ``""``."""
    return _os_release("ID")


def _os_release(field: str) -> str:
    try:
        return platform.freedesktop_os_release().get(field, "")
    except OSError:
        return ""


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words[:1] != ["deb"]:
            continue
        if len(words) > 1 and words[1].startswith("["):
            # Options may be spread over several words: [ arch=amd64 trusted=yes ].
            ends = (at for at, word in enumerate(words) if word.endswith("]"))
            words[1 : next(ends, len(words)) + 1] = []
        if len(words) > 3:
            yield Source(_uri(words[1]), words[2], tuple(words[3:]))


def _deb822(text: str) -> Iterator[Source]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for stanza in get_paragraphs_data("\n".join(lines)):
        fields = {key: str(value).split() for key, value in stanza.items()}
        enabled = fields.get("enabled", ["yes"]) != ["no"]
        if not enabled or "deb" not in fields.get("types", []):
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                components = tuple(fields.get("components", ()))
                yield Source(_uri(uri), suite, components)


def _uri(text: str) -> str:
    return text if text.endswith("/") else f"{text}/"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
