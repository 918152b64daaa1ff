"""Copy a proved build into other regions, each by itself, none of them twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from annexkit import amis
from annexkit.amis import Ami, AmiError
from annexkit.errors import AnnexkitError, Interrupted, UsageError
from annexkit.flows.copy_begin import entry_id, found_or_begun
from annexkit.flows.regionwise import Ended, in_regions
from annexkit.flows.site import Site
from annexkit.publish.copies import sources
from annexkit.registry import Build, State
from annexkit.registry.edits import put_copy, put_failure, set_retired
from annexkit.waiting import Deadline, wait_for


def copy_build(
    site: Site, image: str, build_id: str, regions: Sequence[str]
) -> list[Ended[Ami]]:
    """Copy one build to each region that lacks it; a region that fails stops no other.

    What a region has already is found by the registry and, without it, by tags; so a
    second run makes only what is missing. A copy is a ``candidate``: it is not proved.

    :returns: how each region ended, in the order of *regions*.
    :raises UsageError: the registry has no such build, or it is proved nowhere.
    """
    build = build_of(site, image, build_id)
    source = source_of(site, build_id, build)
    site.console.step(
        f"copying {source.id} of build {build_id} from {source.region} to "
        f"{', '.join(regions)}"
    )
    return in_regions(
        site,
        regions,
        partial(_copy_one, image=image, build_id=build_id, source=source),
        parallel=site.settings.publish.parallel,
        ended=partial(_say, site),
    )


def build_of(site: Site, image: str, build_id: str) -> Build:
    """Return a build of the registry.

    :raises UsageError: there is none of that name.
    """
    record = site.registry.read().images.get(image)
    if record is None or build_id not in record.builds:
        raise UsageError(
            f"the registry has no build {build_id} of image '{image}'",
            where=str(site.registry.path),
            mend="invoke registry.list",
        )
    return record.builds[build_id]


def source_of(site: Site, build_id: str, build: Build) -> Ami:
    """Return an AMI to copy from, the first that stands and is complete."""
    home = next(iter(site.settings.bake.regions), "")
    for region, ami in sources(build_id, build, home):
        found = amis.get(site.cloud, region, ami)
        if found and found.state == amis.AVAILABLE:
            return found
    raise AmiError(
        "no region has its AMI any more, so there is nothing to copy",
        where=f"build {build_id}",
        mend="invoke bake --force",
    )


def _copy_one(
    site: Site, region: str, *, image: str, build_id: str, source: Ami
) -> Ami:
    """Find or make the copy in one region, wait until it is complete, and record it."""
    try:
        made = _standing(site, region, image, build_id)
        if made is None:
            begun = found_or_begun(
                site, region, build_id, source, _useless(site, region, image, build_id)
            )
            _record(site, image, build_id, begun)
            made = _wait_made(site, begun)
        if made.imds != amis.TOKENS:
            amis.require_tokens(
                site.cloud, region, made.id, poll=site.settings.poll, clock=site.clock
            )
    except (Interrupted, Deadline):
        raise  # what was begun goes on, and so does the next run with it
    except AnnexkitError as error:
        change = partial(
            put_failure,
            image=image,
            build_id=build_id,
            region=region,
            reason=error.what,
            anew=isinstance(error, AmiError),
        )
        site.registry.update(change)
        raise
    _record(site, image, build_id, made)
    site.journal.close(entry_id(build_id, region))
    return made


def _standing(site: Site, region: str, image: str, build_id: str) -> Ami | None:
    """Return the proved AMI of a region; one that is gone is struck from the record."""
    there = build_of(site, image, build_id).regions.get(region)
    if there is None or there.state is not State.READY or not there.ami:
        return None
    known = amis.get(site.cloud, region, there.ami)
    if known and known.state == amis.AVAILABLE:
        return known
    gone = partial(
        set_retired,
        image=image,
        build_id=build_id,
        region=region,
        reason="its AMI is gone from EC2",
    )
    site.registry.update(gone)
    return None


def _useless(site: Site, region: str, image: str, build_id: str) -> frozenset[str]:
    """Return the AMI that the registry knows there, when it failed or is gone."""
    there = build_of(site, image, build_id).regions.get(region)
    if there and there.ami and there.state in (State.FAILED, State.RETIRED):
        return frozenset({there.ami})
    return frozenset()


def _wait_made(site: Site, begun: Ami) -> Ami:
    """Wait until a copy is available.

    :raises AmiError: EC2 gave up, or somebody took it away.
    """

    def settled() -> Ami | None:
        found = amis.get(site.cloud, begun.region, begun.id)
        # What was just made may be invisible for a while (EC2 API, consistency).
        return None if found is None or found.state == "pending" else found

    made = wait_for(
        settled,
        what=f"the copy {begun.id} in {begun.region}",
        timeout=site.settings.publish.copy_timeout,
        poll=site.settings.poll,
        clock=site.clock,
        mend="run the same command again: it goes on with this copy",
    )
    if made.state != amis.AVAILABLE:
        raise AmiError(
            f"the copy {made.id} is {made.state}: {made.why or 'EC2 gives no reason'}",
            where=made.region,
            mend="run the same command again: it makes a new copy",
        )
    return made


def _record(site: Site, image: str, build_id: str, ami: Ami) -> None:
    """Write down what a region has; what is proved already stays so."""
    change = partial(
        put_copy,
        image=image,
        build_id=build_id,
        region=ami.region,
        ami=ami.id,
        snapshot=ami.snapshot,
    )
    site.registry.update(change)


def _say(site: Site, ended: Ended[Ami]) -> None:
    if ended.value:
        site.console.step(f"{ended.region}: {ended.value.id} is there")
    elif ended.error:
        site.console.error(ended.error)
