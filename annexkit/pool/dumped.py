"""What this host's HTCondor is told by its configuration, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass

from annexkit.pool.target import PoolError
from annexkit.process import run

BUILT_IN = "<Default>"  # HTCondor's word for what is compiled in
LINE = re.compile(r"(\S+) = ?(.*)")
AT = " # at: "


@dataclass(frozen=True)
class Setting:
    """One setting: its expanded value, and ``FILE, line N`` or HTCondor's own words."""

    value: str
    source: str = ""

    @property
    def built_in(self) -> bool:
        """Whether nobody set it: HTCondor's own default."""
        return self.source.startswith(BUILT_IN)

    @property
    def file(self) -> str:
        """The file that sets it; empty when none does."""
        return "" if self.source.startswith("<") else self.source.rpartition(", ")[0]


def matching(pattern: str) -> dict[str, Setting]:
    """Return the settings of this host whose names match, by name in small letters.

    :param pattern: a regular expression, matched anywhere and without case.
    :raises CommandError: there is no condor_config_val here.
    :raises PoolError: the configuration cannot be read.
    """
    done = run(
        "condor_config_val", "-dump", "-expand", "-verbose", pattern, check=False
    )
    if done.exit_code:
        said = " ".join(f"{done.stdout} {done.stderr}".split())[-400:]
        raise PoolError(
            f"the configuration cannot be read: {said}",
            where="condor_config_val",
            mend="correct what it names (condor_config_val -summary)",
        )
    return read(done.stdout)


def read(said: str) -> dict[str, Setting]:
    """Read what ``condor_config_val -dump -expand -verbose`` printed.

    A line ``NAME = VALUE`` is followed by lines of remarks, which begin with a blank
    and ``#``; the one with ``at:`` says where it was set.
    """
    found: dict[str, Setting] = {}
    name = ""
    for line in said.splitlines():
        if line.startswith(AT) and name:
            found[name] = Setting(found[name].value, line.removeprefix(AT).strip())
        elif not line.startswith(
            ("#", " ")
        ):  # a value of several lines is none of ours
            match = LINE.fullmatch(line)
            name = match[1].lower() if match else ""
            if match:
                found[name] = Setting(match[2].strip())
    return found
