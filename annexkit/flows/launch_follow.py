"""From launched instances to nodes in the pool: verify, join, lease, or end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annexkit import annexes
from annexkit.errors import AnnexkitError, Finding, FindingsError, Level
from annexkit.flows import launch_undo, lease, why
from annexkit.flows.expect_nodes import expectation
from annexkit.flows.join_nodes import Joined, wait_joined
from annexkit.flows.launch_run import Run
from annexkit.flows.verify_nodes import Access, NodeResult, verify_nodes
from annexkit.instances import Instance
from annexkit.launch import schedule
from annexkit.launch.words import stamp
from annexkit.verify import funnel
from annexkit.verify.pool_side import Join

OPENED = 30.0  # seconds that nodes may take to see their lease and to say so
EXPLAINED = 3  # failed nodes whose funnel is walked; the others failed likewise


@dataclass
class Outcome:
    """How one node did; ``problem`` is None when it is wanted and got its lease.

    ``seconds`` since the launch began: running, console, login, checks, joined.
    """

    node: Instance
    ssh: str
    joined: Join | None = None
    problem: AnnexkitError | None = None
    broken: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the node got its lease."""
        return self.problem is None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "id": self.node.id,
            "type": self.node.instance_type,
            "zone": self.node.zone,
            "market": self.node.market,
            "ssh": self.ssh,
            "joined": self.joined is not None,
            "identity": self.joined.identity if self.joined else "",
            "method": self.joined.method if self.joined else "",
            "good": self.good,
            "problem": str(self.problem) if self.problem else "",
            "broken_step": self.broken,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Followed:
    """What became of some nodes; ``unknown`` says why the pool could not be asked."""

    outcomes: tuple[Outcome, ...]
    unknown: AnnexkitError | None = None
    layers: tuple[str, ...] = ()

    @property
    def good(self) -> list[Outcome]:
        """Those that got their lease."""
        return [one for one in self.outcomes if one.good]

    @property
    def bad(self) -> list[Outcome]:
        """Those that were ended."""
        return [one for one in self.outcomes if not one.good]


def follow(run: Run, ids: Sequence[str]) -> Followed:
    """Verify nodes over SSH and in the pool, lease the good ones, end the others.

    Where SSH cannot reach a node from here, the collector alone verifies it; where the
    collector cannot be asked, SSH alone does.

    :raises AnnexkitError: AWS could not be asked, or a bad node does not end.
    """
    begun = _since(run)
    results = _verified(run, ids)
    hopeful = [r.id for r in results if r.good or r.ssh == "not checked"]
    asked = _since(run)
    joined = _joined(run, hopeful)
    nodes = _described(run)
    outcomes = tuple(
        _outcome(run, nodes.get(result.id, _unseen(run, result.id)), result, joined)
        for result in results
    )
    for one in outcomes:
        one.seconds = {name: round(begun + s, 3) for name, s in one.seconds.items()}
        if one.joined:
            one.seconds["joined"] = round(asked + one.joined.seconds, 3)
    found = Followed(outcomes, joined.not_checked if hopeful else None)
    layers = _lease(run, found)
    try:
        _end(run, found)
    except AnnexkitError as error:
        # The good ones have their lease by now; the others end by their probation.
        run.site.console.error(error)
        run.site.console.detail(
            f"what is on probation ends by {stamp(run.probation_ends)}"
        )
    return replace(found, layers=layers)


def _verified(run: Run, ids: Sequence[str]) -> list[NodeResult]:
    run.site.console.step(f"verifying {len(ids)} nodes over SSH as they boot")
    return verify_nodes(
        run.site,
        run.region,
        [_unseen(run, one) for one in ids],
        Access(
            run.ready.chosen.image.ssh_user,
            run.key,
            run.site.settings.ssh.interface,
            run.folder.known_hosts,
        ),
        expectation(run.site),
        timeout=run.ready.launch.boot_timeout,
        on_done=lambda result: _tell(run, result),
    )


def _since(run: Run) -> float:
    """Return how many seconds the launch has taken so far."""
    return run.site.clock.time() - run.began


def _tell(run: Run, result: NodeResult) -> None:
    said = f"{result.id}: SSH {result.ssh}"
    if result.report:
        count = len(result.report.checks)
        failed = len(result.report.findings)
        said = f"{result.id}: {count - failed} of {count} checks passed"
    run.site.console.detail(f"{_since(run):6.1f} s  {said}")


