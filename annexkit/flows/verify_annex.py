"""``invoke verify``: every check again, on the nodes of an annex that runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annexkit import annexes, ssh, tags
from annexkit.annexes import Annex, AnnexFolder, Record
from annexkit.errors import AnnexkitError, Exit, Finding, Level
from annexkit.flows import bake_plan, launch_key
from annexkit.flows.expect_nodes import expectation
from annexkit.flows.launch_request import region_of
from annexkit.flows.site import Site
from annexkit.flows.verify_nodes import Access, NodeResult, verify_nodes
from annexkit.instances import Instance
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool
from annexkit.verify.checks import Check
from annexkit.verify.pool_side import by_node, pool_checks

COLUMNS = ("check", "ok", "failed", "nodes", "detail")
SHOWN = 3  # nodes that a row names; --json has them all


@dataclass
class Verified:
    """What was found: the checks of each node, by its id.

    :param not_checked: what could not be asked, and why.
    """

    annex: Annex
    checks: dict[str, list[Check]] = field(default_factory=dict)
    results: list[NodeResult] = field(default_factory=list)
    not_checked: list[Finding] = field(default_factory=list)

    @property
    def exit(self) -> Exit:
        """DONE, FAILED when a check failed, PARTLY when something was not checked."""
        if any(not check.ok for found in self.checks.values() for check in found):
            return Exit.FAILED
        return Exit.PARTLY if self.not_checked else Exit.DONE


def verify_annex(site: Site, name: str, region: str = "") -> Exit:
    """Check each node of an annex over SSH and by the collector, and show a table.

    :raises AnnexkitError: there is no such annex, or its key has a wrong file mode.
    """
    annexes.check_name(name)
    folder = annexes.folder(site.state, name)
    record = folder.read()
    where = region_of(site, region or (record.region if record else ""))
    annex = annexes.find(site.cloud, where, name)
    if not annex.nodes:
        raise AnnexkitError(
            f"annex '{name}' has no nodes",
            where=where,
            mend="see: invoke status; another region: --region; new nodes: "
            f"invoke launch --annex-name {name}",
        )
    site.console.step(f"verifying {len(annex.nodes)} nodes of annex '{name}'")
    found = Verified(annex, {node.id: [] for node in annex.nodes})
    _over_ssh(site, found, folder, record)
    _in_pool(site, found)
    _show(site, found)
    return found.exit


def key_of(site: Site, folder: AnnexFolder) -> Path | None:
    """Return the private key's file: the annex's own, or the settings'; else None."""
    if folder.key.exists():
        return folder.key
    return launch_key.configured_file(site.state, site.settings.launch)


def users(
    site: Site, record: Record | None, nodes: Iterable[Instance]
) -> dict[str, list[Instance]]:
    """Sort nodes by the user to log in as: of their launch's record, or their image."""
    known = {launch.id: launch.ssh_user for launch in record.launches} if record else {}
    found: dict[str, list[Instance]] = defaultdict(list)
    for node in nodes:
        user = known.get(node.tags.get(tags.LAUNCH, ""))
        image = node.tags.get(tags.IMAGE) or site.settings.bake.image
        found[user or bake_plan.read_image(site, image).ssh_user].append(node)
    return found


def _over_ssh(
    site: Site, found: Verified, folder: AnnexFolder, record: Record | None
) -> None:
    path = key_of(site, folder)
    if path is None:
        what = "the annex's SSH key is not here: the collector alone is asked"
        mend = f"verify where it was launched ({folder.key}), or set launch.key_file"
        found.not_checked.append(Finding(Level.WARNING, what, found.annex.name, mend))
        return
    key = ssh.load_key(path)
    expected = expectation(site)
    for user, nodes in users(site, record, found.annex.nodes).items():
        interface = site.settings.ssh.interface
        found.results += verify_nodes(
            site,
            found.annex.region,
            nodes,
            Access(user, key, interface, folder.known_hosts),
            expected,
            timeout=site.settings.ssh.timeout,
            on_done=_progress(site),
        )
    for result in found.results:
        found.checks[result.id] += _ssh_checks(result)
        if result.ssh == "not checked" and result.error:
            found.not_checked += result.error.findings


def _progress(site: Site) -> Callable[[NodeResult], None]:
    def tell(result: NodeResult) -> None:
        said = "all checks passed" if result.good else f"SSH {result.ssh}"
        if result.report and not result.good:
            said = f"{len(result.report.findings)} checks failed"
        site.console.detail(f"{result.id}: {said}")

    return tell


def _ssh_checks(result: NodeResult) -> list[Check]:
    if result.ssh == "not checked":
        return []
    seconds = result.seconds.get("login", 0.0)
    if result.error is not None:
        detail = str(result.error)
        return [Check(name="ssh", ok=False, detail=detail, seconds=seconds)]
    login = Check(name="ssh", ok=True, detail="logged in", seconds=seconds)
    return [login, *(result.report.checks if result.report else ())]


def _in_pool(site: Site, found: Verified) -> None:
    try:
        pool = Pool.of(site.settings.pool)
        slots = by_node(Collector(pool).slots(annex=found.annex.name))
    except AnnexkitError as error:
        what = f"the pool was not asked: {error.what}"
        finding = Finding(Level.WARNING, what, error.where, error.mend)
        found.not_checked.append(finding)
        return
    for node in found.annex.nodes:
        found.checks[node.id] += pool_checks(node, slots.get(node.id, []), pool)


def _show(site: Site, found: Verified) -> None:
    data = {
        "annex": found.annex.name,
        "region": found.annex.region,
        "exit": int(found.exit),
        "not_checked": [str(finding) for finding in found.not_checked],
        "nodes": [_as_data(found, node) for node in found.annex.nodes],
    }
    site.console.table(COLUMNS, rows(found.checks), data=data)
    for finding in found.not_checked:
        site.console.finding(finding)
    failed = sorted(one for one, c in found.checks.items() if not all(x.ok for x in c))
    for one in failed[:SHOWN]:
        mend = f"invoke why {one} --region {found.annex.region}"
        site.console.finding(Finding(Level.ERROR, "a check failed", one, mend))


def rows(by_id: dict[str, list[Check]]) -> list[tuple[str, int, int, str, str]]:
    """Return a row for each check: how many passed, how many failed, and which."""
    found: dict[str, list[tuple[str, Check]]] = {}
    for one, checks in by_id.items():
        for check in checks:
            found.setdefault(check.name, []).append((one, check))
    return [_row(name, outcomes) for name, outcomes in found.items()]


def _row(
    name: str, outcomes: Sequence[tuple[str, Check]]
) -> tuple[str, int, int, str, str]:
    failed = [(one, check) for one, check in outcomes if not check.ok]
    names = ", ".join(one for one, _ in failed[:SHOWN])
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    shown = (failed or list(outcomes))[0][1].detail
    return name, len(outcomes) - len(failed), len(failed), names + more, shown


def _as_data(found: Verified, node: Instance) -> dict[str, object]:
    result = next((r for r in found.results if r.id == node.id), None)
    return {
        "id": node.id,
        "ssh": result.ssh if result else "not checked",
        "error": str(result.error) if result and result.error else "",
        "seconds": result.seconds if result else {},
        "checks": [check.model_dump() for check in found.checks[node.id]],
    }
