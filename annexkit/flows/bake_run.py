"""The Packer run of a bake, its journal entry, and what becomes of its AMI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from annexkit import amis, journal, tags
from annexkit.bake import packer
from annexkit.bake.dialect import dotted
from annexkit.bake.digest import summary
from annexkit.errors import AnnexkitError
from annexkit.files import make_folder, require_room, write_beside
from annexkit.flows import bake_plan
from annexkit.flows.bake_plan import BakePlan
from annexkit.flows.site import Site
from annexkit.process import CommandError, run
from annexkit.registry import (
    BaseImage,
    Build,
    Git,
    Packages,
    RegionBuild,
    Registry,
    State,
)
from annexkit.registry.edits import put_build, set_candidate
from annexkit.sweep.find import Thing, find_things
from annexkit.sweep.take import take

# What provision/helper_scripts.sh calls them in the package list.
HELPER_SCRIPTS = ("annexkit-cfn-init", "aws-cfn-bootstrap")
ROOM = 16 << 20  # bytes; a log of which the disk is full would hide why Packer failed


class BakeError(AnnexkitError):
    """The bake did not give a usable AMI."""


@dataclass(frozen=True)
class Ami:
    """An AMI and the snapshot of its root."""

    id: str
    snapshot: str


def validate(site: Site, plan: BakePlan) -> Path:
    """Write the template, let Packer check it, and return its folder."""
    with site.laps.lap("rendering"):
        folder = bake_plan.write_template(site, plan, outputs(site, plan))
    with site.laps.lap("validation"):
        if plan.dialect.plugins:
            packer.init(plan.packer, folder)
        packer.validate(plan.packer, folder)
    return folder


def outputs(site: Site, plan: BakePlan) -> Path:
    """Return the folder of a build's log, manifest and package list."""
    folder = make_folder((site.state / "builds" / plan.build_id).absolute())
    require_room(folder, ROOM)
    return folder


def bake(site: Site, plan: BakePlan) -> Ami:
    """Run Packer and register what it made as the candidate.

    Whatever goes wrong, what Packer left in EC2 is taken away before the error goes on.

    :raises PackerError: Packer failed; with the last lines that matter.
    :raises BakeError: EC2 or the registry did not take a step after it.
    """
    with _folder_taken(site, plan), _journalled(site, plan) as entry:
        ami = _run_packer(site, plan, entry)
        with site.laps.lap("registration"):
            amis.require_tokens(
                site.cloud,
                plan.region,
                ami.id,
                poll=site.settings.poll,
                clock=site.clock,
            )
            _register(site, plan, ami)
    return ami


@contextmanager
def _folder_taken(site: Site, plan: BakePlan) -> Iterator[None]:
    """Keep a second bake out of the folder that Packer reads from.

    :raises BakeError: one is running.
    """
    folder = make_folder(bake_plan.directory(site, plan))
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise BakeError(
            f"another bake of {plan.name} runs from this checkout",
            where=str(folder),
            mend="wait for it to end",
        ) from error


@contextmanager
def _journalled(site: Site, plan: BakePlan) -> Iterator[journal.Entry]:
    """Write the entry before, strike it after; on an error clean up in between."""
    entry = site.journal.write(
        journal.Entry(
            id=f"{plan.build_id}-packer",
            kind="packer",
            account=site.cloud.account,
            endpoint=site.cloud.endpoint,
            region=plan.region,
            image=plan.image.name,
            build=plan.build_id,
            owner=journal.this_process(),
            created=site.clock.time(),
            deadline=bake_plan.expires(site, plan),
            ami_name=bake_plan.ami_name(site, plan),
            registry=str(site.registry.path),
            tags={tags.BUILD: plan.build_id, tags.IMAGE: plan.image.name},
        )
    )
    try:
        yield entry
    except BaseException:
        if _clean_up(site, plan):
            site.journal.close(entry.id)
        raise
    site.journal.close(entry.id)


def _clean_up(site: Site, plan: BakePlan) -> bool:
    """Take away what this build left; return whether all of it is gone.

    Never raises for what AWS says: the error that led here is the one to show, and the
    open journal entry leads ``invoke reap`` to the rest.
    """
    try:
        left = _left_behind(site, plan)
    except AnnexkitError as error:
        site.console.detail(f"clean-up was not possible: {error}; invoke reap")
        return False
    if left:
        site.console.step(
            f"cleaning up after build {plan.build_id}: {len(left)} things"
        )
    taken = take(
        site.cloud, left, timeout=120, poll=site.settings.poll, clock=site.clock
    )
    for one in taken:
        if one.error:
            site.console.detail(f"{one.thing.id} stays: {one.error}; invoke reap")
    return not any(one.error for one in taken)


