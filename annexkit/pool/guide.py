"""The pool's file of the 2016 guide, line by line: what today's HTCondor makes of it.

The guide ("Install and Configure condor_annex", revision 13, step 8) has 15 settings in
``99_condor_annex_passwd.config``, on the central manager and on access points. What is
said of each was tried with HTCondor 23.9.6 and 25.14.1; the templates that it names are
HTCondor's own (``condor_config_val use security:strong``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annexkit.errors import Finding, Level
from annexkit.pool.dumped import Setting
from annexkit.pool.version import series

NAME = "99_condor_annex_passwd.config"
MARK = "# Written by annexkit (invoke pool.config)"
HEAD = (
    MARK
    + """: what {name} of the 2016 guide
# means, as today's HTCondor understands it. It is read after that file, which may stay
# or go. annexkit replaces this one as a whole.
"""
)
SETTINGS = re.compile(
    r"ALLOW_DAEMON|SEC_PASSWORD_FILE|SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION"
    r"|SEC_(?:CLIENT|DAEMON|NEGOTIATOR)"
    r"_(?:AUTHENTICATION(?:_METHODS)?|ENCRYPTION|INTEGRITY)"
)
PASSWORD_FILE = "SEC_PASSWORD_FILE"  # noqa: S105 - a name
KEY = "SEC_TOKEN_POOL_SIGNING_KEY_FILE"
ASKED = rf"^({SETTINGS.pattern}|{KEY})$"  # what of a live configuration is looked at
ASSIGNMENT = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=\s*(.*)")
NEW_IDENTITY = (23, 9)  # who knows the password is condor@password from here on
WHO = {
    "CLIENT": "every tool of users and of root here",
    "DAEMON": "whatever joins without the password, an annex with a token, too,",
    "NEGOTIATOR": "a negotiator without the password",
}


@dataclass(frozen=True)
class Line:
    """One setting as a file has it, with the number of its (first) line."""

    number: int
    name: str
    value: str


@dataclass(frozen=True)
class Verdict:
    """What today's HTCondor makes of a line.

    :param better: the lines to have instead; empty when HTCondor needs none.
    """

    line: Line
    level: Level
    what: str
    better: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    :param live: what a host's HTCondor has for these settings, by small letters; None
        for a file that no HTCondor here reads.
    :param version: that HTCondor; empty when it is not known.
    :param methods: what the pool authenticates by besides PASSWORD.
    :param before: what the same file said further up, by capital letters.
    """

    path: Path
    methods: Sequence[str]
    live: Mapping[str, Setting] | None = None
    version: str = ""
    before: Mapping[str, str] = field(default_factory=dict)

    def now(self, name: str) -> Setting | None:
        """Return what the host's HTCondor has for a setting."""
        return (self.live or {}).get(name.lower())

    def words(self, line: Line) -> list[str]:
        """Return the words of a list as HTCondor has them in the end.

        Where that cannot be asked, a list that names itself begins with what the same
        file said before, which is nothing in the guide's.
        """
        now = self.now(line.name)
        own = re.compile(rf"\$\({line.name}\)", re.IGNORECASE)
        base = self.before.get(line.name.upper(), "")
        value = now.value if now else own.sub(base, line.value)
        return value.replace(",", " ").split()


def lines(text: str) -> Iterator[Line]:
    """Yield the settings of a file of configuration; a backslash continues a line."""
    start, kept = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        start = start if kept else number
        if not kept and raw.lstrip().startswith("#"):
            continue
        kept += raw
        if kept.endswith("\\"):
            kept = kept[:-1] + " "
            continue
        if match := ASSIGNMENT.fullmatch(kept):
            yield Line(start, match[1], match[2].strip())
        kept = ""


def is_guides(text: str) -> bool:
    """Say whether a file is the guide's: by what it sets, whatever its name.

    The guide's and nobody else's add PASSWORD to lists that are empty.
    """
    found = {line.name.upper(): line.value for line in lines(text)}
    return PASSWORD_FILE in found and any(
        f"$({name})" in found.get(name, "").upper()
        for name in (f"SEC_{who}_AUTHENTICATION_METHODS" for who in WHO)
    )


def beside(path: Path) -> Path:
    """Return the path of what works: read by HTCondor right after the guide's file.

    HTCondor sorts a folder's files byte by byte, and ``_`` comes after ``.``.
    """
    return path.with_name(f"{path.stem}_annexkit{path.suffix}")


def judge(text: str, reading: Reading) -> list[Verdict]:
    """Say of each setting what today's HTCondor makes of it."""
    found = []
    for line in lines(text):
        found.append(_overridden(_verdict(line, reading), reading))
        said = {line.name.upper(): line.value}
        reading = replace(reading, before={**reading.before, **said})
    return found


