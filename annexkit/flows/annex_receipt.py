"""``invoke receipt``: what an annex came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from annexkit import annexes
from annexkit.annexes import Annex, Record
from annexkit.errors import AnnexkitError, Exit
from annexkit.files import write_beside
from annexkit.flows import annex_ledger, annex_pool
from annexkit.flows.annex_ledger import HOUR, NodeUse
from annexkit.flows.annex_regions import regions_of
from annexkit.flows.site import Site

COLUMNS = ("type", "market", "nodes", "node-hours", "claimed, at least", "cost")
UNKNOWN = "not known"


@dataclass(frozen=True)
class Line:
    """All nodes of one type and market; None where a part of it is not known."""

    instance_type: str
    market: str
    nodes: int
    hours: float
    claimed: float | None
    cost: float | None


@dataclass(frozen=True)
class Receipt:
    """What an annex came to: hours, an estimated cost in USD, failures by code."""

    annex: str
    at: float
    running: int
    lines: tuple[Line, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Line:
        """The sum of the lines."""
        return Line(
            "all",
            "",
            sum(line.nodes for line in self.lines),
            sum(line.hours for line in self.lines),
            _sum(line.claimed for line in self.lines),
            _sum(line.cost for line in self.lines),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; costs are estimates."""
        return asdict(self) | {"total": asdict(self.total)}


def show_receipt(site: Site, name: str, regions: Sequence[str] = ()) -> Exit:
    """Show what an annex came to so far, or did when it ended.

    :raises AnnexkitError: nobody here knows such an annex.
    """
    annexes.check_name(name)
    folder = annexes.folder(site.state, name)
    record = folder.read()
    if (found := _found(site, name, regions, record)) is not None:
        made = make(site, found, annex_pool.ask(site, name), record)
        if record is not None and not made.running:
            keep(site, made)
        _say(site, made.as_json())
        return Exit.DONE
    try:
        said = json.loads(folder.receipt.read_text(encoding="utf-8"))
        _say(site, said)
    except (OSError, ValueError, KeyError, TypeError):
        raise AnnexkitError(
            f"nothing is known here of an annex '{name}'",
            where=str(folder.path),
            mend="see: invoke status; of an ended annex it is known where it was ended",
        ) from None
    return Exit.DONE


def _found(
    site: Site, name: str, regions: Sequence[str], record: Record | None
) -> Annex | None:
    """Return an annex that lives, or that ended by itself, so that nobody made its
    receipt; None for one that was ended by us, whose receipt is kept."""
    ended = None
    for region in regions_of(site, regions, record):
        annex = annexes.find(site.cloud, region, name, ended=True)
        if annexes.alive(annex.nodes):
            return annex
        if record is not None and region == record.region:
            ended = annex
    return ended


def make(
    site: Site, annex: Annex, pool: annex_pool.InPool, record: Record | None
) -> Receipt:
    """Add up what was seen of an annex, now and before."""
    uses = annex_ledger.note(site, annex, pool, record, keep=record is not None)
    failures: Counter[str] = Counter()
    for launch in record.launches if record else []:
        failures.update(launch.failures)
    return added_up(annex.name, uses.values(), site.clock.time(), dict(failures))


def keep(site: Site, receipt: Receipt) -> None:
    """Write the receipt where ``invoke receipt`` finds it when the annex is gone."""
    path = annexes.folder(site.state, receipt.annex).receipt
    write_beside(path, json.dumps(receipt.as_json(), indent=2, sort_keys=True) + "\n")


def show(site: Site, receipt: Receipt) -> None:
    """Show a receipt as a table, or as JSON."""
    _say(site, receipt.as_json())


def added_up(
    annex: str, uses: Iterable[NodeUse], now: float, failures: dict[str, int]
) -> Receipt:
    """Return the receipt of these nodes, a line for each type and market."""
    groups: dict[tuple[str, str], list[NodeUse]] = {}
    running = 0
    for use in uses:
        groups.setdefault((use.instance_type, use.market), []).append(use)
        running += use.ended is None
    lines = tuple(
        Line(
            kind,
            market,
            len(some),
            sum(use.hours(now) for use in some),
            _sum(None if u.claimed is None else u.claimed / HOUR for u in some),
            _sum(use.cost(now) for use in some),
        )
        for (kind, market), some in sorted(groups.items())
    )
    return Receipt(annex, now, running, lines, failures)


def _sum(values: Iterable[float | None]) -> float | None:
    """Add up; what is not known in part is not known."""
    known = list(values)
    if any(value is None for value in known):
        return None
    return sum(value for value in known if value is not None)


def _say(site: Site, said: dict[str, Any]) -> None:
    if site.console.as_json:
        site.console.result(said)
        return
    rows = [_row(line) for line in [*said["lines"], said["total"]]]
    site.console.table(COLUMNS, rows, title=f"annex {said['annex']}: what it came to")
    for code, count in sorted(said["failures"].items()):
        site.console.result({}, f"failed: {count} x {code}")


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    claimed, cost = line["claimed"], line["cost"]
    return (
        line["instance_type"],
        line["market"],
        str(line["nodes"]),
        f"{line['hours']:.2f}",
        UNKNOWN if claimed is None else f"{claimed:.2f}",
        UNKNOWN if cost is None else f"about ${cost:.2f}",
    )
