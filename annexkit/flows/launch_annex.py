"""``invoke launch``: from a registry's AMI to verified nodes in the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from annexkit import instances
from annexkit.errors import AnnexkitError, Exit, Finding, Level, raise_on_errors
from annexkit.flows import launch_plan, launch_run, launch_start
from annexkit.flows.launch_follow import Followed, Outcome, follow
from annexkit.flows.launch_plan import Ready
from annexkit.flows.launch_request import LaunchRequest
from annexkit.flows.launch_run import LaunchError, Run
from annexkit.flows.launch_undo import undone_on_error
from annexkit.flows.site import Site
from annexkit.instances import Launch
from annexkit.launch import longlived
from annexkit.launch.words import money, stamp

COLUMNS = ("instance", "type", "zone", "market", "SSH", "in the pool as", "seconds")


@dataclass
class Result:
    """What a launch came to."""

    outcomes: list[Outcome] = field(default_factory=list)
    unknown: AnnexkitError | None = None
    layers: tuple[str, ...] = ()

    def add(self, followed: Followed) -> None:
        """Add what became of one wave of nodes."""
        self.outcomes += followed.outcomes
        self.unknown = self.unknown or followed.unknown
        self.layers = followed.layers or self.layers

    @property
    def good(self) -> list[Outcome]:
        """The nodes that are leased."""
        return [one for one in self.outcomes if one.good]

    def exit(self, wanted: int) -> Exit:
        """DONE: all there and checked; FAILED: none; else PARTLY."""
        if not self.good:
            return Exit.FAILED
        unsure = any(one.ssh == "not checked" for one in self.good)
        partly = len(self.good) < wanted or unsure or self.unknown is not None
        return Exit.PARTLY if partly else Exit.DONE


def launch_annex(site: Site, request: LaunchRequest) -> Exit:
    """Plan, launch, verify, lease and report one launch of an annex.

    :returns: DONE; PARTLY for fewer nodes than wanted, or where SSH or the pool could
        not be asked; FAILED for none.
    :raises FindingsError: the plan has errors; nothing was made.
    :raises Interrupted: a person stopped it; what it made is ended.
    """
    ready = launch_plan.prepare(site, request)
    _show_plan(site, ready, request)
    raise_on_errors(ready.plan.findings)  # which shows all of them
    _say(site, ready.plan.findings)
    trial = _trial(site, ready)
    if request.dry_run:
        _try(site, ready, trial)
        return Exit.DONE
    run = launch_run.begin(site, ready)
    site.console.step(f"launch {run.id} of annex {run.annex} in {run.region}")
    result = Result()
    with undone_on_error(run):
        launch_run.provide(run)
        for count in _waves(ready, request):
            wave = launch_start.start(run, count)
            _say(site, wave.findings())
            if wave.ids:
                result.add(follow(run, wave.ids))
            if len(result.good) < count and request.canary:
                break
        if not result.good:
            raise _none(run)
        launch_run.record(run)
        launch_run.strike(run)
    _report(run, result)
    return result.exit(ready.launch.count)


def _waves(ready: Ready, request: LaunchRequest) -> Iterable[int]:
    """Return how many nodes to ask for at a time: all, or one before the rest."""
    count = ready.launch.count
    return (1, count - 1) if request.canary and count > 1 else (count,)


def _none(run: Run) -> LaunchError:
    why = ", ".join(f"{code} ({n} times)" for code, n in run.failures.most_common())
    mend = "see the findings above; each says what mends it"
    if not run.ids:
        mend += "; against missing capacity more types help: launch.instance_types"
    return LaunchError(
        f"no node of {run.ready.launch.count} came into the pool: {why or 'no reason'}",
        where=f"annex {run.annex} in {run.region}",
        mend=mend,
    )


def _show_plan(site: Site, ready: Ready, request: LaunchRequest) -> None:
    """Show the plan; as JSON only when it is the result."""
    if site.console.as_json and request.dry_run:
        site.console.result(ready.plan.as_json())
    elif not site.console.as_json:
        site.console.table(("plan", ""), ready.plan.rows())


def _trial(site: Site, ready: Ready) -> Launch:
    """Return the request that would be made; nothing is made for it.

    :raises AnnexkitError: its user data cannot be rendered, or is too large.
    """
    run, target = launch_run.imagined(site, ready), ready.plan.targets[0]
    trial = launch_start.request(run, target, 1, run.annex)
    trial.parameters()
    return trial


def _try(site: Site, ready: Ready, trial: Launch) -> None:
    """Ask EC2 whether it would take the first request; no capacity is tested by it."""
    pieces = longlived.look(site.cloud, ready.wants)
    missing = [piece.what for piece in pieces if piece.state == "missing"]
    if missing:
        said = f"EC2 was not asked: {', '.join(missing)} would have to be made first"
        site.console.detail(said)
        return
    instances.dry_run(site.cloud, trial)
    where = ready.plan.targets[0]
    site.console.step(f"EC2 would take the request ({where}); nothing was made")


def _say(site: Site, findings: Iterable[Finding]) -> None:
    for finding in findings:
        site.console.finding(finding)


def _report(run: Run, result: Result) -> None:
    site, good = run.site, result.good
    if result.unknown is not None:
        what = f"the pool was not asked: {result.unknown.what}"
        _say(site, [Finding(Level.WARNING, what, "pool", result.unknown.mend)])
    rows = [_row(one) for one in result.outcomes]
    site.console.table(COLUMNS, rows, data=_as_json(run, result))
    cost = _hourly(run, good)
    site.console.step(
        f"annex {run.annex}: {len(good)} of {run.ready.launch.count} nodes, until "
        f"{stamp(run.lease_ends)}, {'cost not known' if cost is None else money(cost)} "
        "an hour"
    )
    name = f"--annex-name {run.annex} --region {run.region}"
    site.console.detail(f"look: invoke status {name}; end it: invoke terminate {name}")


def _hourly(run: Run, good: list[Outcome]) -> float | None:
    """Return what the nodes cost an hour in USD; None when a price is not known."""
    price = {t.priced_as: t.price for t in run.ready.plan.targets}
    each = [price.get(f"{o.node.instance_type}/{o.node.market}") for o in good]
    known = [usd for usd in each if usd is not None]
    return sum(known) if len(known) == len(each) else None


def _row(one: Outcome) -> tuple[str, ...]:
    node = one.node
    seconds = one.seconds.get("joined", one.seconds.get("checks", 0.0))
    who = one.joined.identity if one.joined else "-"
    return (
        node.id,
        node.instance_type,
        node.zone,
        node.market,
        one.ssh if one.good else f"{one.ssh}: ended",
        who,
        f"{seconds:.1f}",
    )


def _as_json(run: Run, result: Result) -> dict[str, Any]:
    good, wanted = result.good, run.ready.launch.count
    return {
        "annex": run.annex,
        "launch": run.id,
        "region": run.region,
        "image": run.ready.chosen.image.name,
        "build": run.ready.chosen.build_id,
        "ami": run.ready.chosen.ami,
        "wanted": wanted,
        "good": len(good),
        "by_market": dict(Counter(one.node.market for one in good)),
        "hourly_cost": _hourly(run, good),
        "lease_ends": int(run.lease_ends),
        "layers": list(result.layers),
        "failures": dict(run.failures),
        "nodes": [one.as_json() for one in result.outcomes],
        "seconds": _laps(result),
        "exit": int(result.exit(wanted)),
    }


def _laps(result: Result) -> dict[str, float]:
    """Return when the last good node was verified and in the pool, since the start."""
    found: dict[str, float] = {}
    for name in ("checks", "joined"):
        if times := [one.seconds[name] for one in result.good if name in one.seconds]:
            found[name] = max(times)
    return found
