"""The doctor's checks that need no credentials: machine, checkout and pool."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from annexkit.bake.dialect import dotted
from annexkit.bake.image import list_images
from annexkit.bake.packer import Packer, environment, find_packer
from annexkit.doctor import account, tools
from annexkit.doctor.lines import Line, Status, of_finding, ok, setting, warning, wrong
from annexkit.errors import AnnexkitError, Finding, closest
from annexkit.files import FileError, require_room
from annexkit.flows import bake_plan, launch_key, pool_check
from annexkit.flows.bake_run import ROOM
from annexkit.flows.doctor_subject import Subject
from annexkit.launch.words import spell
from annexkit.pool import target
from annexkit.pool.version import skew
from annexkit.process import CommandError, run


def recipe(subject: Subject) -> Iterator[Line]:
    """Judge the recipe of the settings, and the files that a bake reads."""
    site, bake = subject.site, subject.site.settings.bake
    known = list_images(site.root / site.settings.images_dir)
    if known and bake.image not in known:
        mend = setting("bake.image", closest(bake.image, known) or known[0])
        what = f"there is no image '{bake.image}'; images here: {', '.join(known)}"
        yield wrong("recipe", what, where="annexkit.bake.image", mend=mend)
        return
    image = subject.image()
    arch = image.architecture(bake.arch)
    bake_plan.check_checkout(site.root)
    yield ok("recipe", f"{image.name} ({arch}), contracts {', '.join(image.contracts)}")


def packer(subject: Subject) -> Iterator[Line]:
    """Judge the installed Packer."""
    found = _packer(subject)
    yield ok("packer", f"{found}, at {found.path}")


def plugin(subject: Subject) -> Iterator[Line]:
    """Judge the amazon plugin; before 1.7 it is a part of Packer."""
    found = subject.after("packer", lambda: _packer(subject))
    if not found.dialect.plugins:
        what = f"Packer {dotted(found.version)} has it built in"
        return iter([ok("amazon plugin", what)])
    wanted = subject.site.settings.packer.amazon_plugin
    return tools.plugin(wanted, _listed(found))


def _packer(subject: Subject) -> Packer:
    return find_packer(subject.site.settings.packer.program)


def _listed(found: Packer) -> str | None:
    """Return Packer's list of its plugins; None where it has no such command."""
    try:
        done = run(
            *(found.path, "plugins", "installed"),
            check=False,
            timeout=30,
            env=environment(),
        )
    except CommandError:
        return None
    return done.stdout if done.exit_code == 0 else None


def state_folder(subject: Subject) -> Iterator[Line]:
    """Judge where the journal goes: nothing is made without it (law 4)."""
    path = subject.site.state.absolute()
    trouble = _trouble(path)
    mend = f"correct it: ls -ld {path}"
    if subject.site.settings.state_dir:
        mend = f"take the usual folder: {setting('state_dir', '')}; or {mend}"
    yield tools.folder(str(path), trouble, mend)


def _trouble(path: Path) -> str:
    """Say why nothing can be written below a folder that may not be there yet."""
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"you may not write to {there}"
    try:
        require_room(there, ROOM)
    except FileError as error:
        return error.what
    return ""


def registry(subject: Subject) -> Iterator[Line]:
    """Judge whether the registry names an AMI to launch."""
    subject.after("recipe", subject.image)
    chosen, now = subject.chosen(), subject.site.clock.time()
    named = f"{chosen.ami}, build {chosen.build_id} of {chosen.image.name}"
    if chosen.age(now) > subject.launch.outdated_after:
        what = f"{named} is {spell(chosen.age(now))} old"
        bake = f"invoke bake --image {chosen.image.name} --region {chosen.region}"
        mend = f"{bake} --force"  # also where nothing of its input has changed
        yield warning("registry", what, where=chosen.region, mend=mend)
    else:
        yield ok("registry", f"{subject.launch.channel} is {named}")


def ssh_key(subject: Subject) -> Iterator[Line]:
    """Judge the private key on this machine, and its file's mode."""
    launch, state = subject.launch, subject.site.state
    if not (launch.key_name or launch.key_file):
        key = launch_key.find(subject.site, launch, subject.region)
        yield ok("ssh key", key.anew if not key.path.exists() else str(key))
    elif found := launch_key.file_findings(state, launch):
        yield from _lines("ssh key", found)
    else:
        path = launch_key.configured_file(state, launch)
        yield ok("ssh key", f"{path}: only you can read it")


def ssh_sources(subject: Subject) -> Iterator[Line]:
    """Judge who may reach nodes by SSH."""
    sources = subject.ssh_sources()
    yield ok("ssh sources", f"SSH is let in from {', '.join(sources)}")


def clock(subject: Subject) -> Iterator[Line]:
    """Judge this machine's clock by AWS's, which every answer carries."""
    cloud = subject.after("identity", subject.cloud)
    now = subject.site.clock.time
    region = cloud.session.region_name or "us-east-1"
    before = now()
    # The date is cut to the second, and was written halfway through the call.
    ahead = cloud.date(region) + 0.5 - (before + now()) / 2
    yield account.clock(ahead)


def pool_settings(subject: Subject) -> Iterator[Line]:
    """Judge what the settings say of the pool."""
    found = target.findings(subject.site.settings.pool)
    yield from _lines("pool settings", found)
    if not found:
        pool = subject.pool()
        yield ok("pool settings", f"{pool.collector}, {pool.method}, {pool.identity}")


def pool(subject: Subject) -> Iterator[Line]:
    """Judge the live pool: is it reached, its version, its clock, its CCB."""
    of_settings = subject.after("pool settings", subject.pool)
    about, found = pool_check.live_findings(of_settings, subject.site.clock.time)
    if about is not None:
        found = [*found, *_skew(subject, about.version)]
    yield from _lines("pool", found)
    if about is not None and not found:
        yield ok("pool", f"{about.name or of_settings.collector}, {about.version}")


def _skew(subject: Subject, version: str) -> list[Finding]:
    """Say whether the pool could use nodes of the AMI; silent when there is none."""
    try:
        return skew(subject.chosen().build.htcondor, version)
    except AnnexkitError:
        return []  # the check "registry" says so


def pool_secret(subject: Subject) -> Iterator[Line]:
    """Try to get what nodes prove themselves with, as a launch would."""
    of_settings = subject.after("pool settings", subject.pool)
    found = pool_check.secret_findings(of_settings)
    yield from _lines("pool secret", found)
    if not found:
        what = "a token can be made" if of_settings.method == "idtokens" else "is read"
        yield ok("pool secret", f"{of_settings.method}: {what}")


def pool_host(subject: Subject) -> Iterator[Line]:
    """Judge this host's configuration, if it is one of the pool's."""
    of_settings = subject.after("pool settings", subject.pool)
    found = pool_check.host_findings(of_settings)
    yield from _lines("pool host", found)
    if not found:
        yield ok("pool host", f"annexes are let in by {of_settings.method}")


def _lines(check: str, found: Iterable[Finding]) -> list[Line]:
    return [_with_command(of_finding(check, one)) for one in found]


def _with_command(line: Line) -> Line:
    """Add the command that shows more, where a finding names none."""
    if line.mend or line.status in (Status.OK, Status.UNCHECKED):
        return line
    return replace(line, mend="invoke pool.check")
