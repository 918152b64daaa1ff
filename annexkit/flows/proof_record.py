"""What is written of a proof: in the registry, and on the AMI as its expiry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from annexkit import instances, tags
from annexkit.errors import Finding, Level
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.site import Site
from annexkit.registry import Registry
from annexkit.registry.edits import EditError, set_failed, set_proved


def renew(site: Site, region: str, parts: Sequence[str]) -> None:
    """Give an AMI and its snapshot time until the proof is over.

    A candidate that waited for its proof may be past its expiry, and would be reaped
    under the instances that prove it.
    """
    settings = site.settings.prove
    until = site.clock.time() + settings.boot_timeout + settings.lifetime
    site.cloud.call(
        region,
        "create_tags",
        Resources=[part for part in parts if part],
        Tags=instances.as_tags({tags.EXPIRES: str(int(until))}),
    )


def unmark(site: Site, region: str, parts: Sequence[str]) -> None:
    """Take the expiry off a proved AMI and its snapshot.

    Last, so that a crash before it leaves a registry entry that the reaper respects.
    """
    site.cloud.call(
        region,
        "delete_tags",
        Resources=[part for part in parts if part],
        Tags=[{"Key": tags.EXPIRES}],
    )


def put_proved(
    site: Site, subject: Subject, *, at: datetime, boot_seconds: float
) -> None:
    """Record that a fresh instance of the AMI passed.

    :raises EditError: somebody retired it meanwhile, or put another in its place.
    """
    name, build_id, region = subject.image.name, subject.build_id, subject.region

    def change(registry: Registry) -> None:
        if not _names(registry, subject):
            raise EditError(
                f"{subject.ami} was proved, and is not the AMI of build {build_id} in "
                f"{region} any more",
                mend="run the same command again: it looks anew",
            )
        set_proved(registry, name, build_id, region, at=at, boot_seconds=boot_seconds)

    site.registry.update(change)


def put_failed(site: Site, subject: Subject, error: ProofError) -> ProofError:
    """Record why the AMI is not usable; return the error with what becomes of it.

    Where somebody put another in its place meanwhile, nothing is written.
    """

    def change(registry: Registry) -> None:
        if _names(registry, subject):
            name, build_id = subject.image.name, subject.build_id
            set_failed(registry, name, build_id, subject.region, error.what)

    site.registry.update(change)
    return ProofError([*error.findings, _kept(subject.ami, subject.region)])


def _names(registry: Registry, subject: Subject) -> bool:
    """Say whether the registry still has this AMI for the build in the region."""
    record = registry.images.get(subject.image.name)
    build = record.builds.get(subject.build_id) if record else None
    there = build.regions.get(subject.region) if build else None
    return there is not None and there.ami == subject.ami


def _kept(ami: str, region: str) -> Finding:
    """Say what becomes of an AMI that failed its proof."""
    return Finding(
        Level.INFO,
        f"{ami} failed its fresh boot and stays for a look until its expiry",
        region,
        "start it by hand, or let 'invoke reap' take it after that",
    )
