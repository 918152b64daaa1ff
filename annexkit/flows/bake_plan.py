"""What a bake in one region would do, found out without changing anything."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annexkit import amis, network, tags, userdata
from annexkit.amis import Ami
from annexkit.bake.base import BaseAmi, resolve_base
from annexkit.bake.dialect import Dialect, dialect_for, dotted
from annexkit.bake.digest import (
    HTCONDOR,
    Digest,
    compute,
    explain,
    strays,
    summary,
)
from annexkit.bake.image import Image, load_image
from annexkit.bake.index import Checked, Unchecked, offered, series_findings
from annexkit.bake.packer import Packer, find_packer
from annexkit.bake.template import Rendered, render
from annexkit.bake.variables import RunVariables, run_variables
from annexkit.bake.written import write_rendered
from annexkit.errors import Finding, Level, raise_on_errors
from annexkit.flows.site import Site
from annexkit.registry import Build, RegionBuild, State
from annexkit.registry.edits import find_equal
from annexkit.registry.model import newest_first

TREES = ("provision", "cloud-init")  # what the digest covers besides the template
NEEDED = (
    *(f"provision/{name}.tsv" for name in ("files", "units", "hygiene")),
    *(f"cloud-init/{name}.yaml" for name in ("builder", "annexkit")),
)


@dataclass(frozen=True)
class Equal:
    """A build of equal digest that the registry knows, and whether its AMI stands.

    ``marked``: the AMI still carries the expiry of one that is not proved.
    """

    build_id: str
    build: Build
    there: RegionBuild
    stands: bool
    marked: bool
    current: bool


@dataclass(frozen=True)
class BakePlan:
    """Everything that is settled before the first call that changes something."""

    image: Image
    arch: str
    region: str
    base: BaseAmi
    packer: Packer
    dialect: Dialect
    htcondor: Checked | Unchecked
    digest: Digest
    rendered: Rendered
    build_id: str
    started: datetime
    equal: Equal | None
    changed: tuple[str, ...]
    strays: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """What is baked where, for people: ``debian13 (x86_64) in us-west-2``."""
        return f"{self.image.name} ({self.arch}) in {self.region}"

    @property
    def version(self) -> str:
        """The HTCondor that the repository offers; empty when it was not checked."""
        return self.htcondor.version if isinstance(self.htcondor, Checked) else ""

    @property
    def findings(self) -> list[Finding]:
        """What a person should know before money is spent."""
        found = [*series_findings(self.image.htcondor, self.htcondor), *self.strays]
        if not self.dialect.plugins:
            found.append(
                Finding(
                    Level.INFO,
                    f"Packer {dotted(self.packer.version)} cannot ask for IMDSv2 on "
                    "the builder; the AMI itself will require it",
                )
            )
        return found


def make_plan(
    site: Site,
    image: Image,
    arch: str,
    region: str,
    *,
    base: BaseAmi | None = None,
    ours: Mapping[str, Ami] | None = None,
) -> BakePlan:
    """Resolve the base AMI, render, digest, and look for an equal build.

    At most two AWS calls in the region: one DescribeImages for the base AMI, one for
    the AMI of an equal build.

    :param base: the base AMI, when it is known already.
    :param ours: all our AMIs in the region by id, when they are known already.
    :raises AnnexkitError: anything that would stop the bake.
    """
    packer = find_packer(site.settings.packer.program)
    dialect = dialect_for(packer.version)
    with site.laps.lap("base lookup"):
        base = base or resolve_base(site.cloud, image, arch, region)
    with site.laps.lap("package index"):
        htcondor = offered(image, arch, cache_dir=site.cache)
    with site.laps.lap("rendering"):
        plugin = site.settings.packer.amazon_plugin
        rendered = render(image, arch, base, dialect, amazon_plugin=plugin)
        digest = compute(
            body=rendered.body,
            base_ami=base.id,
            htcondor=_version(site, image, arch, region, htcondor),
            trees={name: site.root / name for name in TREES},
        )
    started, build_id = _new_build(site)
    return BakePlan(
        image=image,
        arch=arch,
        region=region,
        base=base,
        packer=packer,
        dialect=dialect,
        htcondor=htcondor,
        digest=digest,
        rendered=rendered,
        build_id=build_id,
        started=started,
        equal=_equal(site, image, arch, region, digest, ours=ours),
        changed=_changed(site, image, arch, region, digest),
        strays=_strays(site.root / "provision"),
    )


def begin(site: Site, plan: BakePlan) -> BakePlan:
    """Return a plan whose build begins now: its time, and with it its expiry.

    A plan may have waited for the bakes of other images.
    """
    started, build_id = _new_build(site)
    return replace(plan, started=started, build_id=build_id)


def read_image(site: Site, name: str) -> Image:
    """Read a recipe from the checkout's ``images_dir``."""
    folder = site.root / site.settings.images_dir
    return load_image(folder, name, site.root / "provision")


def check_checkout(root: Path) -> None:
    """Refuse a checkout that lacks what is only read after money was spent (law 10).

    :raises FindingsError: naming each file.
    """
    found = [
        Finding(
            Level.ERROR,
            "the bake needs this file, and it cannot be read",
            str(root / name),
            f"restore it: git checkout -- {name}",
        )
        for name in NEEDED
        if not os.access(root / name, os.R_OK)
    ]
    raise_on_errors(found)
    userdata.read(root / "cloud-init" / "builder.yaml")
    userdata.read(root / "cloud-init" / "annexkit.yaml")