def _joined(run: Run, ids: list[str]) -> Joined:
    if ids:
        run.site.console.step(f"waiting for {len(ids)} nodes in the pool")
    return wait_joined(
        run.site,
        run.ready.pool,
        run.annex,
        ids,
        timeout=run.ready.launch.join_timeout,
        on_joined=lambda join: run.site.console.detail(
            f"{_since(run):6.1f} s  {join.id}: in the pool as "
            f"{join.identity} ({join.method})"
        ),
    )


def _described(run: Run) -> dict[str, Instance]:
    found = annexes.find(
        run.site.cloud, run.region, run.annex, launch=run.id, ended=True
    )
    return {node.id: node for node in found.nodes}


def _unseen(run: Run, instance_id: str) -> Instance:
    return Instance(id=instance_id, region=run.region, state="pending")


def _outcome(run: Run, node: Instance, result: NodeResult, joined: Joined) -> Outcome:
    join = joined.joins.get(result.id)
    problem = _problem(run, result, join, joined)
    seconds = dict(result.seconds)
    return Outcome(node, result.ssh, join, problem, seconds=seconds)


def _problem(
    run: Run, result: NodeResult, join: Join | None, joined: Joined
) -> AnnexkitError | None:
    mend = f"invoke why {result.id} --region {run.region}"
    if result.error is not None and result.ssh == "failed":
        return result.error
    if result.report and result.report.findings:
        return FindingsError(result.report.findings)
    if join is not None:
        return AnnexkitError(join.problem, where=result.id) if join.problem else None
    if joined.not_checked is None:
        span = f"{run.ready.launch.join_timeout:g} s"
        return AnnexkitError(
            f"not in the pool after {span}", where=result.id, mend=mend
        )
    if result.ssh == "not checked":
        what = "neither SSH nor the pool can be asked from here"
        return AnnexkitError(what, where=result.id, mend=joined.not_checked.mend)
    return None  # SSH found all well, and the pool cannot be asked: said once, above


def _lease(run: Run, found: Followed) -> tuple[str, ...]:
    """Let the good nodes live until the lease's end (law 5); return what ends them."""
    if not found.good:
        return ()
    if run.ready.launch.scheduler:  # somebody may have torn it down meanwhile
        schedule.ensure_group(
            run.site.cloud,
            run.region,
            poll=run.site.settings.poll,
            clock=run.site.clock,
        )
    armed = lease.grant(
        run.site,
        run.region,
        run.annex,
        run.id,
        [one.node.id for one in found.good],
        expires=run.lease_ends,
    )
    run.site.console.detail(
        f"leased until {stamp(run.lease_ends)}; it ends by {', '.join(armed.layers)}"
    )
    for one in found.good:
        if one.node.id in armed.gone:
            what = "it ended before it could be leased"
            one.problem = AnnexkitError(what, where=one.node.id, mend=_why(run, one))
    _wait_open(run, [one.node.id for one in found.good if one.joined])
    return armed.layers


def _why(run: Run, one: Outcome) -> str:
    return f"invoke why {one.node.id} --region {run.region}"


def _wait_open(run: Run, ids: list[str]) -> None:
    """Wait until the nodes know that they are verified, and take jobs.

    They look every few seconds on probation; one that does not say so in time only
    begins later, so that is no failure.
    """
    if not ids or run.probation_ends >= run.lease_ends:
        return
    seen = lease.wait_seen(run.site, run.annex, ids, run.lease_ends, OPENED)
    if seen.waiting:
        some = ", ".join(seen.waiting[:EXPLAINED])
        run.site.console.detail(f"{len(seen.waiting)} nodes take no jobs yet: {some}")
    else:
        run.site.console.detail(f"{_since(run):6.1f} s  the nodes take jobs")


def _end(run: Run, found: Followed) -> None:
    """Explain what went wrong, then end what is not wanted: it would bill on."""
    for outcome in found.bad[:EXPLAINED]:
        steps = funnel.walk(why.gather(run.site, outcome.node.id, run.region))
        broken = funnel.first_broken(steps)
        if broken:
            outcome.broken = broken.name
            said = f"the first broken step: {broken.name}: {broken.detail}"
            run.site.console.finding(
                Finding(Level.WARNING, said, outcome.node.id, broken.mend)
            )
    if bad := [one.node.id for one in found.bad]:
        for outcome in found.bad:
            run.failures[outcome.broken or f"ssh {outcome.ssh}"] += 1
            if outcome.problem:
                run.site.console.error(outcome.problem)
        run.site.console.step(f"ending {len(bad)} nodes that are not as they should be")
        launch_undo.end_nodes(run, bad)
