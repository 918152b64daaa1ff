"""``invoke reap``: end what nobody owns any more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from annexkit import annexes, processes, tags
from annexkit.annexes import AnnexFolder, RecordError
from annexkit.aws import AwsError, Cloud
from annexkit.files import write_beside
from annexkit.flows.site import Site
from annexkit.journal import Entry
from annexkit.launch import parameter
from annexkit.registry import Registry, State
from annexkit.registry.edits import set_retired
from annexkit.sweep.find import Thing, find_things
from annexkit.sweep.judge import Evidence, Fate, Verdict, belongs, judge
from annexkit.sweep.take import Taken, take

PACKER_GRACE = 300.0  # seconds; after SIGTERM Packer ends its builder and waits
SEEN = "reap-seen.json"
SETTLE = 60.0  # what EC2 may still hide after a call; younger entries stay open


@dataclass(frozen=True)
class Survey:
    """What was found, and the regions that could not be asked."""

    verdicts: tuple[Verdict, ...]
    regions: tuple[str, ...]
    unreachable: tuple[tuple[str, str], ...] = ()

    @property
    def doomed(self) -> list[Thing]:
        """What may be taken now."""
        return [v.thing for v in self.verdicts if v.fate is Fate.TAKE]


def end_orphans(site: Site) -> list[Entry]:
    """End every Packer whose annexkit is gone; return the entries it was for."""
    ended = []
    for entry in _entries(site):
        packer = entry.packer
        if packer is None or not (entry.owner.gone and packer.alive):
            continue
        if processes.end_group(packer.pid, packer.start_time, grace=PACKER_GRACE):
            ended.append(entry)
    return ended


def survey(site: Site, regions: tuple[str, ...] = ()) -> Survey:
    """Look at every region and judge what was found; only remembers what it saw.

    :param regions: where to look; ``reap.regions``, else every enabled region.
    :raises RegistryError: the registry is another account's.
    """
    site.check_account()
    regions = regions or site.settings.reap.regions or site.cloud.enabled_regions()
    things, unreachable = _look(site, regions)
    now = site.clock.time()
    evidence = Evidence(
        now=now,
        entries=tuple(_entries(site)),
        registered=_proved(site.registry.read()),
        seen=_remember(site, things, now, regions),
        min_age=site.settings.reap.min_age,
    )
    return Survey(tuple(judge(things, evidence)), regions, unreachable)


def _look(
    site: Site, regions: tuple[str, ...]
) -> tuple[list[Thing], tuple[tuple[str, str], ...]]:
    """Look at all regions at once; return what is there, and who did not answer."""
    prefix = site.settings.bake.name_prefix
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = [
            (region, answer)
            for region in regions
            for answer in (
                pool.submit(find_things, site.cloud, region, prefix),
                pool.submit(_secrets, site.cloud, region),
            )
        ]
    things: list[Thing] = []
    unreachable: dict[str, str] = {}
    for region, answer in asked:
        try:
            things += answer.result()
        except AwsError as error:
            unreachable.setdefault(region, str(error))
    return things, tuple(unreachable.items())


def _secrets(cloud: Cloud, region: str) -> list[Thing]:
    """Return the secrets of launches, which are deleted when a launch is over."""
    return [
        Thing("parameter", one.name, region, name=one.annex, tags=one.tags)
        for one in parameter.listed(cloud, region)
    ]


def carry_out(site: Site, found: Survey) -> list[Taken]:
    """Take what may be taken, mend what the registry proves, close what is done."""
    taken = take(
        site.cloud,
        found.doomed,
        timeout=300,
        poll=site.settings.poll,
        clock=site.clock,
    )
    _retire(site, [t.thing for t in taken if not t.error])
    _unmark_proved(site, found)
    _close_entries(site, found)
    return taken


def forget_ended(site: Site, regions: Collection[str]) -> list[str]:
    """Forget annexes that ended by themselves: their keys go with them.

    :param regions: those that answered; of others nothing is known.
    :returns: their names.
    """
    forgotten = []
    whose = (site.cloud.account, site.cloud.endpoint)
    launching = {entry.annex for entry in _entries(site)}
    for path in sorted((site.state / "annexes").glob("*")):
        folder = AnnexFolder(path)
        try:
            record = folder.read()
        except RecordError:  # whoever uses it is told
            continue
        if record is None or (record.account, record.endpoint) != whose:
            continue
        if record.region not in regions or record.name in launching:
            continue
        if not annexes.find(site.cloud, record.region, record.name).nodes:
            folder.remove()
            forgotten.append(record.name)
    return forgotten


def _entries(site: Site) -> list[Entry]:
    whose = (site.cloud.account, site.cloud.endpoint)
    return [e for e in site.journal.entries() if (e.account, e.endpoint) == whose]


def _proved(registry: Registry) -> frozenset[tuple[str, str]]:
    return frozenset(
        pair
        for image in registry.images.values()
        for build in image.builds.values()
        for region, there in build.regions.items()
        if there.state is State.READY
        for pair in ((region, there.ami or ""), (region, there.snapshot or ""))
        if pair[1]
    )


def _remember(
    site: Site, things: Iterable[Thing], now: float, regions: tuple[str, ...]
) -> dict[str, float]:
    """Return when each thing was first seen before now, and store what is seen."""
    known = _seen(site)
    dead = [_dead(e) for e in _entries(site) if e.kind == "launch" and e.owner.gone]
    elsewhere = {k: v for k, v in known.items() if k.split("/")[0] not in regions}
    keys = [*(thing.key for thing in things), *dead]
    here = {key: known.get(key, now) for key in keys}
    text = json.dumps(elsewhere | here, indent=2, sort_keys=True) + "\n"
    write_beside(site.state / SEEN, text)
    return here


def _seen(site: Site) -> dict[str, float]:
    try:
        known = json.loads((site.state / SEEN).read_text())
        return {str(key): float(when) for key, when in known.items()}
    except (OSError, ValueError, AttributeError):  # first reap, or a damaged file
        return {}


def _retire(site: Site, gone: list[Thing]) -> None:
    """Say in the registry which unproved images are gone."""
    images = {(t.region, t.id) for t in gone if t.kind == "image"}
    known = site.registry.read().amis()
    for place in images & known.keys():
        image, build = known[place]
        site.registry.update(
            partial(
                set_retired,
                image=image,
                build_id=build,
                region=place[0],
                reason="reaped before it was proved",
            )
        )


def _unmark_proved(site: Site, found: Survey) -> None:
    """Take the expiry off what the registry holds: its bake died before it could."""
    proved = _proved(site.registry.read())
    for verdict in found.verdicts:
        thing = verdict.thing
        held = (thing.region, thing.id) in proved
        if held and verdict.fate is Fate.KEEP and tags.EXPIRES in thing.tags:
            site.cloud.call(
                thing.region,
                "delete_tags",
                Resources=[thing.id, *thing.parts],
                Tags=[{"Key": tags.EXPIRES}],
            )


def _close_entries(site: Site, found: Survey) -> None:
    """Strike the entries of the dead of which nothing was left to see."""
    # What was there a moment ago may have more to it that EC2 does not show yet.
    left = [*(v.thing for v in found.verdicts if v.fate is Fate.TAKE)]
    seen = set(found.regions) - {region for region, _ in found.unreachable}
    for entry in _entries(site):
        if (
            entry.owner.gone
            and not (entry.packer and entry.packer.alive)
            and _settled(site, entry)
            and entry.region in seen
            and not any(belongs(thing, entry) for thing in left)
        ):
            site.journal.close(entry.id)


def _settled(site: Site, entry: Entry) -> bool:
    """Say whether EC2 shows by now all that was asked for under an entry.

    A launch asks again and again until its deadline, so its age says nothing: what
    counts is when a reap first saw it dead.
    """
    now = site.clock.time()
    if entry.kind != "launch":
        return now - entry.created > SETTLE
    dead_since = _seen(site).get(_dead(entry), now)
    return now - dead_since > SETTLE or now > entry.deadline + SETTLE


def _dead(entry: Entry) -> str:
    return f"{entry.region}/dead-launch/{entry.id}"