def directory(site: Site, plan: BakePlan) -> Path:
    """Return the folder of the rendered template; one for each image and region."""
    name = f"{plan.image.name}-{plan.arch}-{plan.region}"
    return site.root / "packer" / "build" / name


def write_template(site: Site, plan: BakePlan, outputs: Path) -> Path:
    """Write template and variables; return the folder they lie in.

    :param outputs: the folder of this build's manifest and package list.
    """
    folder = directory(site, plan)
    write_rendered(
        folder,
        plan.rendered,
        run_variables(_variables(site, plan, outputs), plan.dialect),
        digest=plan.digest.value,
        recipe=f"{site.settings.images_dir}/{plan.image.name}.pkrvars.hcl",
        packer=str(plan.packer.path),
    )
    return folder


def ami_name(site: Site, plan: BakePlan) -> str:
    """Return the AMI's name: prefix, image, architecture, build."""
    prefix = site.settings.bake.name_prefix
    return f"{prefix}-{plan.image.name}-{plan.arch}-{plan.build_id}"


def expires(site: Site, plan: BakePlan) -> int:
    """Return when the reaper may take what this bake made, in epoch seconds."""
    return int(plan.started.timestamp() + site.settings.bake.deadline)


def owner() -> str:
    """Return who bakes, for the tags: the login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid may have no name
        return "unknown"


def as_data(plan: BakePlan) -> Mapping[str, Any]:
    """Return the plan for ``--json``."""
    return {
        "image": plan.image.name,
        "arch": plan.arch,
        "region": plan.region,
        "base_ami": plan.base.id,
        "base_name": plan.base.name,
        "digest": plan.digest.value,
        "htcondor": plan.version or None,
        "packer": dotted(plan.packer.version),
        "dialect": str(plan.dialect),
        "changed": list(plan.changed),
        "findings": [str(f) for f in plan.findings],
    }


def _variables(site: Site, plan: BakePlan, outputs: Path) -> RunVariables:
    bake, ours = site.settings.bake, site.cloud.endpoint
    elsewhere = ours != "aws"
    return RunVariables(
        region=plan.region,
        endpoint=ours if elsewhere else "",
        # An emulator's HTTP 500 would be retried for 45 s; AWS keeps the SDK's own.
        max_retries=1 if elsewhere else 0,
        build_id=plan.build_id,
        build_date=plan.started.isoformat().replace("+00:00", "Z"),
        digest=plan.digest.value,
        expires=expires(site, plan),
        owner=owner(),
        ami_name=ami_name(site, plan),
        manifest=str(outputs / "manifest.json"),
        packages=str(outputs / "packages.tsv"),
        ssh_interface=site.settings.ssh.interface,
        subnet_id=bake.subnet_id,
        ssh_cidrs=network.ssh_sources(bake.ssh_cidrs),
        user_data=userdata.render(
            site.root / "cloud-init" / "builder.yaml", {"seconds": int(bake.deadline)}
        ),
        poll_seconds=max(1, int(bake.image_poll)),
        poll_attempts=max(1, int(bake.image_timeout / max(1, bake.image_poll))),
    )


def _new_build(site: Site) -> tuple[datetime, str]:
    started = datetime.fromtimestamp(site.clock.time(), UTC).replace(microsecond=0)
    return started, f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _equal(
    site: Site,
    image: Image,
    arch: str,
    region: str,
    digest: Digest,
    *,
    ours: Mapping[str, Ami] | None,
) -> Equal | None:
    registry = site.registry.read()
    found = find_equal(registry, image.name, arch, region, digest.value)
    if found is None:
        return None
    build_id, build, there = found
    names = registry.channel(image.name, arch, region)
    name = there.ami or ""
    ami = amis.get(site.cloud, region, name) if ours is None else ours.get(name)
    return Equal(
        build_id=build_id,
        build=build,
        there=there,
        stands=ami is not None and ami.state == amis.AVAILABLE,
        marked=ami is not None and tags.EXPIRES in ami.tags,
        current=names.current == build_id and there.state is State.READY,
    )


def _version(
    site: Site, image: Image, arch: str, region: str, found: Checked | Unchecked
) -> str:
    """Return the HTCondor for the digest; what cannot be asked counts as unchanged."""
    if isinstance(found, Checked):
        return found.version
    last = _last(site, image, arch, region)
    return last.parts.get(HTCONDOR, "unchecked") if last else "unchecked"


def _strays(folder: Path) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            Level.WARNING,
            "this file is no part of the recipe, but would go to the builder",
            str(path),
            f"rm -r {path}",
        )
        for path in strays(folder)
    )


def _last(site: Site, image: Image, arch: str, region: str) -> Build | None:
    """Return the newest build of an image in a region, of whatever digest."""
    record = site.registry.read().images.get(image.name)
    for _, build in newest_first(record.builds) if record else []:
        if build.arch == arch and region in build.regions and build.parts:
            return build
    return None


def _changed(
    site: Site, image: Image, arch: str, region: str, digest: Digest
) -> tuple[str, ...]:
    last = _last(site, image, arch, region)
    return tuple(explain(last.parts, summary(digest.parts))) if last else ()
