"""``invoke pool.config``: what a host of the pool needs so that annexes can join."""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.errors import Exit, Finding, Level, UsageError, raise_on_errors
from annexkit.flows import pool_guide
from annexkit.flows.pool_files import RESTART, Change, read, say_end, undo, written
from annexkit.flows.pool_guide import GuideFile
from annexkit.flows.site import Site
from annexkit.pool.config import Role, remaining, render
from annexkit.pool.host import Host, this_host
from annexkit.pool.target import Pool

EVERY_ROLE: tuple[Role, ...] = ("cm", "ap")


@dataclass(frozen=True)
class ConfigRequest:
    """What was asked for.

    ``htcondor``: print for a host with that version, and touch nothing here.
    ``guide``: the file of the 2016 guide to mend; what else the host needs is left.
    """

    htcondor: str = ""
    write: bool = False
    undo: bool = False
    guide: str = ""


def configure(site: Site, request: ConfigRequest) -> Exit:
    """Show what this host needs, and write it when that is wanted.

    :raises UsageError: there is no HTCondor here, or it is not the pool's.
    :raises PoolError: HTCondor cannot read what was written; it is as it was before.
    """
    if request.guide:
        return _mend(site, request)
    if request.htcondor:
        return _print(site, request.htcondor)
    host = _host()
    if request.undo:
        return undo(site, [host.path, *pool_guide.ours(host)])
    pool = Pool.of(site.settings.pool)
    raise_on_errors(domain_findings(host, pool))
    files = render(host.version, host.roles, pool, methods=host.methods)
    if not files:
        site.console.step("an access point needs nothing for tokens")
    new = next(iter(files.values()), "")
    # A file of the guide that does no harm, or is mended by other means, is left alone.
    guides = [
        one
        for one in pool_guide.standing(host)
        if one.level is not Level.INFO or one.beside.exists()
    ]
    _say_lines(site, [one for file in guides for one in pool_guide.summary(file)])
    changes = [Change(host.path, read(host.path), new), *map(_mended, guides)]
    wanted = written(site, host, changes, write=request.write)
    difference = "".join(one.difference for one in changes)
    data = {
        "path": str(host.path),
        "htcondor": host.version,
        "roles": list(host.roles),
        "guide": [one.data for one in guides],
        "difference": difference,
        "written": wanted,
        "remaining": remaining(pool),
    }
    site.console.result(data, difference)
    deep = guides or pool.method == "password"
    say_end(site, changes, wanted, RESTART if deep else "condor_reconfig")
    site.console.detail(f"good to know: {remaining(pool)}")
    return Exit.DONE


def domain_findings(host: Host, pool: Pool) -> list[Finding]:
    """Return where the host's own domains differ from the settings.

    annexkit does not change them: tokens and job owners of the pool depend on them.
    """
    return [
        Finding(
            Level.ERROR,
            f"this host has {name} = {here}, the settings say {wanted}",
            f"annexkit.pool.{name.lower()}",
            f"set pool.{name.lower()}: {here}",
        )
        for name, wanted in (
            ("TRUST_DOMAIN", pool.trust_domain),
            ("UID_DOMAIN", pool.uid_domain),
        )
        if (here := host.value(name)) and here.lower() != wanted.lower()
    ]


def _host() -> Host:
    host = this_host()
    if host is None:
        raise UsageError(
            "there is no HTCondor on this host",
            where="condor_version",
            mend="run this on the central manager and on access points, or print what "
            "they need: invoke pool.config --htcondor 25.14.1",
        )
    if not host.roles:
        raise UsageError(
            "this host is neither a central manager nor an access point",
            where="DAEMON_LIST",
            mend="run this where the collector or a schedd runs",
        )
    return host


def _print(site: Site, version: str) -> Exit:
    pool = Pool.of(site.settings.pool)
    files = render(version, EVERY_ROLE, pool)
    text = "\n".join(f"# {path}\n{content}" for path, content in files.items())
    site.console.result({"files": files, "remaining": remaining(pool)}, text)
    return Exit.DONE


def _mend(site: Site, request: ConfigRequest) -> Exit:
    """Say what the guide's file breaks, and write what works beside it."""
    host = this_host()
    found = pool_guide.given(request.guide, host)
    change = _mended(found)
    if request.undo:
        return undo(site, [found.beside])
    _say_lines(site, found.findings)
    wanted = written(site, host, [change], write=request.write)
    data = {"guide": [found.data], "difference": change.difference, "written": wanted}
    site.console.result(data, change.difference)
    say_end(site, [change], wanted, RESTART, found.mend)
    return Exit.DONE


def _say_lines(site: Site, found: list[Finding]) -> None:
    if not site.console.as_json:
        for finding in found:
            site.console.finding(finding)


def _mended(found: GuideFile) -> Change:
    """Return what is to be written beside a file of the guide, if it does harm.

    :raises UsageError: something else has that name.
    """
    old = read(found.beside)
    if old and not pool_guide.is_ours(old):
        raise UsageError(
            "it is none of annexkit's, and what works belongs there",
            where=str(found.beside),
            mend="give it another name",
        )
    new = found.works if old or found.level is not Level.INFO else ""
    return Change(found.beside, old, new, (found.path, found.text))
