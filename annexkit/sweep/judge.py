"""Say of each thing whether it may go, and why; no call is made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from annexkit import tags
from annexkit.journal import Entry
from annexkit.sweep.find import Thing


class Fate(StrEnum):
    """What happens to a thing."""

    TAKE = "take"
    LATER = "later"
    KEEP = "keep"


@dataclass(frozen=True)
class Verdict:
    """One thing, what happens to it, and the reason in words."""

    thing: Thing
    fate: Fate
    reason: str
    age: float | None = None


@dataclass(frozen=True)
class Evidence:
    """What is known besides the things themselves.

    :param entries: the open journal entries of this account and endpoint.
    :param registered: (region, AMI id) of the images that are proved in the registry.
    :param seen: thing key → when a reap first saw it, in epoch seconds.
    :param min_age: seconds; see ``reap.min_age`` in invoke.yaml.
    """

    now: float
    entries: tuple[Entry, ...] = ()
    registered: frozenset[tuple[str, str]] = frozenset()
    seen: Mapping[str, float] = field(default_factory=dict)
    min_age: float = 7200


def judge(things: Iterable[Thing], evidence: Evidence) -> list[Verdict]:
    """Return a verdict for each thing, in the same order."""
    return [_verdict(thing, evidence) for thing in things]


def _verdict(thing: Thing, evidence: Evidence) -> Verdict:
    fate, reason = _decide(thing, evidence)
    age = None if thing.created is None else max(0.0, evidence.now - thing.created)
    return Verdict(thing, fate, reason, age)


def _decide(thing: Thing, evidence: Evidence) -> tuple[Fate, str]:
    if (thing.region, thing.id) in evidence.registered:
        return Fate.KEEP, "the registry holds it as ready"
    entry = _entry_of(thing, evidence.entries)
    if entry is not None and entry.owner.alive:
        what = "launch" if thing.launch else "bake"
        return Fate.KEEP, f"a running {what} owns it (pid {entry.owner.pid})"
    if thing.launch:
        return _of_annex(thing, entry, evidence.now)
    expires = tags.expiry(thing.tags)
    if expires is None and any(key.startswith(tags.PREFIX) for key in thing.tags):
        # A proved image has lost its expiry; another checkout's registry may hold it,
        # even when the bake died right after, before it could strike its entry.
        return Fate.KEEP, "it carries our tags and no expiry: another registry's"
    if entry is not None and entry.owner.gone:
        return Fate.TAKE, f"the bake it belongs to is gone (pid {entry.owner.pid})"
    return _by_age(thing, expires, evidence)


def _of_annex(thing: Thing, entry: Entry | None, now: float) -> tuple[Fate, str]:
    """Judge what an annex has: by its launch's process first, then by its lease."""
    annex = f"annex {thing.tags.get(tags.ANNEX, '?')}"
    expires = tags.expiry(thing.tags)
    # Later than its launch's probation: it was verified, and may have jobs by now.
    leased = entry is not None and expires is not None and expires > entry.deadline + 1
    if entry is not None and entry.owner.gone and not leased:
        return (
            Fate.TAKE,
            f"{annex}: the launch it belongs to is gone (pid {entry.owner.pid})",
        )
    if expires is None:
        # Every launch writes it; somebody took it off, and only they know why.
        return Fate.KEEP, f"{annex}: it says no end of its lease; end it: {_end(thing)}"
    if now >= expires:
        return Fate.TAKE, f"{annex}: its lease was over {_span(now - expires)} ago"
    until = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Fate.KEEP, f"{annex}: its lease runs until {until}"


def _end(thing: Thing) -> str:
    name = thing.tags.get(tags.ANNEX, "...")
    return f"invoke terminate --annex-name {name} --region {thing.region}"


def _by_age(
    thing: Thing, expires: float | None, evidence: Evidence
) -> tuple[Fate, str]:
    if expires is not None:
        if evidence.now >= expires:
            return Fate.TAKE, f"its time was over {_span(evidence.now - expires)} ago"
        return Fate.LATER, f"its time is over in {_span(expires - evidence.now)}"
    return _untagged(thing, evidence)


def _untagged(thing: Thing, evidence: Evidence) -> tuple[Fate, str]:
    if thing.kind == "image" and thing.state == "pending":
        return Fate.LATER, "it is still being made"
    first = evidence.seen.get(thing.key)
    since = thing.created if thing.created is not None else first
    if first is None or first >= evidence.now:
        return Fate.LATER, "untagged, with our name, and seen for the first time"
    if since is None or evidence.now - since < evidence.min_age:
        return Fate.LATER, f"untagged and younger than {_span(evidence.min_age)}"
    return Fate.TAKE, "untagged, with our name, old enough and seen before"


def belongs(thing: Thing, entry: Entry) -> bool:
    """Say whether an entry's bake or launch made a thing: by its tag, else its name.

    An annex's things name the build of their image, too, and are not that bake's.
    """
    if entry.region != thing.region:
        return False
    if entry.launch or thing.launch:
        return entry.launch == thing.launch
    if thing.build:
        return entry.build == thing.build
    named = bool(entry.ami_name) and thing.name == entry.ami_name
    return named or (bool(entry.build) and entry.build in thing.name)


def _entry_of(thing: Thing, entries: Iterable[Entry]) -> Entry | None:
    """Find the entry of a thing; of several, one whose owner lives counts."""
    found = [entry for entry in entries if belongs(thing, entry)]
    return min(found, key=lambda entry: not entry.owner.alive, default=None)


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
