"""``invoke pool.config``: what a host of the pool needs so that annexes can join."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from annexkit.errors import Exit, Finding, Level, UsageError, raise_on_errors
from annexkit.files import FileError, write_beside
from annexkit.flows.asking import confirmed
from annexkit.flows.site import Site
from annexkit.pool.config import METHODS, Role, remaining, render
from annexkit.pool.host import Host, this_host
from annexkit.pool.target import Pool, PoolError

DEFAULT_METHODS = "FS,IDTOKENS,KERBEROS,SCITOKENS,SSL"  # HTCondor's, since 9.0
EVERY_ROLE: tuple[Role, ...] = ("cm", "ap")


@dataclass(frozen=True)
class ConfigRequest:
    """What was asked for.

    ``htcondor``: print for a host with that version, and touch nothing here.
    """

    htcondor: str = ""
    write: bool = False
    undo: bool = False


def configure(site: Site, request: ConfigRequest) -> Exit:
    """Show what this host needs, and write it when that is wanted.

    :raises UsageError: there is no HTCondor here, or it is not the pool's.
    :raises PoolError: HTCondor cannot read what was written; it is as it was before.
    """
    if request.htcondor:
        return _print(site, request.htcondor)
    host = _host()
    if request.undo:
        return _undo(site, host)
    pool = Pool.of(site.settings.pool)
    raise_on_errors(domain_findings(host, pool))
    files = render(host.version, host.roles, pool, methods=_methods(host))
    if not files:
        site.console.step("an access point needs nothing for tokens")
    new = next(iter(files.values()), "")
    return _apply(site, host, new, request.write, pool)


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


def _methods(host: Host) -> tuple[str, ...]:
    """Return the pool's methods; of one that chose its own, none is taken away."""
    now = host.words("SEC_DEFAULT_AUTHENTICATION_METHODS")
    if ",".join(now) in ("", DEFAULT_METHODS):
        return METHODS
    return tuple(word.upper() for word in now)


def _apply(site: Site, host: Host, new: str, write: bool, pool: Pool) -> Exit:
    path = host.path
    old = _read(path)
    difference = _difference(path, old, new)
    wanted = bool(difference) and (write or _confirmed(site, difference))
    if wanted:
        _replace(host, path, old, new)
    data = {
        "path": str(path),
        "htcondor": host.version,
        "roles": list(host.roles),
        "difference": difference,
        "written": wanted,
        "remaining": remaining(pool),
    }
    site.console.result(data, difference)
    if not difference:
        site.console.step(f"{path}: nothing to do")
    elif wanted:
        site.console.step(f"written; now, as root: {_next(pool)}")
    else:
        site.console.step("nothing was written: invoke pool.config --write")
    site.console.detail(f"good to know: {remaining(pool)}")
    return Exit.DONE


def _next(pool: Pool) -> str:
    # Sessions that daemons agreed on before go on with the old methods.
    return "condor_restart" if pool.method == "password" else "condor_reconfig"


def _undo(site: Site, host: Host) -> Exit:
    path = host.path
    there = path.exists()
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _denied(path, error) from error
    site.console.result({"path": str(path), "removed": there})
    site.console.step(
        f"removed {path}; now, as root: condor_restart" if there else "nothing to undo"
    )
    return Exit.DONE


def _difference(path: Path, old: str, new: str) -> str:
    lines = unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        str(path) if old else "/dev/null",
        str(path) if new else "/dev/null",
    )
    return "".join(lines)


def _replace(host: Host, path: Path, old: str, new: str) -> None:
    """Write the file, and take it back when HTCondor cannot read it."""
    _write(path, new)
    try:
        host.value("ALLOW_DAEMON")
    except PoolError:
        _write(path, old)
        raise


def _write(path: Path, text: str) -> None:
    if text:
        write_beside(path, text, mode=0o644)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _denied(path, error) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _denied(path, error) from error


def _denied(path: Path, error: OSError) -> FileError:
    return FileError(
        f"the file cannot be read or replaced: {error.strerror}",
        where=str(path),
        mend="run this as root",
    )


def _confirmed(site: Site, difference: str) -> bool:
    if site.console.as_json or not sys.stdin.isatty():
        return False
    site.console.detail(difference)
    return confirmed(
        "Write this?",
        yes=False,
        what="the file would be written",
        mend="invoke pool.config --write",
    )
