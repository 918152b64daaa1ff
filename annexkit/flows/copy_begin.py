"""The beginning of a copy in one region: find what an earlier run began, or ask EC2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from annexkit import amis, journal, tags
from annexkit.amis import Ami, AmiError
from annexkit.aws import AwsError
from annexkit.flows.site import Site
from annexkit.publish.copies import Request, sort_out
from annexkit.sweep.find import Thing
from annexkit.sweep.take import take
from annexkit.waiting import Deadline, wait_for

SHOWN = 60.0  # seconds in which EC2 should show what was made by an earlier call
ATTEMPTS = 5
CLEANED = 120.0  # seconds for taking a failed copy away


def found_or_begun(
    site: Site, region: str, build_id: str, source: Ami, useless: frozenset[str]
) -> Ami:
    """Return the copy of an earlier run, or ask for one; the journal knows before EC2.

    :param useless: the AMI that the registry knows there, if it failed or is gone.
    :raises AmiError: EC2 will not have one.
    """
    if source.region == region:
        return source
    settings = site.settings
    found = sort_out(amis.find(site.cloud, region, {tags.BUILD: build_id}))
    lasts = settings.publish.copy_timeout
    lasts += settings.prove.boot_timeout + settings.prove.lifetime
    request = Request(
        source,
        build_id,
        region,
        expires=site.clock.time() + lasts,
        kms_key=settings.publish.kms_key,
        useless=useless.union(ami.id for ami in found.failed),
    )
    # Before an earlier run's copy is gone on with, too: from now on it is ours.
    site.journal.write(_entry(site, request))
    if found.usable:
        site.console.detail(f"{region}: {found.usable.id} of an earlier run goes on")
        return found.usable
    _take_failed(site, found.failed)
    return _begin(site, request)


def _begin(site: Site, request: Request) -> Ami:
    """Ask for the copy; what an earlier run asked for is the same one."""
    for attempt in range(ATTEMPTS):
        asked = replace(request, attempt=attempt)
        begun = _asked(site, asked) or _shown(site, asked)
        if begun:
            return begun
        # It was made, and somebody took it away since, without leaving a trace.
    raise AmiError(
        f"EC2 says {ATTEMPTS} times that the copy was begun before, and shows none",
        where=request.region,
        mend="run the same command again tomorrow: EC2 forgets client tokens",
    )


def _asked(site: Site, request: Request) -> Ami | None:
    """Call CopyImage; None when EC2 had the same token with another expiry."""
    region = request.region
    try:
        said = site.cloud.call(region, "copy_image", **request.parameters())
    except AwsError as error:
        if error.code == "IdempotentParameterMismatch":
            return None
        if error.code == "InvalidAMIName.Duplicate":
            raise AmiError(
                f"another AMI has the name {request.source.name}, and is not this "
                "build's",
                where=region,
                mend="aws ec2 describe-images --owners self --filters "
                f"Name=name,Values={request.source.name} --region {region}, then "
                "rename or deregister it",
            ) from error
        if error.refused:
            site.journal.close(entry_id(request.build, region))
        raise
    return Ami(said["ImageId"], region, name=request.source.name, state="pending")


def _shown(site: Site, request: Request) -> Ami | None:
    """Wait for EC2 to show the copy that an earlier run asked for, if it stands."""

    def usable() -> Ami | None:
        wanted = {tags.BUILD: request.build}
        return sort_out(amis.find(site.cloud, request.region, wanted)).usable

    try:
        return wait_for(
            usable,
            what=f"the copy in {request.region} that an earlier run began",
            timeout=SHOWN,
            poll=site.settings.poll,
            clock=site.clock,
        )
    except Deadline:
        return None


def _take_failed(site: Site, failed: Sequence[Ami]) -> None:
    """Take failed copies away: they hold the name that the next one needs."""
    things = [Thing("image", ami.id, ami.region, state=ami.state) for ami in failed]
    taken = take(
        site.cloud,
        things,
        timeout=CLEANED,
        poll=site.settings.poll,
        clock=site.clock,
    )
    for one in taken:
        if one.error:
            raise AmiError(
                f"the failed copy {one.thing.id} cannot be taken away: {one.error}",
                where=one.thing.region,
                mend="invoke reap",
            )


def entry_id(build_id: str, region: str) -> str:
    """Return the name of a copy's journal entry."""
    return f"{build_id}-copy-{region}"


def _entry(site: Site, request: Request) -> journal.Entry:
    return journal.Entry(
        id=entry_id(request.build, request.region),
        kind="copy",
        account=site.cloud.account,
        endpoint=site.cloud.endpoint,
        region=request.region,
        image=request.source.tags.get(tags.IMAGE, ""),
        build=request.build,
        owner=journal.this_process(),
        created=site.clock.time(),
        deadline=request.expires,
        ami_name=request.source.name,
        token=request.token,
        registry=str(site.registry.path),
        tags={tags.BUILD: request.build},
    )
