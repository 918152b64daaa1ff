"""Who uses an AMI that has had its time: EC2, the pool, and this machine are asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from annexkit.annexes import AnnexFolder, RecordError
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError
from annexkit.flows.site import Site
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool
from annexkit.publish.retention import Copy, Place
from annexkit.publish.retire_look import uses
from annexkit.registry import Registry

PARALLEL = 8
NO_POOL = "retire.no_pool in invoke.yaml, or --no-pool, if there is none"
Guards = dict[Place, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class PoolSaid:
    """What the pool says of builds; ``unknown``: why it was not asked and counts."""

    builds: Mapping[str, str]
    unknown: str = ""


def channels(registry: Registry) -> dict[str, str]:
    """Return what any channel points at: build → ``current in us-west-2``."""
    found: dict[str, list[str]] = {}
    for record in registry.images.values():
        for regions in record.channels.values():
            for region, names in sorted(regions.items()):
                for name, build in names.model_dump().items():
                    if build is not None:
                        found.setdefault(build, []).append(f"{name} in {region}")
    return {build: ", ".join(sorted(where)) for build, where in found.items()}


def in_regions(
    site: Site, copies: Iterable[Copy]
) -> tuple[dict[Place, list[tuple[str, str]]], dict[str, str]]:
    """Ask all regions at once who uses these AMIs.

    :returns: the guards by AMI, and the regions that did not answer, with the reason.
    """
    by_region: dict[str, list[Copy]] = {}
    for copy in copies:
        by_region.setdefault(copy.region, []).append(copy)
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        asked = {
            region: threads.submit(uses, site.cloud, region, there)
            for region, there in by_region.items()
        }
    found: dict[Place, list[tuple[str, str]]] = {}
    silent: dict[str, str] = {}
    for region, answer in asked.items():
        try:
            said = answer.result()
        except AwsError as error:
            silent[region] = str(error)
            continue
        found |= {(region, ami): guards for ami, guards in said.items()}
    return found, silent


def on_this_machine(
    site: Site, copies: Iterable[Copy]
) -> dict[Place, list[tuple[str, str]]]:
    """Return what the journal and the records of annexes here say of these AMIs.

    They only know more than EC2 does; nothing is missing without them.
    """
    now = site.clock.time()
    found: dict[Place, list[tuple[str, str]]] = {}
    by_build = {(copy.region, copy.build): copy.place for copy in copies}
    for entry in site.journal.entries():
        place = by_build.get((entry.region, entry.build))
        if place and not entry.owner.gone and entry.deadline > now:
            what = f"annex {entry.annex}" if entry.annex else "its build"
            why = f"{what} is in the making (pid {entry.owner.pid})"
            found.setdefault(place, []).append(("journal", why))
    places = set(by_build.values())
    for path in sorted((site.state / "annexes").glob("*")):
        try:
            record = AnnexFolder(path).read()
        except RecordError:  # whoever uses it is told
            continue
        for launch in record.launches if record else ():
            place = (record.region if record else "", launch.ami)
            if place in places and launch.expires > now:
                until = datetime.fromtimestamp(launch.expires, UTC)
                why = f"annex {path.name} has a lease until {until:%Y-%m-%d %H:%M UTC}"
                found.setdefault(place, []).append(("lease", why))
    return found


def ask_pool(site: Site, *, no_pool: bool) -> PoolSaid:
    """Ask the collector which builds its slots still advertise.

    A collector that has just begun knows of few nodes: they tell it of themselves every
    ``pool.update_interval``, so it counts as not asked for twice that time.
    """
    if no_pool:
        return PoolSaid({})
    settings = site.settings.pool
    if not settings.collector:
        return PoolSaid({}, f"no pool is named (pool.collector; {NO_POOL})")
    try:
        collector = Collector(Pool.of(settings))
        about, builds = collector.about(), collector.builds()
    except AnnexkitError as error:
        return PoolSaid({}, f"the pool cannot be asked: {error.what} ({NO_POOL})")
    said = {
        build: f"{count} slot{'' if count == 1 else 's'} in the pool advertise it"
        for build, count in builds.items()
    }
    up = (
        site.clock.time() - about.started if about.started else settings.update_interval
    )
    if about.started and up < 2 * settings.update_interval:
        return PoolSaid(
            said, f"the pool's collector began {up:.0f} s ago; run it later"
        )
    return PoolSaid(said)
