"""``invoke retire``: end old builds, stage by stage, once nobody uses them.

The plan comes from the registry and from what EC2 says; a run that was stopped is gone
on with by the next, from any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event

from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows import retire_guards
from annexkit.flows.retire_guards import PARALLEL, channels
from annexkit.flows.site import Site
from annexkit.publish.keep_rule import parse
from annexkit.publish.retention import (
    ENDING,
    Copy,
    Evidence,
    Step,
    Terms,
    Verdict,
    judge,
)
from annexkit.publish.retire_look import Region, look
from annexkit.publish.retire_look import uses as uses_of
from annexkit.publish.retire_steps import Hand
from annexkit.registry import RegionBuild, Registry, State
from annexkit.registry.edits import set_note, set_retired

TIMEOUT = 300.0  # seconds; for what EC2 shows late
WORK = (*ENDING, Step.RESTORE)


class RetireChanged(AnnexkitError):
    """What the plan rests on is not so any more."""


@dataclass(frozen=True)
class RetirePlan:
    """What would be done: a verdict for each AMI, oldest first.

    ``unreachable``: the regions that did not answer, with the reason; nothing is said
    of their AMIs. ``pool``: why the pool was not asked; empty when it was, or need not.
    """

    terms: Terms
    verdicts: tuple[Verdict, ...]
    regions: tuple[str, ...]
    unreachable: dict[str, str] = field(default_factory=dict)
    pool: str = ""

    @property
    def work(self) -> list[Verdict]:
        """What this run would do."""
        return [verdict for verdict in self.verdicts if verdict.step in WORK]


@dataclass(frozen=True)
class Done:
    """One step and what became of it; ``error`` is empty when it was taken."""

    verdict: Verdict
    error: str = ""


def terms_of(site: Site) -> Terms:
    """Read the rule and the stages from the settings.

    :raises FindingsError: a word of the rule has no place in it.
    """
    settings = site.settings.retire
    return Terms(parse(settings.keep), settings.grace, settings.disabled, settings.most)


def survey(
    site: Site, regions: tuple[str, ...] = (), *, no_pool: bool = False
) -> RetirePlan:
    """Look at every AMI of the registry and judge it; changes nothing.

    Two calls a region; more only where a step is due.

    :param regions: where; every region of the registry by default.
    :raises FindingsError: the rule cannot be read.
    :raises RegistryError: the registry is another account's.
    :raises UsageError: the registry has no such region.
    """
    terms = terms_of(site)
    site.check_account()
    registry = site.registry.read()
    chosen = _regions(registry, regions)
    looked, silent = _look(site, chosen)
    copies = _to_judge(registry, looked)
    evidence = Evidence(site.clock.time(), channels(registry))
    due = [v.copy for v in _by_look(copies, terms, evidence) if _needs_asking(v)]
    evidence, deaf = _ask_guards(site, due, evidence, no_pool=no_pool)
    known = [copy for copy in copies if copy.region not in deaf]
    verdicts = tuple(judge(known, terms, evidence))
    return RetirePlan(terms, verdicts, chosen, silent | deaf, evidence.pool_unknown)


def is_due(site: Site, looked: Mapping[str, Region]) -> bool:
    """Say whether :func:`survey` could find anything to do, by what EC2 said already.

    Makes no call. Who uses an AMI is not asked: that only keeps what would go. Nor is
    what is left of AMIs that are gone: the next run that has anything to do clears it.

    :param looked: the regions that answered.
    :raises FindingsError: the rule cannot be read.
    """
    registry = site.registry.read()
    evidence = Evidence(site.clock.time(), channels(registry))
    judged = _by_look(_to_judge(registry, looked), terms_of(site), evidence)
    return any(verdict.step in WORK for verdict in judged)


def _to_judge(registry: Registry, looked: Mapping[str, Region]) -> list[Copy]:
    return [
        copy
        for copy in _copies(registry, looked)
        if copy.state is not State.RETIRED or copy.seen or copy.left
    ]


def _by_look(copies: list[Copy], terms: Terms, evidence: Evidence) -> list[Verdict]:
    """Judge without a cap, as if nobody used any of them."""
    return judge(copies, replace(terms, most=len(copies)), evidence)


def _ask_guards(
    site: Site, due: list[Copy], evidence: Evidence, *, no_pool: bool
) -> tuple[Evidence, dict[str, str]]:
    """Ask who uses what is due; nobody is asked when nothing is.

    :returns: the evidence with the answers, and the regions that did not give theirs.
    """
    if not due:
        return evidence, {}
    found, deaf = retire_guards.in_regions(site, due)
    for place, guards in retire_guards.on_this_machine(site, due).items():
        found.setdefault(place, []).extend(guards)
    no_pool = no_pool or site.settings.retire.no_pool
    pool = retire_guards.ask_pool(site, no_pool=no_pool)
    uses = {place: tuple(guards) for place, guards in found.items()}
    known = replace(evidence, uses=uses, pool=pool.builds, pool_unknown=pool.unknown)
    return known, deaf


def carry_out(
    site: Site, plan: RetirePlan, tell: Callable[[Done], None] = lambda _: None
) -> list[Done]:
    """Take the steps of a plan, region by region at once, the oldest first in each.

    One that fails is told and stops no other. Before each step the registry is asked
    once more whether a channel has come to point at the build.
    """
    by_region: dict[str, list[Verdict]] = {}
    for verdict in plan.work:
        by_region.setdefault(verdict.copy.region, []).append(verdict)
    stop = Event()
    hand = Hand(site.cloud, site.clock, TIMEOUT, site.settings.poll)

    def run(there: list[Verdict]) -> list[Done]:
        return list(_steps(site, hand, there, stop, tell))

    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        asked = [threads.submit(run, there) for there in by_region.values()]
        try:
            return [done for answer in asked for done in answer.result()]
        except BaseException:  # a signal: what runs ends its step, nothing else begins
            stop.set()
            raise


def _steps(
    site: Site,
    hand: Hand,
    verdicts: list[Verdict],
    stop: Event,
    tell: Callable[[Done], None],
) -> Iterator[Done]:
    for verdict in verdicts:
        if stop.is_set():
            return
        try:
            _take(site, hand, verdict)
            done = Done(verdict)
        except AnnexkitError as error:
            done = Done(verdict, str(error))
        tell(done)
        yield done


def _take(site: Site, hand: Hand, verdict: Verdict) -> None:
    """Take one step and record it.

    :raises RetireChanged: the registry has moved on since the plan was made.
    """
    copy, step = verdict.copy, verdict.step
    _check_unchanged(site.registry.read(), verdict)
    if step is Step.DISABLE:  # the last moment at which somebody could launch it
        _check_unused(site, copy)
    note = hand.take(step, copy)
    if step in (Step.DEREGISTER, Step.CLEAR):
        edit = partial(set_retired, reason=f"{note}: {verdict.reason}")
    else:
        edit = partial(set_note, note=note)

    def record(registry: Registry) -> None:
        if _there(registry, copy) is not None:
            edit(registry, image=copy.image, build_id=copy.build, region=copy.region)

    site.registry.update(record)


def _check_unchanged(registry: Registry, verdict: Verdict) -> None:
    """Refuse a step when a bake, a promotion or another checkout came before it.

    :raises RetireChanged: naming what is different.
    """
    copy = verdict.copy
    there = _there(registry, copy)
    pointed = channels(registry).get(copy.build)
    if there is None or there.ami != copy.ami or there.state is not copy.state:
        what = "the registry says something else of it by now"
    elif pointed and verdict.step is not Step.RESTORE:
        what = f"its build became {pointed} meanwhile"
    else:
        return
    where = f"{copy.ami} in {copy.region}"
    raise RetireChanged(f"{what}; nothing was done", where=where, mend="invoke retire")


def _check_unused(site: Site, copy: Copy) -> None:
    """Refuse to disable what somebody began to use since the plan was made.

    :raises RetireChanged: saying how it is used.
    """
    found = uses_of(site.cloud, copy.region, [copy]).get(copy.ami)
    if found:
        why = "; ".join(reason for _, reason in found)
        where = f"{copy.ami} in {copy.region}"
        raise RetireChanged(
            f"{why}; nothing was done", where=where, mend="invoke retire"
        )


def _there(registry: Registry, copy: Copy) -> RegionBuild | None:
    record = registry.images.get(copy.image)
    build = record.builds.get(copy.build) if record else None
    return build.regions.get(copy.region) if build else None


def _needs_asking(verdict: Verdict) -> bool:
    """Say whether a guard may change what happens: not for what is gone already."""
    return verdict.step in (Step.DEPRECATE, Step.DISABLE, Step.DEREGISTER)


def _regions(registry: Registry, asked: tuple[str, ...]) -> tuple[str, ...]:
    known = registry.regions()
    for region in asked:
        if region not in known:
            raise UsageError(
                f"the registry has no AMI in '{region}'",
                where="--region",
                mend=f"it has some in: {', '.join(sorted(known)) or 'no region'}",
            )
    return tuple(sorted(set(asked) or known))


def _look(
    site: Site, regions: tuple[str, ...]
) -> tuple[dict[str, Region], dict[str, str]]:
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        asked = {r: threads.submit(look, site.cloud, r) for r in regions}
    looked: dict[str, Region] = {}
    silent: dict[str, str] = {}
    for region, answer in asked.items():
        try:
            looked[region] = answer.result()
        except AwsError as error:
            silent[region] = str(error)
    return looked, silent


def _copies(registry: Registry, looked: Mapping[str, Region]) -> Iterator[Copy]:
    for image, record in registry.images.items():
        for build_id, build in record.builds.items():
            for region, there in build.regions.items():
                if not there.ami or region not in looked:
                    continue
                copy = Copy(
                    image=image,
                    arch=build.arch,
                    region=region,
                    build=build_id,
                    ami=there.ami,
                    created=build.created.timestamp(),
                    state=there.state,
                )
                yield looked[region].fill(copy, there.snapshot or "")
