"""A promotion or a rollback as a person or a program meets it: plan, moves, end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from annexkit.errors import Exit, Finding
from annexkit.flows.registry_move import MovePlan, Result, Step, run_plan
from annexkit.flows.site import Site

COLUMNS = ("region", "result", "current", "previous", "ami", "htcondor", "why")


def show_and_run(site: Site, plan: MovePlan, *, dry_run: bool) -> Exit:
    """Show the plan, carry it out unless it is only to be seen, and report.

    :returns: DONE; PARTLY when a region was refused and others were not; FAILED when
        all were.
    """
    console = site.console
    if not console.as_json:
        console.table(COLUMNS, [_row(plan, step) for step in plan.steps])
    console.detail(plan.pool.said)
    for finding in (*plan.pool.findings, *_findings(plan)):
        console.finding(finding)
    if not dry_run:
        shown = plan
        plan = run_plan(site, plan, lambda step: _tell(site, shown, step))
    if console.as_json:
        console.result(_data(plan, dry_run=dry_run))
    elif not any(step.result is not Result.UNCHANGED for step in plan.steps):
        console.step("nothing to do")
    elif dry_run:
        console.step("nothing was changed")
    return _exit(plan)


def _tell(site: Site, shown: MovePlan, step: Step) -> None:
    """Say how one region ended; what was found before was said with the plan."""
    known = _findings(shown)
    for finding in step.findings:
        if finding not in known:
            site.console.finding(finding)
    if step.result is Result.REFUSED:
        site.console.step(f"{step.region}: its pointers stay")
    elif step.move is not None:
        why = f": {step.why}" if step.why else ""
        site.console.step(f"{step.region}: build {step.move.build} is current{why}")


def _findings(plan: MovePlan) -> list[Finding]:
    return [finding for step in plan.steps for finding in step.findings]


def _row(plan: MovePlan, step: Step) -> tuple[str, ...]:
    said = _of_move(plan, step)
    refused = step.result is Result.REFUSED
    after = step.move.after if step.move and not refused else step.now
    current = _arrow(step.now.current, after.current)
    return (
        step.region,
        str(step.result),
        f"{current} (not {said['build']})" if refused and step.move else current,
        _arrow(step.now.previous, after.previous),
        *(said[name] or "-" for name in ("ami", "htcondor")),
        step.why or ("its expiry tag comes off first" if step.unmark else ""),
    )


def _arrow(old: str | None, new: str | None) -> str:
    return f"{old or '-'} → {new or '-'}" if old != new else old or "-"


def _of_move(plan: MovePlan, step: Step) -> dict[str, str]:
    """Return the build that is, or was, to be current; all empty when there is none."""
    move = step.move
    if move is None:
        return {"build": "", "ami": "", "htcondor": ""}
    build = plan.registry.images[move.image].builds[move.build]
    ami = move.there.ami or ""
    return {"build": move.build, "ami": ami, "htcondor": build.htcondor}


def _data(plan: MovePlan, *, dry_run: bool) -> dict[str, Any]:
    regions = {}
    for step in plan.steps:
        done = step.move and step.result in (Result.MOVED, Result.UNCHANGED)
        after = step.move.after if step.move and done else step.now
        rows = [{**asdict(f), "level": str(f.level)} for f in step.findings]
        regions[step.region] = {
            "result": str(step.result),
            "why": step.why,
            "before": step.now.model_dump(),
            "channels": after.model_dump(),
            "expiry_comes_off": step.unmark,
            "findings": rows,
            **_of_move(plan, step),
        }
    pool = {"said": plan.pool.said, "version": plan.pool.version or None}
    return {"dry_run": dry_run, "pool": pool, "regions": regions}


def _exit(plan: MovePlan) -> Exit:
    refused = sum(step.result is Result.REFUSED for step in plan.steps)
    if not refused:
        return Exit.DONE
    return Exit.PARTLY if refused < len(plan.steps) else Exit.FAILED
