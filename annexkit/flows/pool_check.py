"""``invoke pool.check``: what a live pool lacks so that annexes can join."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from annexkit.errors import AnnexkitError, Exit, Finding, Level
from annexkit.flows import pool_files, pool_guide
from annexkit.flows.pool_config import domain_findings
from annexkit.flows.site import Site
from annexkit.pool import password
from annexkit.pool.collector import About, Collector
from annexkit.pool.config import OLDEST, remaining
from annexkit.pool.credentials import new_secret
from annexkit.pool.host import Host, this_host
from annexkit.pool.target import Pool, findings

CLOCK = 60  # seconds; a token from the future is refused
# Where nodes come by the guide's password although annexes come with tokens.
PREFER = (
    "take the guide's file and what stands beside it away once no node needs the "
    "password; or set pool.method: password, for which pool.config narrows this"
)
TRIED = 60  # seconds that the token of the trial lives; nobody gets it


def check(site: Site) -> Exit:
    """Ask the pool and this host, and say what is missing; changes nothing.

    :returns: DONE, USAGE for unusable settings, FAILED when a launch would fail.
    """
    wrong = findings(site.settings.pool)
    if any(f.level is Level.ERROR for f in wrong):
        return _report(site, wrong, None, Exit.USAGE)
    pool = Pool.of(site.settings.pool)
    about, of_pool = live_findings(pool, site.clock.time)
    found = [*wrong, *of_pool, *secret_findings(pool), *host_findings(pool)]
    found.append(Finding(Level.INFO, remaining(pool), f"method {pool.method}"))
    bad = any(f.level is Level.ERROR for f in found)
    return _report(site, found, about, Exit.FAILED if bad else Exit.DONE)


def check_guide(site: Site, name: str) -> Exit:
    """Say of a file of the 2016 guide, line by line, what it breaks today.

    :returns: FAILED when it breaks something.
    :raises UsageError: it cannot be read, or nothing in it is the guide's.
    """
    found = pool_guide.given(name, this_host())
    bad = found.level is Level.ERROR
    if site.console.as_json:
        site.console.result({"guide": [found.data]})
    else:
        for finding in found.findings:
            site.console.finding(finding)
    return Exit.FAILED if bad else Exit.DONE


def live_findings(
    pool: Pool, now: Callable[[], float]
) -> tuple[About | None, list[Finding]]:
    """Ask the collector who it is; return that, and what is wrong with it."""
    collector = Collector(pool)
    try:
        about = collector.about()
        on_time = collector.clock_within(now() - CLOCK, now() + CLOCK)
    except AnnexkitError as error:
        return None, list(error.findings)
    found = []
    numbers = re.search(r"(\d+)\.(\d+)\.\d+", about.version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        found.append(
            _error("its HTCondor is too old", about.version, "upgrade to 23.x")
        )
    if not on_time:
        found.append(
            _error(
                f"its clock and this machine's differ by more than {CLOCK} s: tokens "
                "may not be valid yet, leases end at the wrong time",
                pool.collector,
                "let both follow NTP (timedatectl)",
            )
        )
    if pool.ccb and about.ccb_targets is None:
        found.append(
            _error(
                "it serves no CCB, and nodes cannot be called",
                pool.collector,
                "ENABLE_CCB_SERVER = True there, or set pool.ccb: false",
            )
        )
    return about, found


def secret_findings(pool: Pool) -> list[Finding]:
    """Try to get a secret as a launch would; return why that fails."""
    try:
        new_secret(pool, TRIED)
    except AnnexkitError as error:
        return list(error.findings)
    return []


def host_findings(pool: Pool) -> list[Finding]:
    """Look at the configuration of this host, if it is one of the pool's."""
    host = this_host()
    try:
        roles = host.roles if host else ()
        if host is None or not roles:
            what = "the configuration of the pool's hosts was not checked from here"
            mend = "invoke pool.check on the central manager and on access points"
            return [Finding(Level.INFO, what, pool.collector, mend)]
        found = domain_findings(host, pool)
        guides = pool_guide.standing(host)
        for one in guides:
            found += pool_guide.summary(one)
        if pool.method == "password":
            found += _password(host, pool, by_guide=bool(guides))
        elif "cm" in roles:
            found += _advertise(host, pool)
            found += _administrators(host, Level.WARNING, PREFER) if guides else []
        return found + (_signing_key(host) if "cm" in roles else [])
    except AnnexkitError as error:
        return list(error.findings)


