"""The one place that moves a lease: schedules in AWS, and the tag that nodes follow."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from annexkit import annexes, tags
from annexkit.annexes import Annex
from annexkit.aws import AwsError
from annexkit.flows import annex_pool
from annexkit.flows.site import Site
from annexkit.instances import GONE_CODES, Instance, as_tags
from annexkit.launch import roles, schedule
from annexkit.waiting import Deadline, wait_for

TAGGED = 500  # resources of one CreateTags call; EC2 takes 1,000
NODE = "the node's own timer"
NOT_HERE = {
    *("AccessDenied", "AccessDeniedException", "UnrecognizedClientException"),
    *("EndpointConnectionError", "UnknownServiceError", "OptInRequired"),
}
REAP = "invoke reap"


@dataclass(frozen=True)
class Armed:
    """What ends the nodes of a launch now, whatever becomes of us.

    :param ids: the nodes that got this end; ``gone`` were there no more.
    :param schedules: the names of the launch's schedules.
    """

    expires: float
    ids: tuple[str, ...]
    gone: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the lease, in words."""
        count = len(self.schedules)
        scheduled = (f"{count} EventBridge schedule{'s' * (count != 1)}",)
        return (NODE, *(scheduled if count else ()), REAP)


def grant(
    site: Site,
    region: str,
    annex_name: str,
    launch: str,
    ids: Iterable[str],
    *,
    expires: float,
) -> Armed:
    """Let the lease of some nodes of a launch end at *expires*, in epoch seconds.

    A node ends by whichever layer comes first, so half a move never lets one live
    longer than the later of its two ends. In which order the layers move decides what
    is true in between: the tag, which people read and nodes and the reaper follow, is
    never later than the schedule. So a later end goes to the schedules first, and when
    they refuse, nothing has changed; an earlier one goes to the tags first.

    :param ids: the others of the launch keep the end that they have.
    :raises AwsError: a layer could not be moved.
    """
    annex = annexes.find(site.cloud, region, annex_name, launch=launch)
    asked = list(ids)
    living = {node.id for node in annex.nodes}
    chosen = [one for one in asked if one in living]
    later = expires >= (Annex(annex_name, region, _only(annex, chosen)).expires or 0.0)
    if not later:
        _tag(site, region, chosen, expires)
    schedules = _schedule(site, region, launch, chosen, expires)
    if later:
        _tag(site, region, chosen, expires)
    gone = tuple(one for one in asked if one not in living)
    return Armed(expires, tuple(chosen), gone, schedules)


@dataclass(frozen=True)
class Seen:
    """Which nodes did not say yet that they know their end; ``unknown``: why not."""

    waiting: tuple[str, ...] = ()
    unknown: str = ""


def wait_seen(
    site: Site, name: str, ids: Iterable[str], expires: float, timeout: float
) -> Seen:
    """Wait until the pool says of every node that it knows its end.

    :param timeout: seconds; what was not said by then is in the result.
    """
    asked, last = set(ids), Seen()

    def seen() -> bool:
        nonlocal last
        pool = annex_pool.ask(site, name)
        late = (
            one
            for one in asked
            if one not in pool.nodes or pool.nodes[one].lease_expires != int(expires)
        )
        last = Seen(tuple(sorted(late)), pool.unknown)
        return not last.waiting or bool(pool.unknown)

    with suppress(Deadline):
        wait_for(
            seen,
            what="the nodes to see their new end",
            timeout=timeout,
            poll=site.settings.poll,
            clock=site.clock,
        )
    return last


def scheduled(site: Site, region: str, launch: str = "") -> list[str] | None:
    """Return the names of the schedules there, or of one launch's.

    None when Scheduler may not or cannot be asked at all: then nobody here made any.

    :raises AwsError: it refused for another reason, such as throttling.
    """
    try:
        prefix = f"{launch}-" if launch else ""
        return schedule.names(site.cloud, region, prefix)
    except AwsError as error:
        if error.code not in NOT_HERE:
            raise
        return None


def _only(annex: Annex, ids: Iterable[str]) -> tuple[Instance, ...]:
    wanted = set(ids)
    return tuple(node for node in annex.nodes if node.id in wanted)


def _schedule(
    site: Site, region: str, launch: str, ids: list[str], expires: float
) -> tuple[str, ...]:
    # Schedules of an earlier setting still fire: they move, too.
    if not (_wanted(site, region) or scheduled(site, region, launch)):
        return ()
    armed = schedule.arm(
        site.cloud,
        region,
        launch,
        dict.fromkeys(ids, expires),
        roles.scheduler_arn(site.cloud, region),
        poll=site.settings.poll,
        clock=site.clock,
    )
    return tuple(one.name for one in armed)


def _wanted(site: Site, region: str) -> bool:
    """Say whether a launch without schedules gets some: not where none can be."""
    wanted = site.settings.launch.scheduler
    return wanted and schedule.group_state(site.cloud, region) == "ACTIVE"


def _tag(site: Site, region: str, ids: list[str], expires: float) -> None:
    for start in range(0, len(ids), TAGGED):
        _tag_some(site, region, ids[start : start + TAGGED], expires)


def _tag_some(site: Site, region: str, ids: list[str], expires: float) -> None:
    """Write the tag; a node that ended meanwhile makes its half go alone."""
    said = as_tags({tags.EXPIRES: str(int(expires))})
    try:
        site.cloud.call(region, "create_tags", Resources=ids, Tags=said)
    except AwsError as error:
        if error.code not in GONE_CODES:
            raise
        if len(ids) > 1:
            half = len(ids) // 2
            _tag_some(site, region, ids[:half], expires)
            _tag_some(site, region, ids[half:], expires)
