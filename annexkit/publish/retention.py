"""Which AMIs have had their time, which step is next for each, and why.

Values in, values out: no call is made here, and nothing depends on this machine. How
far an AMI has come is what EC2 itself says: ``DeprecationTime``, the state
``disabled``, and our tag that says when the last step was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from annexkit import tags
from annexkit.publish.keep_rule import KeepRule
from annexkit.registry import State

DAY = 86_400  # seconds
# EC2 takes no deprecation in the past and rounds to minutes, so ours begins a little
# later than it was asked for. Farther ahead it is somebody else's plan.
SOON = 300
Place = tuple[str, str]  # region and AMI id


class Step(StrEnum):
    """What happens to an AMI in this run."""

    KEEP = "keep"
    WAIT = "wait"
    RESTORE = "restore"
    DEPRECATE = "deprecate"
    DISABLE = "disable"
    DEREGISTER = "deregister"
    CLEAR = "clear"


# What was proved once; what was not is the reaper's.
PROVED = (State.READY, State.FAILED)
# What leads to an end; these count against the cap.
ENDING = (Step.DEPRECATE, Step.DISABLE, Step.DEREGISTER, Step.CLEAR)


@dataclass(frozen=True)
class Seen:
    """What EC2 says of an AMI of this account; times in epoch seconds.

    ``size``: GiB of its snapshots when each is counted in full.
    """

    state: str = "available"
    tags: Mapping[str, str] = field(default_factory=dict)
    deprecated_at: float | None = None
    last_launched: float | None = None
    protected: bool = False
    public: bool = False
    snapshots: tuple[str, ...] = ()
    size: float = 0.0

    @property
    def disabled(self) -> bool:
        """Whether nobody can launch it."""
        return self.state == "disabled"

    @property
    def step_at(self) -> float | None:
        """When our last step was taken; None when none was, or its tag is gone."""
        said = self.tags.get(tags.RETIRING, "")
        return float(said) if said.isdecimal() else None


@dataclass(frozen=True)
class Copy:
    """One build's AMI in one region, as the registry has it, and what EC2 says.

    ``created``: of the build, in epoch seconds. ``seen``: None where EC2 has no such
    AMI. ``left``: our snapshots of it that no AMI uses any more; ``size`` as of these.
    """

    image: str
    arch: str
    region: str
    build: str
    ami: str
    created: float
    state: State = State.READY
    seen: Seen | None = None
    left: tuple[str, ...] = ()
    left_size: float = 0.0

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.region, self.ami

    @property
    def size(self) -> float:
        """GiB that it keeps at most."""
        return self.seen.size if self.seen else self.left_size

    @property
    def order(self) -> tuple[float, str, str]:
        """Oldest first; the same for every run."""
        return self.created, self.region, self.ami


@dataclass(frozen=True)
class Terms:
    """The rule, and how long each stage lasts, in seconds.

    ``most``: how many steps that lead to an end one run may take.
    """

    rule: KeepRule
    grace: float
    disabled: float
    most: int


@dataclass(frozen=True)
class Evidence:
    """What is known besides the AMIs themselves.

    ``channels``: build → where it is pointed at, in any region. ``uses``: AMI → (guard,
    reason) for everything that uses it. ``pool``: build → what the pool says of it.
    ``pool_unknown``: why the pool was not asked; empty when it was, or there is none.
    """

    now: float
    channels: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[Place, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    pool: Mapping[str, str] = field(default_factory=dict)
    pool_unknown: str = ""


@dataclass(frozen=True)
class Verdict:
    """One AMI, what happens to it, which rule or guard decided, and why."""

    copy: Copy
    step: Step
    by: str
    reason: str


def judge(copies: Iterable[Copy], terms: Terms, evidence: Evidence) -> list[Verdict]:
    """Return a verdict for each AMI, oldest first.

    At most ``terms.most`` of them are steps that lead to an end: the oldest.
    """
    ordered = sorted(copies, key=lambda copy: copy.order)
    kept = kept_by_rule(ordered, terms.rule, evidence.now)
    verdicts = [_decide(c, kept.get(c.place), terms, evidence) for c in ordered]
    left = terms.most
    for at, verdict in enumerate(verdicts):
        if verdict.step in ENDING:
            if left <= 0:
                why = (
                    f"its turn to {verdict.step} comes later: {terms.most} steps a run"
                )
                verdicts[at] = replace(verdict, step=Step.WAIT, by="cap", reason=why)
            left -= 1
    return verdicts


def kept_by_rule(
    copies: Iterable[Copy], rule: KeepRule, now: float
) -> dict[Place, tuple[str, str]]:
    """Return what the rule keeps, with the part of it that does and the reason.

    Of each image, architecture and region by itself. What failed, or EC2 does not have,
    stands for no week: the one before it would be lost for it.
    """
    groups: dict[tuple[str, str, str], list[Copy]] = {}
    for copy in sorted(copies, key=lambda copy: copy.order, reverse=True):
        groups.setdefault((copy.image, copy.arch, copy.region), []).append(copy)
    kept: dict[Place, tuple[str, str]] = {}
    for group in groups.values():
        for place, why in _kept_of_one(group, rule, now):
            kept.setdefault(place, why)
    return kept


def _kept_of_one(
    newest_first: list[Copy], rule: KeepRule, now: float
) -> list[tuple[Place, tuple[str, str]]]:
    kept = []
    for copy in newest_first:
        age = now - copy.created
        if age < rule.nights * DAY:
            kept.append((copy.place, (rule.clause("nights"), f"{days(age)} old")))
    good = [c for c in newest_first if c.state is State.READY and c.seen]
    for copy in good[: rule.builds]:
        why = (rule.clause("builds"), f"one of the newest {rule.builds}")
        kept.append((copy.place, why))
    for unit, number, named in (
        ("weeks", _week, "%G-W%V"),
        ("months", _month, "%Y-%m"),
    ):
        spans: dict[int, Copy] = {}
        for copy in good:
            spans.setdefault(number(copy.created), copy)
        for span, copy in spans.items():
            if span > number(now) - getattr(rule, unit):
                name = datetime.fromtimestamp(copy.created, UTC).strftime(named)
                why = (rule.clause(unit), f"the newest of {name}")
                kept.append((copy.place, why))
    return kept


def _decide(
    copy: Copy, kept: tuple[str, str] | None, terms: Terms, evidence: Evidence
) -> Verdict:
    pointed = evidence.channels.get(copy.build)
    if copy.seen is None:
        return _of_missing(copy, pointed, kept, evidence.now)
    foreign = _foreign(copy, copy.seen)
    if foreign:
        return Verdict(copy, Step.KEEP, *foreign)
    if pointed:
        named = pointed.partition(" ")[0] in terms.rule.always
        by = terms.rule.always_clause if named else "channels"
        return _kept(copy, copy.seen, by, f"it is {pointed}")
    if kept:
        return _kept(copy, copy.seen, *kept)
    used = _used(copy, copy.seen, terms, evidence)
    if used:
        return Verdict(copy, Step.KEEP, *used)
    return _next_step(copy, copy.seen, terms, evidence)


def _of_missing(
    copy: Copy, pointed: str | None, kept: tuple[str, str] | None, now: float
) -> Verdict:
    """Judge what EC2 does not have: a run was cut short, or somebody took it."""
    young = now - copy.created < DAY  # EC2 may not show it yet, nor a bake be over
    if copy.state is not State.RETIRED and (pointed or kept or young):
        why = f"EC2 does not have it, and it is {pointed or 'not old enough to go'}"
        return Verdict(copy, Step.KEEP, "missing", f"{why}: invoke registry.verify")
    why = f"its AMI is gone ({days(now - copy.created)} old)"
    if copy.left:
        why += f"; left over: {', '.join(copy.left)}"
    return Verdict(copy, Step.CLEAR, "gone", why)


def _foreign(copy: Copy, seen: Seen) -> tuple[str, str] | None:
    """Say why an AMI is not ours to retire, whatever its age; None when it is."""
    if seen.tags.get(tags.BUILD) != copy.build:
        return "tag", f"it does not carry {tags.BUILD}={copy.build}: not ours to touch"
    if copy.state is State.RETIRED:
        return "registry", "the registry calls it retired: somebody brought it back"
    if tags.EXPIRES in seen.tags or copy.state not in PROVED:
        return "unproved", "it was never proved: invoke bake, or invoke reap"
    if seen.state not in ("available", "disabled"):
        return "state", f"EC2 says that it is {seen.state}"
    return None


def _kept(copy: Copy, seen: Seen, by: str, why: str) -> Verdict:
    """Keep it for good; a step that we took before it was wanted again is undone."""
    if seen.step_at is not None and (seen.disabled or seen.deprecated_at is not None):
        was = "disabled" if seen.disabled else "deprecated"
        return Verdict(copy, Step.RESTORE, by, f"{why}; we had {was} it")
    return Verdict(copy, Step.KEEP, by, why)


def _used(
    copy: Copy, seen: Seen, terms: Terms, evidence: Evidence
) -> tuple[str, str] | None:
    """Return the guard that says somebody uses it, and how; None when none does."""
    uses = list(evidence.uses.get(copy.place, ()))
    if copy.build in evidence.pool:
        uses.append(("pool", evidence.pool[copy.build]))
    if seen.public:
        uses.append(("sharing", "it is public"))
    if seen.protected:
        uses.append(("protection", "it is protected from deregistration"))
    launched = seen.last_launched
    if launched is not None and evidence.now - launched < terms.grace:
        ago = days(evidence.now - launched)
        uses.append(("launched", f"it was last launched {ago} ago"))
    if not uses:
        return None
    return uses[0][0], "; ".join(why for _, why in uses)


def _next_step(copy: Copy, seen: Seen, terms: Terms, evidence: Evidence) -> Verdict:
    by = str(terms.rule)
    why = f"{days(evidence.now - copy.created)} old"
    since = seen.deprecated_at
    if not seen.disabled and (since is None or since > evidence.now + SOON):
        return Verdict(copy, Step.DEPRECATE, by, f"{why}: no part of the rule keeps it")
    waits = _waits(seen, terms, evidence)
    if waits:
        return Verdict(copy, Step.WAIT, *waits)
    if not seen.disabled:
        return Verdict(copy, Step.DISABLE, by, f"{why}: its grace is over")
    if seen.step_at is None:
        why += ": disabled, but not by us; its wait begins now"
        return Verdict(copy, Step.DISABLE, by, why)
    return Verdict(copy, Step.DEREGISTER, by, f"{why}: it was disabled long enough")


def _waits(seen: Seen, terms: Terms, evidence: Evidence) -> tuple[str, str] | None:
    """Say why the next step is not taken yet; None when it is time."""
    now, deprecated, stepped = evidence.now, seen.deprecated_at, seen.step_at
    if seen.disabled and stepped is not None and now < stepped + terms.disabled:
        until = _moment(stepped + terms.disabled)
        why = f"disabled since {_moment(stepped)}, deregistered from {until} on"
        return "disabled", why
    if not seen.disabled and deprecated is not None and now < deprecated + terms.grace:
        until = _moment(deprecated + terms.grace)
        why = f"deprecated since {_moment(deprecated)}, disabled from {until} on"
        return "grace", why
    return ("pool", evidence.pool_unknown) if evidence.pool_unknown else None


def days(seconds: float) -> str:
    """Return a span in whole days, in words."""
    count = max(0, int(seconds // DAY))
    return f"{count} day{'' if count == 1 else 's'}"


def _week(moment: float) -> int:
    """Return the number of a moment's week since 1970, from Monday to Sunday (UTC)."""
    return (int(moment // DAY) + 3) // 7  # 1970-01-01 was a Thursday


def _month(moment: float) -> int:
    there = datetime.fromtimestamp(moment, UTC)
    return there.year * 12 + there.month


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
