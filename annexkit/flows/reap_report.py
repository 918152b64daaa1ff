"""``invoke reap`` as a person meets it: list, ask, act, report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from annexkit import tags
from annexkit.errors import Exit, Finding, Level
from annexkit.flows.asking import confirmed
from annexkit.flows.reap import (
    Survey,
    carry_out,
    end_orphans,
    forget_ended,
    survey,
)
from annexkit.flows.site import Site
from annexkit.settings import split_flag
from annexkit.sweep.judge import Fate, Verdict
from annexkit.sweep.take import Taken

COLUMNS = ("fate", "kind", "region", "id", "name", "age", "reason")


def reap_and_report(
    site: Site, regions: Sequence[str], *, yes: bool, dry_run: bool
) -> Exit:
    """List everything of ours with its reason and age, and take what may go.

    :returns: DONE, or PARTLY when a region could not be asked or a thing resists.
    """
    console = site.console
    chosen = split_flag(",".join(regions), ()) if regions else ()
    site.cloud.check_regions(chosen)
    for entry in [] if dry_run else end_orphans(site):
        console.step(f"ended the Packer of build {entry.build} in {entry.region}")
    found = survey(site, chosen)
    taken: list[Taken] = []
    if found.doomed and not dry_run:
        _show(site, found)
        count = len(found.doomed)
        if confirmed(
            f"Take these {count} things away?",
            yes=yes,
            what=f"{count} things would be taken",
            mend="invoke reap --yes",
        ):
            taken = carry_out(site, found if yes else _still(site, found))
    elif not dry_run:
        taken = carry_out(site, found)
    _report(site, found, taken)
    if not dry_run:
        deaf = {region for region, _ in found.unreachable}
        for name in forget_ended(site, set(found.regions) - deaf):
            console.detail(f"annex {name} has ended; its key is deleted")
    for region, reason in found.unreachable:
        console.finding(Finding(Level.WARNING, reason, region, "run this again"))
    failed = [t for t in taken if t.error]
    return Exit.PARTLY if failed or found.unreachable else Exit.DONE


def _still(site: Site, shown: Survey) -> Survey:
    """Look again: the question may have stood for hours. Nothing new is taken."""
    again = survey(site, shown.regions)
    asked = {thing.key for thing in shown.doomed}
    kept = tuple(
        v for v in again.verdicts if v.fate is not Fate.TAKE or v.thing.key in asked
    )
    return replace(again, verdicts=kept)


def _show(site: Site, found: Survey) -> None:
    if not site.console.as_json:
        site.console.table(COLUMNS, _rows(found.verdicts))


def _report(site: Site, found: Survey, taken: list[Taken]) -> None:
    console = site.console
    if console.as_json:
        console.result(
            {
                "found": [
                    dict(zip(COLUMNS, _row(v), strict=True)) for v in found.verdicts
                ],
                "taken": [t.thing.id for t in taken if not t.error],
                "failed": {t.thing.id: t.error for t in taken if t.error},
                "unreachable": dict(found.unreachable),
            }
        )
        return
    for one in taken:
        if one.error:
            console.finding(
                Finding(Level.ERROR, one.error, one.thing.id, "invoke reap")
            )
        else:
            console.step(f"took {one.thing.kind} {one.thing.id} in {one.thing.region}")
    if not found.doomed:
        if found.verdicts:
            _show(site, found)
        asked = len(found.regions) - len(found.unreachable)
        kept = sum(v.fate is not Fate.TAKE for v in found.verdicts)
        console.result({}, f"nothing to take in {asked} regions; {kept} things kept")


def _rows(verdicts: Iterable[Verdict]) -> list[tuple[str, ...]]:
    """Return a row for each thing, and one for all that an annex keeps in a region.

    Nodes within their lease are no news, and there may be thousands.
    """
    rows = []
    kept: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        thing = verdict.thing
        if verdict.fate is Fate.KEEP and thing.launch:
            annex = thing.tags.get(tags.ANNEX, "")
            key = (thing.region, thing.kind, annex, verdict.reason)
            kept.setdefault(key, []).append(verdict)
        else:
            rows.append(_row(verdict))
    for (region, kind, annex, reason), some in kept.items():
        if len(some) == 1:
            rows.append(_row(some[0]))
        else:
            age = f"{max(v.age or 0.0 for v in some) / 60:.0f} min"
            count = f"{len(some)} of them"
            rows.append((str(Fate.KEEP), f"{kind}s", region, count, annex, age, reason))
    return rows


def _row(verdict: Verdict) -> tuple[str, ...]:
    thing = verdict.thing
    age = "-" if verdict.age is None else f"{verdict.age / 60:.0f} min"
    return (
        str(verdict.fate),
        thing.kind,
        thing.region,
        thing.id,
        thing.name,
        age,
        verdict.reason,
    )
