"""Files of a pool host's configuration: shown, written, and taken back again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from annexkit.errors import Exit
from annexkit.files import FileError, write_beside
from annexkit.flows.asking import confirmed
from annexkit.flows.site import Site
from annexkit.pool.host import Host
from annexkit.pool.target import PoolError

# Sessions that daemons agreed on before go on with the old methods.
RESTART = "condor_restart"
WRITE = "invoke pool.config --write"


@dataclass(frozen=True)
class Change:
    """A file as it is and as it should be; an empty one is not there.

    :param instead: the file whose place a new one takes, for the difference.
    """

    path: Path
    old: str
    new: str
    instead: tuple[Path, str] | None = None

    @property
    def difference(self) -> str:
        """What would change, as a unified diff; empty when nothing would."""
        if self.old == self.new:
            return ""
        path, old = self.path, self.old
        if self.instead and not old:
            path, old = self.instead
        lines = unified_diff(
            old.splitlines(keepends=True),
            self.new.splitlines(keepends=True),
            str(path) if old else "/dev/null",
            str(self.path) if self.new else "/dev/null",
        )
        return "".join(lines)


def written(
    site: Site, host: Host | None, changes: Sequence[Change], *, write: bool
) -> bool:
    """Write what differs when that is wanted; say whether it was.

    :param write: without asking.
    :raises PoolError: HTCondor cannot read what was written; all is as it was before.
    """
    differing = [one for one in changes if one.difference]
    difference = "".join(one.difference for one in differing)
    if not differing or not (write or _confirmed(site, difference)):
        return False
    _replace(host, differing)
    return True


def say_end(
    site: Site,
    changes: Sequence[Change],
    wanted: bool,
    then: str,
    mend: str = WRITE,
) -> None:
    """Say how it ended, and what is to be done next.

    :param then: the command by which HTCondor takes notice.
    :param mend: the command that writes, when nothing was written.
    """
    if not any(one.difference for one in changes):
        for one in changes:
            site.console.step(f"{one.path}: nothing to do")
    elif wanted:
        site.console.step(f"written; now, as root: {then}")
    else:
        site.console.step(f"nothing was written: {mend}")


def undo(site: Site, paths: Sequence[Path]) -> Exit:
    """Take files of annexkit's away; those that are not there are no matter.

    :raises FileError: one cannot be removed.
    """
    there = [path for path in paths if path.exists()]
    for path in there:
        _write(path, "")
    removed = {"path": str(paths[0]), "removed": bool(there)}
    site.console.result(removed | {"files": [str(path) for path in there]})
    for path in there:
        site.console.step(f"removed {path}; now, as root: {RESTART}")
    if not there:
        site.console.step("nothing to undo")
    return Exit.DONE


def _replace(host: Host | None, changes: Sequence[Change]) -> None:
    """Write the files, and take them back when HTCondor cannot read them."""
    done: list[Change] = []
    try:
        for one in changes:
            _write(one.path, one.new)
            done.append(one)
        if host:
            host.value("ALLOW_DAEMON")
    except (PoolError, FileError):
        for one in done:
            _write(one.path, one.old)
        raise


def _write(path: Path, text: str) -> None:
    if text:
        write_beside(path, text, mode=0o644)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _denied(path, error) from error


def read(path: Path) -> str:
    """Return what a file says; nothing when it is not there.

    :raises FileError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _denied(path, error) from error
    except UnicodeDecodeError as error:
        raise FileError(
            "the file is no text", where=str(path), mend="take it out of the way"
        ) from error


def _confirmed(site: Site, difference: str) -> bool:
    if site.console.as_json or not sys.stdin.isatty():
        return False
    site.console.detail(difference)
    return confirmed(
        "Write this?",
        yes=False,
        what="the file would be written",
        mend=WRITE,
    )


def _denied(path: Path, error: OSError) -> FileError:
    return FileError(
        f"the file cannot be read or replaced: {error.strerror}",
        where=str(path),
        mend="run this as root",
    )
