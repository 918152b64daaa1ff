"""The one door to other programs.

Unit tests close it (``tests/unit/conftest.py``), so nothing runs by accident.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annexkit.errors import AnnexkitError


@dataclass(frozen=True)
class Completed:
    """What a program left behind: exit code and both outputs, as text."""

    args: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


class CommandError(AnnexkitError):
    """A program could not be started, ran too long, or failed."""

    def __init__(self, done: Completed, *, what: str = "", mend: str = "") -> None:
        self.done = done
        tail = (done.stderr.strip() or done.stdout.strip())[-2000:]
        said = f": {tail}" if tail else ""
        super().__init__(
            what or f"{done.args[0]} failed with exit code {done.exit_code}{said}",
            where=" ".join(done.args),
            mend=mend or "type the command by hand to see more of it",
        )


def run(
    *args: str | Path,
    check: bool = True,
    timeout: float | None = 60,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ok: Sequence[int] = (0,),
) -> Completed:
    """Run a program to its end and return its exit code and output.

    :param args: the program and its arguments; no shell sees them.
    :param check: raise when the exit code is not in *ok*.
    :param timeout: seconds; the program is killed after that.
    :param stdin: what the program reads; nothing when None.
    :param env: the whole environment, the caller's own when None.
    :raises CommandError: not found, timed out, or failed while *check* is set.
    """
    argv = tuple(str(a) for a in args)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            argv,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=timeout,
            env=None if env is None else dict(env),
            cwd=cwd,
            check=False,
        )
    except OSError as error:
        raise _not_started(argv, error) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            Completed(argv, 124, _text(error.stdout), _text(error.stderr)),
            what=f"{argv[0]} did not end within {timeout:g} s",
        ) from error
    completed = Completed(argv, done.returncode, _text(done.stdout), _text(done.stderr))
    if check and completed.exit_code not in ok:
        raise CommandError(completed)
    return completed


def _not_started(argv: tuple[str, ...], error: OSError) -> CommandError:
    done = Completed(argv, 127, "", "")
    # The same exception speaks of a missing working directory.
    if isinstance(error, FileNotFoundError) and error.filename == argv[0]:
        return CommandError(
            done,
            what=f"program '{argv[0]}' is not installed or not on PATH",
            mend=f"install {argv[0]}",
        )
    return CommandError(
        done,
        what=f"{argv[0]} could not be started: {error.strerror} ({error.filename})",
        mend="correct the file and its permissions (ls -l)",
    )


def _text(data: bytes | str | None) -> str:
    if data is None:
        return ""
    return data if isinstance(data, str) else data.decode(errors="replace")
