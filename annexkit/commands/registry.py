"""Tasks that look after the registry: its channels, its AMIs, its builds.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of

PLACE = {
    "image": "which image (bake.image)",
    "arch": "x86_64 or arm64 (bake.arch)",
    "regions": "where; several by repeating it or with commas; all that have it else",
    "dry-run": "show what would move and stop",
    "no-pool": "do not ask the pool whether its HTCondor is new enough",
    "json": "print the result as JSON",
}


@task(
    name="promote",
    help=PLACE | {"build": "the build's id; each region's candidate else"},
    iterable=["regions"],
)
@reported
def registry_promote(
    c: Context,
    regions: list[str],
    image: str = "",
    build: str = "",
    arch: str = "",
    dry_run: bool = False,
    no_pool: bool = False,
    json: bool = False,
) -> int:
    """Make a proved build current, after a look at every AMI; keep the old one."""
    from annexkit.flows.registry_promote import ChannelRequest, promote

    request = ChannelRequest(image, arch, tuple(regions), build, dry_run, no_pool)
    return promote(site_of(c, json), request)


@task(name="rollback", help=dict(PLACE), iterable=["regions"])
@reported
def registry_rollback(
    c: Context,
    regions: list[str],
    image: str = "",
    arch: str = "",
    dry_run: bool = False,
    no_pool: bool = False,
    json: bool = False,
) -> int:
    """Make the previous build current again; the one it replaces becomes previous."""
    from annexkit.flows.registry_promote import ChannelRequest, roll_back

    request = ChannelRequest(image, arch, tuple(regions), "", dry_run, no_pool)
    return roll_back(site_of(c, json), request)


@task(
    name="verify",
    help={
        "image": "which image; all by default",
        "regions": "where; several by repeating it or with commas; all by default",
        "json": "print the lines as JSON",
    },
    iterable=["regions"],
)
@reported
def registry_verify(
    c: Context, regions: list[str], image: str = "", json: bool = False
) -> int:
    """Ask EC2 whether every AMI of the registry is there and as it should be."""
    from annexkit.flows.registry_verify import VerifyRequest, verify_registry

    return verify_registry(site_of(c, json), VerifyRequest(image, tuple(regions)))


@task(
    name="updates",
    help={
        "image": "which image (bake.image)",
        "build": "a build's id, or candidate or previous; current by default",
        "arch": "x86_64 or arm64 (bake.arch)",
        "region": "where the channel is read, if it differs by region",
        "json": "print the result as JSON",
    },
)
@reported
def registry_updates(
    c: Context,
    image: str = "",
    build: str = "current",
    arch: str = "",
    region: str = "",
    json: bool = False,
) -> int:
    """Show which packages of a build have a newer version by now; boots nothing."""
    from annexkit.flows.registry_updates import UpdatesRequest, show_updates

    return show_updates(site_of(c, json), UpdatesRequest(build, image, arch, region))


@task(
    name="diff",
    help={
        "old": "a build's id, or candidate, current or previous",
        "new": "the other one",
        "image": "whose channels (bake.image)",
        "arch": "x86_64 or arm64 (bake.arch)",
        "region": "where the channels are read, if they differ by region",
        "json": "print the result as JSON",
    },
    positional=["old", "new"],
)
@reported
def registry_diff(
    c: Context,
    old: str,
    new: str,
    image: str = "",
    arch: str = "",
    region: str = "",
    json: bool = False,
) -> int:
    """Show the packages that differ between two builds, HTCondor's first."""
    from annexkit.flows.registry_diff import DiffRequest, show_diff

    return show_diff(site_of(c, json), DiffRequest(old, new, image, arch, region))
