"""``invoke registry.export``: the current AMIs for others, as text or a file."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    FindingsError,
    Level,
    UsageError,
    nearest,
)
from annexkit.files import FileError, write_beside
from annexkit.flows.site import Site
from annexkit.pool.dumped import BUILT_IN, Setting, matching
from annexkit.pool.host import Host, this_host
from annexkit.publish.choose import Export, choose, for_upstream, of_images
from annexkit.publish.compare import differences
from annexkit.publish.forms import FORMS, KNOB, is_ours, knob, left_out_data, render
from annexkit.registry import Registry

ARCHS = ("x86_64", "arm64")
FILE = "81-annexkit-images.config"  # beside the file of `invoke pool.config`


@dataclass(frozen=True)
class ExportRequest:
    """What was asked for; empty ``images`` and ``arch`` leave it to the form."""

    form: str = "condor"
    images: tuple[str, ...] = ()
    arch: str = ""
    output: str = ""
    check: bool = False


def export_amis(site: Site, request: ExportRequest) -> Exit:
    """Print or write the current AMIs, or compare them with this host's HTCondor.

    :returns: DONE, or FAILED when the host's configuration differs.
    :raises UsageError: the request, or the file to write, is not usable.
    :raises AnnexkitError: there is no AMI to export.
    """
    registry = site.registry.read()
    _refuse_unusable(request, registry, site.registry.path)
    export = _chosen(site, request, registry)
    host = _host() if request.check else None
    _say_left_out(site, registry, export)
    if host:
        return _check(site, request, export, host)
    if not export.amis:
        raise AnnexkitError(
            "there is no AMI to export",
            where=str(site.registry.path),
            mend="invoke registry.list shows what there is; invoke bake makes one",
        )
    return _deliver(site, request, export)


def _refuse_unusable(request: ExportRequest, registry: Registry, path: Path) -> None:
    found = []
    if request.form not in FORMS:
        known = ", ".join(FORMS)
        found.append(_error(f"no form '{request.form}'", "--format", known))
    if request.arch not in ("", *ARCHS):
        what = f"no architecture '{request.arch}'"
        found.append(_error(what, "--arch", " or ".join(ARCHS)))
    for image in request.images:
        if image not in registry.images:
            mend = nearest(image, registry.images) or "invoke registry.list"
            found.append(
                _error(f"the registry has no image '{image}'", str(path), mend)
            )
    if request.form == "condor" and len(request.images) > 1:
        what = "HTCondor's client has one default AMI for a region"
        found.append(_error(what, "--image", "name one image"))
    if request.check and request.form != "condor":
        what = "only the condor form is compared with HTCondor"
        found.append(_error(what, "--check", "leave --format out"))
    if request.check and request.output:
        what = "a check writes nothing"
        found.append(_error(what, "--output", "leave --check or --output out"))
    if found:
        raise FindingsError(found)


def _chosen(site: Site, request: ExportRequest, registry: Registry) -> Export:
    export = choose(registry, datetime.fromtimestamp(site.clock.time(), UTC))
    asked = of_images(export, request.images, request.arch)
    if request.form != "condor":
        return asked
    bake = site.settings.bake
    image = request.images[0] if request.images else bake.image
    return for_upstream(asked, image, request.arch or bake.arch)


def _say_left_out(site: Site, registry: Registry, export: Export) -> None:
    for one in export.left_out:
        what = f"left out: {one.why}"
        site.console.finding(Finding(one.level, what, one.where, one.mend))
    if registry.endpoint != "aws":
        what = f"these AMIs are of {registry.endpoint}, and not of AWS"
        where = str(site.registry.path)
        site.console.finding(Finding(Level.WARNING, what, where))
    if registry.historical:
        what = "the AMIs of the 2016 guide are never exported"
        site.console.finding(Finding(Level.INFO, what, str(site.registry.path)))


def _deliver(site: Site, request: ExportRequest, export: Export) -> Exit:
    text = render(export, request.form)
    path = Path(request.output) if request.output else None
    written = _write(path, text, request.form) if path else False
    if site.console.as_json:
        site.console.result(
            {
                "format": request.form,
                "content": text,
                "output": str(path or ""),
                "written": written,
                "amis": len(export.amis),
                "left_out": left_out_data(export.left_out),
            }
        )
    elif path is None:
        site.console.document(text)
    if path:
        said = f"written: {len(export.amis)} AMIs" if written else "nothing to do"
        site.console.step(f"{path}: {said}")
    return Exit.DONE


def _write(path: Path, text: str, form: str) -> bool:
    """Write the file unless it holds that text already; return whether it was."""
    old = _read(path)
    if old == text:
        return False
    if old and not is_ours(old, form):
        before = path.with_name(f"{path.name}.before")
        raise UsageError(
            f"it is there, and no export of the form {form}; it was not touched",
            where=str(path),
            mend="name another one, or move it: "
            + shlex.join(["mv", "-n", str(path), str(before)]),
        )
    write_beside(path.resolve(), text)  # the file itself, where a link leads to it
    return True


def _read(path: Path) -> str:
    """Return what a file holds, ``""`` when there is none.

    :raises UsageError: it is no file, or a link that leads nowhere.
    :raises FileError: it cannot be read.
    """
    try:
        if path.is_file():
            return path.read_bytes().decode(errors="replace")
        in_the_way = path.exists() or path.is_symlink()
    except OSError as error:
        raise FileError(
            f"the file cannot be read: {error.strerror or error}",
            where=str(path),
            mend="correct the path or its permissions (ls -l)",
        ) from error
    if in_the_way:
        raise UsageError(
            "this is not a file that can be replaced",
            where=str(path),
            mend="name another one, or leave --output out: it is printed then",
        )
    return ""


def _host() -> Host:
    host = this_host()
    if host is None:
        raise UsageError(
            "there is no HTCondor on this host, so there is nothing to compare with",
            where="condor_config_val",
            mend="run this where condor_annex runs, or leave --check out",
        )
    return host


def _check(site: Site, request: ExportRequest, export: Export, host: Host) -> Exit:
    live = _live(host, export)
    path = _path(host, live)
    mend = _command(request, path) if export.amis else f"rm -f {shlex.quote(str(path))}"
    found = differences(export, live, path, mend)
    bad = any(f.level is Level.ERROR for f in found)
    site.console.result(
        {
            "same": not bad,
            "amis": len(export.amis),
            "findings": [{**asdict(f), "level": str(f.level)} for f in found],
            "left_out": left_out_data(export.left_out),
        }
    )
    if not site.console.as_json:
        for finding in found:
            site.console.finding(finding)
        if not bad:
            count = len(export.amis)
            site.console.step(f"HTCondor here has the registry's AMIs: {count}")
    return Exit.FAILED if bad else Exit.DONE


def _live(host: Host, export: Export) -> dict[str, Setting]:
    """Return what the host was told, and HTCondor's own AMIs where it was not.

    The list of all names has only what files set; what is compiled in is the answer to
    a question for its name (seen with 23.9.6 and 25.14.1).
    """
    live = matching(KNOB)
    for name in (knob(one.region) for one in export.amis):
        if name.lower() not in live and (own := host.value(name)):
            live[name.lower()] = Setting(own, BUILT_IN)
    return live


def _path(host: Host, live: dict[str, Setting]) -> Path:
    """Return the export that the host reads, or where it belongs."""
    for file in sorted({s.file for s in live.values()} - {""}):
        try:
            if is_ours(Path(file).read_text(encoding="utf-8"), "condor"):
                return Path(file)
        except (OSError, UnicodeDecodeError):
            continue
    return host.path.with_name(FILE)


def _command(request: ExportRequest, path: Path) -> str:
    words = ["invoke", "registry.export", "--format", "condor"]
    for image in request.images:
        words += ["--image", image]
    if request.arch:
        words += ["--arch", request.arch]
    return shlex.join([*words, "--output", str(path)])


def _error(what: str, where: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, where, mend)
