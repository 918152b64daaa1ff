"""How ``invoke status`` shows annexes and their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from annexkit.errors import Finding, Level
from annexkit.flows.site import Site

ANNEXES = (
    *("annex", "region", "owner", "wanted", "running", "in pool", "cores claimed"),
    *("lease left", "$/h", "spent, about", "oldest", "ended by"),
)
NODES = (
    *("id", "type", "zone", "market", "state", "in pool", "cores claimed"),
    *("identity", "build", "lease left"),
)
UNKNOWN = "?"
MOST_ROWS = 500  # nodes in a table for people


@dataclass(frozen=True)
class NodeLine:
    """One node as people see it; None is what is not known."""

    id: str
    instance_type: str
    zone: str
    market: str
    state: str
    in_pool: bool | None
    claimed: float | None
    cores: float | None
    identity: str
    build: str
    outdated: bool | None
    expires: float | None
    launched: float
    price: float | None


@dataclass(frozen=True)
class AnnexLine:
    """One annex in one region, added up; ``spent`` and ``hourly`` in USD, estimates."""

    name: str
    region: str
    owner: str
    wanted: int | None
    running: int
    in_pool: int | None
    claimed: float | None
    cores: float | None
    expires: float | None
    hourly: float | None
    spent: float | None
    oldest: float
    layers: tuple[str, ...]
    nodes: tuple[NodeLine, ...] = field(repr=False, default=())


def show(
    site: Site, lines: list[AnnexLine], unknown: str, name: str, asked: Sequence[str]
) -> None:
    """Show the annexes; with a name each node, too.

    :param unknown: why the pool could not be asked; empty when it was.
    """
    console, now = site.console, site.clock.time()
    _flag(site, lines, now)
    if console.as_json:
        shown = [asdict(line) for line in lines]
        for one in shown if not name else ():
            del one["nodes"]
        console.result({"annexes": shown, "pool": unknown or "asked"})
        return
    if not lines:
        what = f"no annex '{name}'" if name else "no annex"
        console.result({}, f"there is {what} in {', '.join(asked)}")
        return
    console.table(ANNEXES, [_annex_row(line, now) for line in lines])
    for line in lines if name else []:
        _show_nodes(site, line, now)
    if unknown:
        note = Finding(
            Level.INFO,
            f"what the pool says is not known: {unknown}",
            "pool",
            "invoke pool.check",
        )
        console.finding(note)


def _flag(site: Site, lines: Sequence[AnnexLine], now: float) -> None:
    """Name the nodes that run but did not join in time."""
    limit = site.settings.launch.boot_timeout + site.settings.launch.join_timeout
    for line in lines:
        missing = [
            node.id
            for node in line.nodes
            if node.state == "running"
            and node.in_pool is False
            and now - node.launched > limit
        ]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            site.console.finding(
                Finding(
                    Level.WARNING,
                    f"{missing[0]}{others}: running for more than {limit / 60:.0f} "
                    "min, and not in the pool",
                    line.name,
                    f"invoke why {missing[0]}",
                )
            )


def _show_nodes(site: Site, line: AnnexLine, now: float) -> None:
    """Show each node; of too many to read, those first that are not as they should."""
    shown = sorted(line.nodes, key=_well)[:MOST_ROWS]
    site.console.table(NODES, [_node_row(node, now) for node in shown])
    left = len(line.nodes) - len(shown)
    if left:
        site.console.detail(f"and {left} more; all of them: invoke status --json")


def _well(node: NodeLine) -> bool:
    return node.state == "running" and node.in_pool is not False


def _annex_row(line: AnnexLine, now: float) -> tuple[str, ...]:
    return (
        line.name,
        line.region,
        line.owner,
        UNKNOWN if line.wanted is None else str(line.wanted),
        str(line.running),
        UNKNOWN if line.in_pool is None else str(line.in_pool),
        _cores(line.claimed, line.cores),
        _left(line.expires, now),
        UNKNOWN if line.hourly is None else f"{line.hourly:.2f}",
        UNKNOWN if line.spent is None else f"${line.spent:.2f}",
        _span(now - line.oldest),
        ", ".join(line.layers),
    )


def _node_row(node: NodeLine, now: float) -> tuple[str, ...]:
    age = {None: "", True: " (outdated)", False: " (current)"}[node.outdated]
    return (
        node.id,
        node.instance_type,
        node.zone,
        node.market,
        node.state,
        {None: UNKNOWN, True: "yes", False: "no"}[node.in_pool],
        _cores(node.claimed, node.cores),
        node.identity or "-",
        f"{node.build or '-'}{age}",
        _left(node.expires, now),
    )


def _cores(claimed: float | None, cores: float | None) -> str:
    return UNKNOWN if claimed is None else f"{claimed:g} of {cores or 0:g}"


def _left(expires: float | None, now: float) -> str:
    if expires is None:
        return UNKNOWN
    return _span(expires - now) if expires > now else "over"


def _span(seconds: float) -> str:
    minutes = max(0, int(seconds)) // 60
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    )
