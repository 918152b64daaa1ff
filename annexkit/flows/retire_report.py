"""``invoke retire`` as a person meets it: the plan with its reasons, then the steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from annexkit.errors import Exit, Finding, Level
from annexkit.flows.retire import Done, RetirePlan, carry_out, survey
from annexkit.flows.site import Site
from annexkit.publish.retention import ENDING, Step, Verdict, days
from annexkit.settings import split_flag

COLUMNS = ("step", "image", "arch", "region", "build", "ami", "age", "by", "reason")
# What takes the snapshots away at once.
GOING = (Step.DEREGISTER, Step.CLEAR)
DONE = {
    Step.DEPRECATE: "deprecated",
    Step.DISABLE: "disabled",
    Step.DEREGISTER: "deregistered, with its snapshots,",
    Step.CLEAR: "cleared what was left of",
    Step.RESTORE: "restored",
}


@dataclass(frozen=True)
class RetireRequest:
    """What the flags of ``invoke retire`` said."""

    regions: tuple[str, ...] = ()
    yes: bool = False
    dry_run: bool = False
    no_pool: bool = False


@dataclass(frozen=True)
class Cost:
    """What the snapshots cost a month, in dollars, if none shared a block.

    ``before``: all AMIs of the registry. ``after``: less what this run takes.
    ``later``: less all that is on its way out.
    """

    before: float
    after: float
    later: float

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"snapshots cost at most ${self.before:.2f} a month now, "
            f"${self.after:.2f} after this run, ${self.later:.2f} when all that is on "
            "its way out is gone (at most: snapshots share blocks)"
        )


def retire_and_report(site: Site, request: RetireRequest) -> Exit:
    """Show what would be retired and why; do it when told to.

    :returns: DONE, or PARTLY when a region could not be asked or a step failed.
    """
    console = site.console
    given = ",".join(request.regions)
    chosen = split_flag(given, ()) if request.regions else ()
    plan = survey(site, chosen, no_pool=request.no_pool)
    console.step(f"the rule: {plan.terms.rule}")
    if not console.as_json:
        console.table(COLUMNS, _rows(site, plan.verdicts))
    doing = request.yes and not request.dry_run

    def tell(one: Done) -> None:
        copy = one.verdict.copy
        if one.error:
            console.finding(Finding(Level.ERROR, one.error, copy.ami, "invoke retire"))
        else:
            did = DONE[one.verdict.step]
            console.step(f"{did} {copy.ami} in {copy.region}")

    done = carry_out(site, plan, tell) if doing else []
    _report(site, plan, done, doing=doing)
    for region, reason in plan.unreachable.items():
        console.finding(Finding(Level.WARNING, reason, region, "run this again"))
    failed = any(one.error for one in done)
    return Exit.PARTLY if failed or plan.unreachable else Exit.DONE


def cost_of(plan: RetirePlan, price: float) -> Cost:
    """Return the cost of a plan before and after.

    :param price: USD a GiB and month.
    """
    verdicts = plan.verdicts
    before = sum(v.copy.size for v in verdicts)
    after = sum(v.copy.size for v in verdicts if v.step not in GOING)
    later = sum(v.copy.size for v in verdicts if not leaving(v))
    return Cost(before * price, after * price, later * price)


def leaving(verdict: Verdict) -> bool:
    """Say whether an AMI is on its way out."""
    return verdict.step in (*ENDING, Step.WAIT)


def as_data(site: Site, plan: RetirePlan, done: Sequence[Done]) -> dict[str, Any]:
    """Return the plan and what came of it for ``--json``."""
    cost = cost_of(plan, site.settings.retire.snapshot_price)
    now = site.clock.time()
    return {
        "rule": str(plan.terms.rule),
        "regions": list(plan.regions),
        "amis": [
            {
                "step": str(v.step),
                "by": v.by,
                "reason": v.reason,
                "image": v.copy.image,
                "arch": v.copy.arch,
                "region": v.copy.region,
                "build": v.copy.build,
                "ami": v.copy.ami,
                "age_days": max(0, int((now - v.copy.created) // 86_400)),
                "gib_at_most": round(v.copy.size, 3),
            }
            for v in plan.verdicts
        ],
        "monthly_cost_at_most": {
            "before": round(cost.before, 4),
            "after": round(cost.after, 4),
            "later": round(cost.later, 4),
        },
        "pool_not_asked": plan.pool,
        "done": [_data(one) for one in done if not one.error],
        "failed": [_data(one) | {"error": one.error} for one in done if one.error],
        "unreachable": plan.unreachable,
    }


def _report(site: Site, plan: RetirePlan, done: Sequence[Done], *, doing: bool) -> None:
    console = site.console
    if console.as_json:
        console.result(as_data(site, plan, done))
        return
    if plan.pool and any(v.by == "pool" for v in plan.verdicts):
        console.finding(
            Finding(
                Level.WARNING,
                f"{plan.pool}: so nothing is disabled or deregistered",
                "pool",
                "run it where the pool can be asked, or with --no-pool",
            )
        )
    counts = Counter(str(v.step) for v in plan.verdicts)
    said = ", ".join(f"{counts[s]} {s}" for s in Step if counts[s]) or "no AMIs"
    asked = len(plan.regions) - len(plan.unreachable)
    console.result({}, f"{said}, in {asked} region{'' if asked == 1 else 's'}")
    price = site.settings.retire.snapshot_price
    console.result({}, str(cost_of(plan, price)))
    if plan.work and not doing:
        console.result({}, "nothing was changed; to do it: invoke retire --yes")
    elif not plan.work:
        console.result({}, "nothing to do")


def _rows(site: Site, verdicts: Iterable[Verdict]) -> list[tuple[str, ...]]:
    """Return a row for each AMI: by image and region, the newest first."""
    now = site.clock.time()
    ordered = sorted(
        verdicts,
        key=lambda v: (v.copy.image, v.copy.arch, v.copy.region, -v.copy.created),
    )
    return [
        (
            str(v.step),
            v.copy.image,
            v.copy.arch,
            v.copy.region,
            v.copy.build,
            v.copy.ami,
            days(now - v.copy.created),
            v.by,
            v.reason,
        )
        for v in ordered
    ]


def _data(one: Done) -> dict[str, str]:
    verdict = one.verdict
    return {
        "step": str(verdict.step),
        "region": verdict.copy.region,
        "ami": verdict.copy.ami,
    }