def findings(verdicts: Sequence[Verdict], path: Path, mend: str) -> list[Finding]:
    """Return the verdicts as findings; *mend* is the command that writes what works."""
    return [
        Finding(
            one.level,
            f"{one.line.name}: {one.what}",
            f"{path}, line {one.line.number}",
            mend if one.level is not Level.INFO else "",
        )
        for one in verdicts
    ]


def works(verdicts: Sequence[Verdict], path: Path) -> str:
    """Return the file that says what the guide's means; empty when none is needed."""
    text = "".join(f"{line}\n" for one in verdicts for line in one.better)
    return HEAD.format(name=path.name) + text if text else ""


def _verdict(line: Line, reading: Reading) -> Verdict:
    name = line.name.upper()
    if not SETTINGS.fullmatch(name):
        return Verdict(line, Level.INFO, "is none of the guide's, and left as it is")
    judges = (
        ("ALLOW_DAEMON", _allowed),
        (PASSWORD_FILE, _password),
        ("_METHODS", _methods),
        ("SEC_CLIENT_AUTHENTICATION", _client),
    )
    return next((judge for end, judge in judges if name.endswith(end)), _own)(
        line, reading
    )


def _own(line: Line, reading: Reading) -> Verdict:
    """Judge what HTCondor has by itself since 9.0."""
    wanted = "TRUE" if "ENABLE" in line.name.upper() else "REQUIRED"
    if line.value.upper() == wanted:
        return Verdict(line, Level.INFO, "is HTCondor's own by now, and not needed")
    what = f"{line.value} is less than HTCondor's own by now, {wanted}"
    return Verdict(line, Level.WARNING, what, (f"{line.name} = {wanted}",))


def _methods(line: Line, reading: Reading) -> Verdict:
    methods = dict.fromkeys([*reading.methods, "PASSWORD"])
    better = (f"{line.name} = {', '.join(methods)}",)
    if {word.upper() for word in reading.words(line)} - {"PASSWORD"}:
        return Verdict(line, Level.INFO, "works", better)
    who = WHO[line.name.upper().split("_")[1]]
    what = (
        "the list that it adds PASSWORD to is not defined, so PASSWORD is all there "
        f"is: {who} has no method of authentication"
    )
    return Verdict(line, Level.ERROR, what, better)


def _allowed(line: Line, reading: Reading) -> Verdict:
    """Judge who may act as a daemon: by which name whoever knows the password comes."""
    own = [*line.value.replace(",", " ").split(), "condor@password"]
    better = (f"{line.name} = {' '.join(dict.fromkeys(own))}",)
    words = set(reading.words(line))
    known = series(reading.version)
    if words & {"*", "condor@*", "condor@password"} or (known and known < NEW_IDENTITY):
        return Verdict(line, Level.INFO, "works", better)
    if "condor_pool@*" in words:
        what = (
            "since 23.9.0 who knows the password is condor@password, which "
            "condor_pool@* means by USE_POOL_USERNAME_EQUIVALENT alone"
        )
        return Verdict(line, Level.WARNING, what, better)
    what = "since 23.9.0 who knows the password is condor@password, which is not in it"
    return Verdict(line, Level.ERROR, what, better)


def _password(line: Line, reading: Reading) -> Verdict:
    better = (
        f"{line.name} = {line.value}",
        "# Who knows the password must not be able to sign tokens with it. Tokens that",
        "# it signed are void with this.",
        f"{KEY} = $(SEC_PASSWORD_DIRECTORY)/POOL",
    )
    key, used = reading.now(KEY), reading.now(line.name)
    if key and used and key.value != used.value:
        return Verdict(line, Level.INFO, f"works: {key.value} signs tokens", better)
    what = (
        f"it signs tokens, too, where {KEY} names no other file: who knows the "
        "password can make a token for anybody"
    )
    return Verdict(line, Level.ERROR, what, better)


def _client(line: Line, reading: Reading) -> Verdict:
    if line.value.upper() == "OPTIONAL":
        return Verdict(line, Level.INFO, "works")
    what = (
        f"{line.value}: who has no token cannot even read from another host's "
        "collector; since 24.0 HTCondor's own is OPTIONAL, and daemons still insist"
    )
    return Verdict(line, Level.WARNING, what, (f"{line.name} = OPTIONAL",))


def _overridden(verdict: Verdict, reading: Reading) -> Verdict:
    """Say of a line that has no effect on a host what stands in its place."""
    now = reading.now(verdict.line.name)
    if now is None or now.file in ("", str(reading.path)):
        return verdict
    if verdict.level is not Level.INFO and verdict.line.name.upper() == PASSWORD_FILE:
        return verdict  # the harm is in another setting
    what = f"{now.source} sets it again, and that counts"
    return Verdict(verdict.line, Level.INFO, what, verdict.better)
