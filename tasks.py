"""The command line: each task calls one function of annexkit and shows its result.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, Exit, task

if TYPE_CHECKING:
    from annexkit.flows.site import Site

ROOT = Path(__file__).resolve().parent


def _reported(body: Callable[..., int | None]) -> Callable[..., None]:
    """Show errors for people and turn them into exit codes."""

    @functools.wraps(body)
    def run(c: Context, *args: Any, **flags: Any) -> None:
        from annexkit.console import Console
        from annexkit.errors import AnnexkitError
        from annexkit.stopping import stoppable

        try:
            with stoppable():
                code = body(c, *args, **flags)
        except AnnexkitError as error:
            Console().error(error)
            raise Exit(code=int(error.exit_code)) from None
        if code:
            raise Exit(code=int(code))

    return run


def _say_settings_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say what Invoke cannot read of the settings, which it does before any task."""
    if not kind.__module__.startswith("invoke."):
        sys.__excepthook__(kind, error, trace)
        return
    said = " ".join(str(error).split())
    if kind.__name__ == "AmbiguousMergeError":  # it shows both sides, whole
        given = said.rpartition(" with ")[2]
        said = f"a value and a section share a name; the value is {given}"
    print(f"error: the settings cannot be read: {said}", file=sys.stderr)
    print("  mend: correct the file (invoke.yaml shows how)", file=sys.stderr)


sys.excepthook = _say_settings_error


def _plain(node: Any) -> Any:
    """Copy Invoke's configuration proxy into plain dicts."""
    if isinstance(node, Mapping) or hasattr(node, "_config"):
        return {key: _plain(node[key]) for key in node}
    return node


def _site(c: Context, as_json: bool = False) -> Site:
    from annexkit import settings
    from annexkit.console import Console
    from annexkit.flows.site import Site

    _check_given_file(c)
    section = _plain(c.config.get("annexkit", {}))
    return Site(settings.load(section), ROOT, Console(as_json=as_json))


def _check_given_file(c: Context) -> None:
    """Refuse ``-f`` with a file that is not there; Invoke passes over it in silence."""
    from annexkit.errors import UsageError

    given = getattr(c.config, "_runtime_path", None)
    if given and not Path(given).is_file():
        raise UsageError(
            "this file of settings does not exist",
            where=f"-f {given}",
            mend="correct the path, or leave -f out",
        )


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
@_reported
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
    return bake_regions(_site(c, json), request)


@task(
    help={
        "region": "where to look; every enabled region by default (reap.regions)",
        "yes": "do not ask",
        "dry-run": "list only",
        "json": "print the list as JSON",
    },
    iterable=["region"],
)
@_reported
def reap(
    c: Context,
    region: list[str],
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """End what no running bake owns: builders, AMIs, groups, keys, volumes."""
    from annexkit.flows.reap_report import reap_and_report

    return reap_and_report(_site(c, json), tuple(region), yes=yes, dry_run=dry_run)


@task(name="list", help={"json": "print as JSON"})
@_reported
def registry_list(c: Context, json: bool = False) -> None:
    """List the AMIs of the registry, and which are current."""
    from annexkit.flows.registry_report import list_amis

    list_amis(_site(c, json))


@task(name="show", help={"image": "the image (bake.image)", "json": "print as JSON"})
@_reported
def registry_show(c: Context, image: str = "", json: bool = False) -> None:
    """Show one image: its channels, and every build with its provenance."""
    from annexkit.flows.registry_report import show_image

    show_image(_site(c, json), image)


@task(name="check", help={"json": "print as JSON"})
@_reported
def registry_check(c: Context, json: bool = False) -> int:
    """Check the registry file, its package lists and its schema; no AWS call."""
    from annexkit.flows.registry_report import check_file

    return check_file(_site(c, json))


@task(name="up")
@_reported
def rehearsal_up(c: Context) -> None:
    """Bring up the rehearsal: EC2's API and real machines, on this machine."""
    from annexkit.rehearsal import control

    site = _site(c)
    found = control.up(
        site.settings.rehearsal, ROOT, cache=site.cache, progress=site.console.step
    )
    site.console.step(f"the rehearsal is up: EC2 answers at {found.endpoint}")


@task(name="down")
@_reported
def rehearsal_down(c: Context) -> None:
    """Take the rehearsal down: its machines, images, network and server."""
    from annexkit.rehearsal import control

    site = _site(c)
    there = control.down(site.settings.rehearsal, ROOT)
    site.console.step("the rehearsal is down" if there else "no rehearsal was up")


@task(name="status", help={"json": "print as JSON"})
@_reported
def rehearsal_status(c: Context, json: bool = False) -> None:
    """Say whether the rehearsal is up, and which machines and images it has."""
    from annexkit.rehearsal import control, report

    site = _site(c, json)
    report.show(control.status(site.settings.rehearsal, ROOT), site.console)


@task(name="env")
@_reported
def rehearsal_env(c: Context) -> None:
    """Print the environment that points annexkit at the rehearsal, for eval."""
    import shlex

    from annexkit.rehearsal import control

    found = control.running(_site(c).settings.rehearsal, ROOT)
    for name, value in control.environment(found).items():
        print(f"export {name}={shlex.quote(value)}")


@task(name="console", positional=["instance"])
@_reported
def rehearsal_console(c: Context, instance: str) -> None:
    """Print a machine's console, as GetConsoleOutput gives it."""
    from annexkit.rehearsal import control

    print(control.console(_site(c).settings.rehearsal, ROOT, instance), end="")


@task(name="shell", positional=["instance"])
@_reported
def rehearsal_shell(c: Context, instance: str) -> None:
    """Open a root shell on a machine of the rehearsal."""
    from annexkit.rehearsal import control

    command = control.shell(_site(c).settings.rehearsal, ROOT, instance)
    os.execvp(command[0], command)


ns = Collection(bake, reap)
ns.add_collection(Collection("registry", registry_list, registry_show, registry_check))
ns.add_collection(
    Collection(
        "rehearsal",
        rehearsal_up,
        rehearsal_down,
        rehearsal_status,
        rehearsal_env,
        rehearsal_console,
        rehearsal_shell,
    )
)