def _advertise(host: Host, pool: Pool) -> list[Finding]:
    found = []
    for name in ("ALLOW_ADVERTISE_STARTD", "ALLOW_ADVERTISE_MASTER"):
        if not {pool.identity, "*"} & set(host.words(name, "COLLECTOR")):
            what = f"{pool.identity} may not advertise: a node's ads are refused"
            found.append(_error(what, name, "invoke pool.config --write"))
    if not {pool.identity, "*"}.isdisjoint(host.words("ALLOW_ADMINISTRATOR")):
        what = "every annex is an administrator of the pool"
        found.append(_error(what, "ALLOW_ADMINISTRATOR", f"remove {pool.identity}"))
    return found + _methods(host, "IDTOKENS")


def _methods(host: Host, method: str) -> list[Finding]:
    name = "SEC_DEFAULT_AUTHENTICATION_METHODS"
    known = {word.upper() for word in host.words(name)}
    equal = {"IDTOKENS": {"IDTOKENS", "IDTOKEN", "TOKEN", "TOKENS"}}
    if known & equal.get(method, {method}):
        return []
    what = f"{method} is not among its methods of authentication"
    return [_error(what, name, "invoke pool.config --write")]


def _password(host: Host, pool: Pool, *, by_guide: bool) -> list[Finding]:
    """Look at what a pool needs whose annexes come by the password.

    :param by_guide: whether a file of the guide names the password's file, or what
        annexkit wrote beside it: both count after annexkit's own.
    """
    found = _methods(host, "PASSWORD")
    if (used := host.value("SEC_PASSWORD_FILE")) != pool.password_file:
        what = f"it is not {pool.password_file}, as the settings say"
        mend = f"set pool.password_file: {used}" if by_guide else pool_files.WRITE
        found.append(_error(what, "SEC_PASSWORD_FILE", mend))
    found += _administrators(host, Level.ERROR, pool_files.WRITE)
    try:
        plain = password.is_plain(Path(pool.password_file).read_bytes())
    except OSError:  # secret_findings says so
        return found
    if plain:
        what = "it holds the password as typed, which HTCondor takes for another one"
        mend = f"invoke pool.secret --replace < {pool.password_file}"
        found.append(_error(what, pool.password_file, mend))
    return found


def _administrators(host: Host, level: Level, mend: str) -> list[Finding]:
    """Say when who knows the password is among the pool's administrators."""
    wide = {"*", "condor@*", "condor@password", "condor_pool@*"}
    there = sorted(wide & set(host.words("ALLOW_ADMINISTRATOR")))
    what = f"root on any node is the pool's administrator: {' '.join(there)}"
    return [Finding(level, what, "ALLOW_ADMINISTRATOR", mend)] if there else []


def _signing_key(host: Host) -> list[Finding]:
    name = "SEC_TOKEN_POOL_SIGNING_KEY_FILE"
    key = Path(host.value(name))
    shared = host.value("SEC_PASSWORD_FILE")
    if os.geteuid() != 0:
        what = "only root can see whether the signing key is there"
        return [Finding(Level.INFO, what, str(key), "sudo invoke pool.check")]
    if not key.is_file():
        mend = "start the collector once (systemctl start condor): it makes the key"
        return [_error("there is no signing key: no token can be made", str(key), mend)]
    # A pool without a password of its own has no other file than the key.
    default = host.value("SEC_PASSWORD_DIRECTORY") + "/POOL"
    used = "PASSWORD" in host.value("SEC_DEFAULT_AUTHENTICATION_METHODS").upper()
    if _same(key, Path(shared)) and (used or shared != default):
        what = "the pool password signs tokens: who has it can make any token"
        return [_error(what, name, "invoke pool.config --write")]
    return []


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other) or one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _error(what: str, where: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, where, mend)


def _report(site: Site, found: list[Finding], about: About | None, code: Exit) -> Exit:
    if site.console.as_json:
        collector = asdict(about) if about else None
        rows = [{**asdict(f), "level": str(f.level)} for f in found]
        site.console.result({"collector": collector, "findings": rows})
        return code
    if about:
        site.console.step(f"the collector answers: {about.name}, {about.version}")
    for finding in found:
        site.console.finding(finding)
    if code is Exit.DONE:
        site.console.step("annexes can join as far as can be seen from here")
    return code
