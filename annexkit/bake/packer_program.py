"""The installed Packer: find it, and have it check a template."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annexkit.bake.dialect import Dialect, Version, dialect_for, dotted, parse_version
from annexkit.bake.written import VARIABLES
from annexkit.errors import AnnexkitError, Finding, Level, UsageError
from annexkit.process import CommandError, run

UNSET = ("PACKER_LOG", "PACKER_LOG_PATH")  # would add the environment to the log
MEND = "see the whole log; then take away what is left: invoke reap"


class PackerError(AnnexkitError):
    """Packer failed; carries what explains it, not the whole log.

    :param errors: what Packer reported, last.
    :param guest: the last lines of the machine that was being baked.
    :param step: the step in which it failed, as a person would name it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        mend: str = MEND,
        errors: Sequence[str] = (),
        guest: Sequence[str] = (),
        step: str = "",
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.errors = tuple(errors)
        self.guest = tuple(guest)
        self.step = step

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The error, then all that Packer reported, then the guest's last lines."""
        more = "\n  ".join(e for e in self.errors if e not in self.what)
        said = "\n  ".join(self.guest)
        extra = (
            ("Packer reported:", more),
            (f"the last lines of {self.step or 'the guest'}:", said),
        )
        return (
            *super().findings,
            *(Finding(Level.INFO, f"{head}\n  {t}") for head, t in extra if t),
        )


@dataclass(frozen=True)
class Packer:
    """An installed Packer that annexkit can use."""

    path: str
    version: Version

    @property
    def dialect(self) -> Dialect:
        """The template dialect that it reads."""
        return dialect_for(self.version)

    def __str__(self) -> str:
        """Name it as people do: ``Packer 1.6.6``."""
        return f"Packer {dotted(self.version)}"


def find_packer(program: str = "packer") -> Packer:
    """Find Packer and read its version.

    :param program: a name on PATH, or a path (setting ``packer.program``).
    :raises UsageError: not installed, too old, or not HashiCorp's Packer.
    """
    path = shutil.which(program)
    if path is None:
        raise UsageError(
            f"Packer is not installed: there is no program '{program}'",
            where="annexkit.packer.program",
            mend=_other(program)
            or "apt-get install packer (Debian), or hashicorp.com/packer elsewhere",
        )
    try:
        done = run(path, "version", timeout=30, check=False, env=environment())
    except (CommandError, OSError) as error:
        raise UsageError(
            f"'{path} version' does not answer; is it HashiCorp's Packer? ({error})",
            where="annexkit.packer.program",
            mend=_other(program)
            or "set annexkit.packer.program to the path of HashiCorp's Packer",
        ) from error
    try:
        version = parse_version(done.stdout)
        dialect_for(version)
    except UsageError as error:
        mend = _other(program) or error.mend
        raise UsageError(error.what, where=error.where, mend=mend) from None
    return Packer(path, version)


def _other(program: str) -> str:
    """Return the command that takes the Packer on PATH instead; empty without one."""
    there = shutil.which("packer") if program != "packer" else None
    return "export INVOKE_ANNEXKIT_PACKER_PROGRAM=packer" if there else ""


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for Packer: the given one, or our own, made quiet.

    No update check, no colours, no debug log; credentials stay as they are (Packer
    documentation, "Environment Variables").
    """
    taken = {k: v for k, v in (env or os.environ).items() if k not in UNSET}
    return taken | {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}


def validate(
    packer: Packer,
    directory: Path,
    *,
    var_file: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Have Packer check a rendered template; never contacts AWS.

    :param var_file: what changes from run to run; the directory's own when None.

    :raises PackerError: with Packer's own words.
    """
    values = f"-var-file={var_file or directory / VARIABLES}"
    _command(packer, "validate", values, str(directory), env=env)


def init(
    packer: Packer, directory: Path, *, env: Mapping[str, str] | None = None
) -> None:
    """Install the plugins that a template of the newer dialect asks for.

    :raises PackerError: with Packer's own words.
    """
    if packer.dialect.plugins:
        _command(packer, "init", str(directory), env=env, timeout=300)


def _command(
    packer: Packer,
    name: str,
    *arguments: str,
    env: Mapping[str, str] | None,
    timeout: float = 60,
) -> None:
    done = run(
        packer.path,
        name,
        *arguments,
        check=False,
        timeout=timeout,
        env=environment(env),
    )
    if done.exit_code != 0:
        said = "\n".join(s.strip() for s in (done.stdout, done.stderr) if s.strip())
        raise PackerError(
            f"packer {name} refuses the template: {said}",
            where=arguments[-1],
            mend="the template is rendered from packer/images/; correct the recipe",
        )
