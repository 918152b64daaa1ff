"""The HTCondor of this host, when it is one of the pool's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annexkit.pool.config import METHODS, PATH, Role
from annexkit.pool.target import PoolError
from annexkit.process import CommandError, run

VERSION = re.compile(r"\$CondorVersion: (\d+\.\d+\.\d+)")
DEFAULT_METHODS = "FS,IDTOKENS,KERBEROS,SCITOKENS,SSL"  # HTCondor's, since 9.0
NOTHING = r"(?!)"
ROLES: dict[str, Role] = {"COLLECTOR": "cm", "SCHEDD": "ap"}


@dataclass(frozen=True)
class Host:
    """An HTCondor that is installed here. ``version`` is such as 25.14.1."""

    version: str

    def value(self, name: str, subsystem: str = "") -> str:
        """Return what the configuration says, ``""`` when it says nothing.

        :param subsystem: as that daemon reads it, such as COLLECTOR.
        :raises PoolError: the configuration cannot be read.
        """
        whose = ("-subsystem", subsystem) if subsystem else ()
        done = run("condor_config_val", *whose, name, check=False)
        said = f"{done.stdout}{done.stderr}"
        if done.exit_code and "Not defined" not in said:
            raise PoolError(
                f"the configuration cannot be read: {' '.join(said.split())[-400:]}",
                where="condor_config_val",
                mend="correct what it names (condor_config_val -summary)",
            )
        return "" if done.exit_code else done.stdout.strip()

    def words(self, name: str, subsystem: str = "") -> list[str]:
        """Return the words of a list, which commas or spaces may separate."""
        return self.value(name, subsystem).replace(",", " ").split()

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it is in its pool, by the daemons that it runs."""
        daemons = {word.upper() for word in self.words("DAEMON_LIST")}
        return tuple(role for name, role in ROLES.items() if name in daemons)

    @property
    def path(self) -> Path:
        """Where annexkit's own file of configuration belongs.

        HTCondor reads the folders in their order, the package's own first; in the last
        one stands what a site says.
        """
        folders = self.words("LOCAL_CONFIG_DIR")
        return Path(folders[-1]) / Path(PATH).name if folders else Path(PATH)

    @property
    def methods(self) -> tuple[str, ...]:
        """The pool's methods; of one that chose its own, none is taken away."""
        now = self.words("SEC_DEFAULT_AUTHENTICATION_METHODS")
        if ",".join(now) in ("", DEFAULT_METHODS):
            return METHODS
        return tuple(word.upper() for word in now)

    def files(self) -> Iterator[Path]:
        """Yield the files of its folders of configuration, in the order of reading.

        HTCondor reads a folder's files sorted byte by byte, and passes over those that
        LOCAL_CONFIG_DIR_EXCLUDE_REGEXP names, such as what editors leave. What we may
        not look into is passed over, too.
        """
        spared = _pattern(self.value("LOCAL_CONFIG_DIR_EXCLUDE_REGEXP"))
        for folder in map(Path, self.words("LOCAL_CONFIG_DIR")):
            try:
                found = [path for path in folder.iterdir() if path.is_file()]
            except OSError:
                continue
            for path in sorted(found, key=os.fsencode):
                if not spared.match(path.name):
                    yield path


def _pattern(text: str) -> re.Pattern[str]:
    """Return HTCondor's expression as Python's; one that is none matches nothing."""
    try:
        return re.compile(text or NOTHING)
    except re.error:
        return re.compile(NOTHING)


def this_host() -> Host | None:
    """Return this host's HTCondor; None when there is none."""
    try:
        said = run("condor_version").stdout
    except CommandError:
        return None
    match = VERSION.search(said)
    return Host(match[1]) if match else None
