"""``invoke why i-...``: which step on the way into the pool a node did not take."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict, replace

from annexkit import annexes, instances, ssh, tags
from annexkit.annexes import AnnexFolder
from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.flows.launch_request import region_of
from annexkit.flows.site import Site
from annexkit.flows.verify_annex import key_of, users
from annexkit.instances import Instance
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool
from annexkit.verify import facts, funnel
from annexkit.verify.evidence import SLOW, Evidence
from annexkit.verify.funnel import State, Step
from annexkit.verify.hostkeys import KnownHosts, by_hand, parse_console

MARKS = {State.OK: "ok", State.BROKEN: "BROKEN", State.NOT_CHECKED: "-"}
PATIENCE = 20.0  # seconds for the login: the node had its time


class _Unseen(AnnexkitError):
    """SSH was not tried, which says nothing about the node."""


def why(site: Site, instance_id: str, region: str = "") -> Exit:
    """Walk the steps, print a line for each, and name the first that is broken.

    :returns: DONE when none is broken, PARTLY when some could not be seen, else FAILED.
    """
    if not re.fullmatch(r"i-[0-9a-f]{8,17}", instance_id):
        raise UsageError(
            f"'{instance_id}' is no instance id",
            where="why",
            mend="take one of: invoke status --annex-name ...",
        )
    where = region_of(site, region)
    evidence = gather(site, instance_id, where)
    steps = funnel.walk(evidence)
    broken = funnel.first_broken(steps)
    _show(site, instance_id, steps, broken)
    if broken:
        return Exit.FAILED
    unseen = any(step.state is State.NOT_CHECKED for step in steps)
    return Exit.PARTLY if unseen else Exit.DONE


def gather(site: Site, instance_id: str, region: str) -> Evidence:
    """Ask everybody who may know something of a node, as far as they answer."""
    # A launch gives up on a node after its own time for a boot.
    slow = min(SLOW, site.settings.launch.boot_timeout)
    found = Evidence(instance_id, region, site.clock.time(), slow=slow)
    here = instances.find(site.cloud, region, {}, [instance_id])
    if not here:
        return found
    node = here[0]
    found = replace(found, instance=node)
    if node.state in instances.ENDED:
        return found
    with suppress(AnnexkitError):  # without it the step says that there are no keys
        text = instances.console_text(site.cloud, region, instance_id)
        found = replace(found, console=text)
    return _in_pool(site, _over_ssh(site, found, node), node)


def _over_ssh(site: Site, found: Evidence, node: Instance) -> Evidence:
    """Log in and ask the node; what stands in the way is evidence, too."""
    try:
        folder = annexes.folder(site.state, node.tags.get(tags.ANNEX, ""))
        known = KnownHosts(folder.known_hosts)
        pinned = known.read().get(node.id, [])
        found = replace(found, known=bool(pinned))
        return _logged_in(site, found, node, folder, known)
    except _Unseen as error:
        return replace(found, ssh_skipped=f"{error.what}: {error.mend}")
    except AnnexkitError as error:
        return replace(found, ssh_error=error)


def _logged_in(
    site: Site, found: Evidence, node: Instance, folder: AnnexFolder, known: KnownHosts
) -> Evidence:
    path = key_of(site, folder)
    if path is None:
        raise _Unseen(
            "the annex's SSH key is not here",
            mend=f"ask where it was launched ({folder.key}), or set launch.key_file",
        )
    keys = known.read().get(node.id) or parse_console(found.console)
    address = node.address(site.settings.ssh.interface)
    if not keys or not address:
        raise _Unseen(
            f"it has no {'host key that we know' if address else 'address'}",
            mend="see the step before, and ssh.interface in invoke.yaml",
        )
    (user,) = users(site, folder.read(), [node])
    shown = by_hand(node.id, user, address, key=path, known=known)
    found = replace(found, login=shown)
    connection = ssh.connect(
        address,
        user=user,
        key=ssh.load_key(path),
        host_keys=keys,
        name=node.id,
        timeout=PATIENCE,
        clock=site.clock,
    )
    with connection:
        told = facts.gather(connection, node.id)
    return replace(found, facts=told, now=site.clock.time())


def _in_pool(site: Site, found: Evidence, node: Instance) -> Evidence:
    try:
        pool = Pool.of(site.settings.pool)
        asked = Collector(pool)
        annex, launch = node.tags.get(tags.ANNEX, ""), node.tags.get(tags.LAUNCH, "")
        return replace(
            found,
            pool=pool,
            slots=[s for s in asked.slots(annex, launch) if s.instance_id == node.id],
            masters=[
                m for m in asked.masters(annex, launch) if m.instance_id == node.id
            ],
        )
    except AnnexkitError as error:
        return replace(found, pool_error=error.what)


def _show(site: Site, instance_id: str, steps: list[Step], broken: Step | None) -> None:
    data = {
        "instance": instance_id,
        "steps": [asdict(step) for step in steps],
        "broken": broken.name if broken else None,
        "mend": broken.mend if broken else "",
    }
    rows = [(step.name, MARKS[step.state], step.detail) for step in steps]
    site.console.table(("step", "state", "detail"), rows, data=data)
    if broken:
        site.console.error(
            AnnexkitError(broken.detail, where=broken.name, mend=broken.mend)
        )
