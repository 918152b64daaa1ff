"""Tasks that bake images and keep the record of them.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(
    help={
        "image": "the recipe to bake (bake.image)",
        "region": "where; several by repeating it or with commas (bake.regions)",
        "arch": "x86_64 or arm64 (bake.arch)",
        "force": "bake even when nothing changed",
        "dry-run": "stop before the first call that changes something",
        "keep-candidate": "prove the build, but do not make it current",
        "json": "print the result as JSON",
    },
    iterable=["region"],
)
@reported
def bake(
    c: Context,
    region: list[str],
    image: str = "",
    arch: str = "",
    force: bool = False,
    dry_run: bool = False,
    keep_candidate: bool = False,
    json: bool = False,
) -> int:
    """Bake an AMI, prove it on fresh instances, record it and make it current."""
    from annexkit.flows.bake_image import BakeRequest, bake_regions

    request = BakeRequest(
        image=image,
        regions=tuple(region),
        arch=arch,
        force=force,
        dry_run=dry_run,
        keep_candidate=keep_candidate,
    )
    return bake_regions(site_of(c, json), request)


@task(
    help={
        "region": "where to; several by repeating it or with commas (publish.regions)",
        "image": "the image (bake.image)",
        "build": "the build; the current one of the first of bake.regions by default",
        "arch": "x86_64 or arm64 (bake.arch)",
        "dry-run": "stop before the first call that changes something",
        "json": "print the result as JSON",
    },
    iterable=["region"],
)
@reported
def copy(
    c: Context,
    region: list[str],
    image: str = "",
    build: str = "",
    arch: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Copy a proved build to other regions, as their candidate."""
    from annexkit.flows.copy_report import copy_and_report
    from annexkit.flows.publish_request import PublishRequest

    request = PublishRequest(image, build, arch, tuple(region), dry_run)
    return copy_and_report(site_of(c, json), request)


@task(
    help={
        "region": "where; several by repeating it or with commas (publish.regions)",
        "image": "the image (bake.image)",
        "build": "the build; the current one of the first of bake.regions by default",
        "arch": "x86_64 or arm64 (bake.arch)",
        "dry-run": "stop before the first call that changes something",
        "json": "print the result as JSON",
    },
    iterable=["region"],
)
@reported
def smoke(
    c: Context,
    region: list[str],
    image: str = "",
    build: str = "",
    arch: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Boot a build's copy in each region, run a job, and see its instance end."""
    from annexkit.flows.publish_request import PublishRequest
    from annexkit.flows.smoke_report import smoke_and_report

    request = PublishRequest(image, build, arch, tuple(region), dry_run)
    return smoke_and_report(site_of(c, json), request)


@task(
    help={
        "region": "where to look; every enabled region by default (reap.regions)",
        "yes": "do not ask",
        "dry-run": "list only",
        "json": "print the list as JSON",
    },
    iterable=["region"],
)
@reported
def reap(
    c: Context,
    region: list[str],
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """End what no running bake owns: builders, AMIs, groups, keys, volumes."""
    from annexkit.flows.reap_report import reap_and_report

    return reap_and_report(site_of(c, json), tuple(region), yes=yes, dry_run=dry_run)


@task(
    help={
        "region": "where; every region of the registry by default",
        "yes": "do it; without this, it is only shown",
        "dry-run": "only show it, whatever else is said",
        "no-pool": "there is no pool whose nodes could be of an old build "
        "(retire.no_pool)",
        "json": "print the plan, and what was done, as JSON",
    },
    iterable=["region"],
)
@reported
def retire(
    c: Context,
    region: list[str],
    yes: bool = False,
    dry_run: bool = False,
    no_pool: bool = False,
    json: bool = False,
) -> int:
    """End old builds by the rule of retire.keep, stage by stage; --yes does it."""
    from annexkit.flows.retire_report import RetireRequest, retire_and_report

    request = RetireRequest(tuple(region), yes, dry_run, no_pool)
    return retire_and_report(site_of(c, json), request)


@task(name="list", help={"json": "print as JSON"})
@reported
def registry_list(c: Context, json: bool = False) -> None:
    """List the AMIs of the registry, and which are current."""
    from annexkit.flows.registry_report import list_amis

    list_amis(site_of(c, json))


@task(name="show", help={"image": "the image (bake.image)", "json": "print as JSON"})
@reported
def registry_show(c: Context, image: str = "", json: bool = False) -> None:
    """Show one image: its channels, and every build with its provenance."""
    from annexkit.flows.registry_report import show_image

    show_image(site_of(c, json), image)


@task(name="check", help={"json": "print as JSON"})
@reported
def registry_check(c: Context, json: bool = False) -> int:
    """Check the registry file, its package lists and its schema; no AWS call."""
    from annexkit.flows.registry_report import check_file

    return check_file(site_of(c, json))


@task(
    name="export",
    help={
        "format": "condor, ssm, terraform, env or json",
        "image": "which image; several by repeating it or with commas, all by default "
        "(condor: one, bake.image)",
        "arch": "x86_64 or arm64; both by default (condor: one, bake.arch)",
        "output": "the file to write; printed without it",
        "check": "compare the condor form with this host's condor_config_val",
        "json": "print the result as JSON",
    },
    iterable=["image"],
)
@reported
def registry_export(
    c: Context,
    image: list[str],
    format: str = "condor",
    arch: str = "",
    output: str = "",
    check: bool = False,
    json: bool = False,
) -> int:
    """Write the current AMIs for other programs, such as HTCondor's condor_annex."""
    from annexkit.flows.registry_export import ExportRequest, export_amis

    images = tuple(name for given in image for name in given.split(","))
    request = ExportRequest(format, images, arch, output, check)
    return export_amis(site_of(c, json), request)
