"""The 2016 guide's file for the pool: where it is, what it breaks, and what works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annexkit.errors import Finding, Level, UsageError
from annexkit.flows.pool_files import WRITE
from annexkit.pool import guide
from annexkit.pool.config import METHODS
from annexkit.pool.dumped import Setting, matching
from annexkit.pool.guide import Verdict
from annexkit.pool.host import Host

RANK = (Level.INFO, Level.WARNING, Level.ERROR)


@dataclass(frozen=True)
class GuideFile:
    """A file of the guide, judged.

    :param works: the text of the file that works, which belongs beside it.
    """

    path: Path
    text: str
    verdicts: tuple[Verdict, ...]
    works: str
    mend: str

    @property
    def level(self) -> Level:
        """The worst that is said of a line."""
        return max((one.level for one in self.verdicts), key=RANK.index)

    @property
    def beside(self) -> Path:
        """Where the file that works belongs."""
        return guide.beside(self.path)

    @property
    def findings(self) -> list[Finding]:
        """What is to be said of each line."""
        return guide.findings(self.verdicts, self.path, self.mend)

    @property
    def data(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "path": str(self.path),
            "works": str(self.beside),
            "lines": [
                {
                    "line": one.line.number,
                    "setting": one.line.name,
                    "level": str(one.level),
                    "what": one.what,
                    "better": list(one.better),
                }
                for one in self.verdicts
            ],
        }


def given(name: str, host: Host | None) -> GuideFile:
    """Judge the file that a person names; with what counts here, if it is read here.

    :raises UsageError: it cannot be read, or nothing in it is the guide's.
    """
    path = Path(name).expanduser().absolute()
    text = _read(path)
    here = host is not None and any(path.samefile(one) for one in host.files())
    live = matching(guide.ASKED) if here else None
    if not any(guide.SETTINGS.fullmatch(one.name.upper()) for one in guide.lines(text)):
        raise UsageError(
            "it sets nothing that the guide's file sets",
            where=str(path),
            mend=f"name the file of the guide's step 8, such as {guide.NAME}",
        )
    mend = WRITE if here else f"invoke pool.config --from {name} --write"
    return _judged(path, text, host, live, mend)


def standing(host: Host) -> list[GuideFile]:
    """Judge the guide's files among those that this host's HTCondor reads.

    :raises PoolError: the configuration cannot be read.
    """
    texts = {path: _text(path) for path in host.files()}
    found = {path: text for path, text in texts.items() if guide.is_guides(text)}
    if not found:
        return []
    live = matching(guide.ASKED)
    return [_judged(path, text, host, live, WRITE) for path, text in found.items()]


def is_ours(text: str) -> bool:
    """Say whether annexkit wrote such a file beside one of the guide."""
    return text.startswith(guide.MARK)


def ours(host: Host) -> list[Path]:
    """Return the files that annexkit wrote beside the guide's."""
    return [path for path in host.files() if path != host.path and is_ours(_text(path))]


def summary(found: GuideFile) -> list[Finding]:
    """Return what a check says: every line, or one word when nothing is wrong."""
    if found.level is not Level.INFO:
        return found.findings
    what = "the 2016 guide's file does no harm any more: what it breaks is set again"
    return [Finding(Level.INFO, what, str(found.path))]


def _judged(
    path: Path,
    text: str,
    host: Host | None,
    live: Mapping[str, Setting] | None,
    mend: str,
) -> GuideFile:
    # The host's methods are the pool's where the file is read, and nowhere else.
    methods = host.methods if host and live is not None else METHODS
    version = host.version if host else ""
    verdicts = guide.judge(text, guide.Reading(path, methods, live, version))
    return GuideFile(path, text, tuple(verdicts), guide.works(verdicts, path), mend)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(
            f"the file cannot be read: {said}",
            where=str(path),
            mend="name the guide's file: invoke pool.check --from PATH",
        ) from error


def _text(path: Path) -> str:
    """Return what a file of the configuration says; nothing when it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