def _left_behind(site: Site, plan: BakePlan) -> list[Thing]:
    """Find what is this build's by tag or name and not in the registry.

    By name, because an AMI that a stopped Packer left has no tags yet.
    """
    name = bake_plan.ami_name(site, plan)
    held = {ami for _, ami in site.registry.read().amis()}
    return [
        thing
        for thing in find_things(
            site.cloud, plan.region, site.settings.bake.name_prefix
        )
        if (thing.build == plan.build_id or thing.name == name) and thing.id not in held
    ]


def _run_packer(site: Site, plan: BakePlan, entry: journal.Entry) -> Ami:
    folder = validate(site, plan)
    out = outputs(site, plan)
    log = out / "packer.log"
    site.console.step(f"{plan.name}: Packer bakes {entry.ami_name}")
    site.console.detail(f"full log: {log}")

    def started(pid: int, start_time: int) -> None:
        entry.packer = journal.Process.of(pid).model_copy(
            update={"start_time": start_time}
        )
        site.journal.write(entry)

    site.laps.mark("Packer began")
    result = packer.build(
        plan.packer,
        folder,
        log=log,
        manifest=out / "manifest.json",
        timeout=site.settings.bake.deadline,
        on_event=partial(_show, site),
        started=started,
        env=_environment(site, plan),
    )
    site.laps.seconds["packer process"] = result.seconds
    ami = result.artifacts.get(plan.region)
    if ami is None:
        raise BakeError(
            f"Packer ended well, but its manifest has no AMI in {plan.region}",
            where=str(out / "manifest.json"),
            mend=f"read {log}",
        )
    return _described(site, plan.region, ami)


def _environment(site: Site, plan: BakePlan) -> dict[str, str]:
    """Return Packer's environment: ours, for Packer 1.6 with resolved credentials."""
    if plan.dialect.plugins:
        return dict(os.environ)
    kept = {k: v for k, v in os.environ.items() if k not in ("AWS_PROFILE",)}
    return kept | site.cloud.credentials_environment()


def _show(site: Site, event: packer.Event) -> None:
    """Show a step as it begins, with the seconds since Packer began."""
    if isinstance(event, packer.Step):
        spent = site.laps.since("Packer began")
        site.console.detail(f"{spent:6.1f} s  {event.phase}: {event.label}")
    elif isinstance(event, packer.Problem):
        site.console.detail(f"         {event.text}")


def _described(site: Site, region: str, ami: str) -> Ami:
    found = amis.get(site.cloud, region, ami)
    if found is None or not found.snapshot:
        raise BakeError(f"{ami} has no root snapshot", where=region, mend="invoke reap")
    return Ami(ami, found.snapshot)


def _register(site: Site, plan: BakePlan, ami: Ami) -> None:
    listed = _save_packages(site, plan)
    build = Build(
        created=plan.started,
        arch=plan.image.architecture(plan.arch),
        digest=plan.digest.value,
        parts=summary(plan.digest.parts),
        git=_git(site.root),
        contracts=list(plan.image.contracts),
        helper_scripts=" ".join(_row(site, listed, HELPER_SCRIPTS)),
        base_ami=BaseImage(id=plan.base.id, name=plan.base.name, owner=plan.base.owner),
        htcondor=_installed(site, listed) or plan.version,
        packer=dotted(plan.packer.version),
        packages=listed,
        regions={
            plan.region: RegionBuild(
                ami=ami.id, snapshot=ami.snapshot, state=State.PENDING
            )
        },
    )

    claim = site.registry.claim(site.cloud.account, site.cloud.endpoint)

    def change(registry: Registry) -> None:
        claim(registry)
        put_build(registry, plan.image.name, plan.build_id, build)
        set_candidate(registry, plan.image.name, plan.build_id, plan.region)

    site.registry.update(change)
    site.console.step(f"{plan.name}: {ami.id} is registered as candidate")


def _save_packages(site: Site, plan: BakePlan) -> Packages:
    text = (outputs(site, plan) / "packages.tsv").read_text(encoding="utf-8")
    path = site.registry.path
    folder = f"{path.stem}.packages/{plan.image.name}"
    name = f"{folder}/{plan.build_id}.tsv"
    write_beside(path.parent / name, text)
    return Packages(path=name, sha256=hashlib.sha256(text.encode()).hexdigest())


def _installed(site: Site, listed: Packages) -> str:
    """Return the version of HTCondor that the package list names."""
    return next(iter(_row(site, listed, ("condor",))[1:]), "")


def _row(site: Site, listed: Packages, names: tuple[str, ...]) -> list[str]:
    """Return name and version of the one of some packages that is in the list."""
    text = (site.registry.path.parent / listed.path).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    return next((row[:2] for row in rows if row[0] in names), [])


def _git(root: Path) -> Git:
    """Return the checkout's commit; nothing where git or a checkout is missing."""
    git = partial(run, "git", "-C", root, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
    try:
        sha = git("rev-parse", "HEAD").stdout.strip()
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    except CommandError:
        return Git()
    return Git(sha=sha, dirty=bool(changed))
