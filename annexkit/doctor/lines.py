"""The lines of the doctor's page: how a check stands, and what mends it."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Exit, Finding, Level

# What passes by itself, or lies on the way to AWS: it tells nothing of the account.
UNTOLD = re.compile(
    r"RequestLimitExceeded|Throttl\w+|TooManyRequests\w*|\w*Connect\w*Error"
    r"|\w*TimeoutError|SSLError|HTTPClientError|Internal(Error|Failure)"
    r"|(Service)?Unavailable\w*|NoDate|ResponseParserError"
)
# By EC2, by IAM and the query protocol, and by the JSON protocols (their references,
# "Common errors").
DENIED = re.compile(r"UnauthorizedOperation|AccessDenied(Exception)?")
PERMIT = (
    "have an administrator run: invoke iam, and attach its policies to you "
    "(docs/iam-policy.json, docs/iam-setup.json)"
)


class Status(StrEnum):
    """How one check stands; only ``wrong`` makes the doctor fail."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNCHECKED = "not checked"


STATUS = {Level.WARNING: Status.WARNING, Level.ERROR: Status.WRONG}


@dataclass(frozen=True)
class Line:
    """One line of the page: which check, how it stands, and the way to mend it."""

    check: str
    status: Status
    what: str
    where: str = ""
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the line for machines."""
        return asdict(self) | {"status": str(self.status)}


class Missing(AnnexkitError):
    """A check cannot be made, because another one did not find what it starts from."""

    def __init__(self, check: str) -> None:
        super().__init__(f"it needs what '{check}' did not find")


def setting(name: str, value: str) -> str:
    """Return the command that gives a setting another value, in this shell.

    >>> setting("bake.image", "debian13")
    'export INVOKE_ANNEXKIT_BAKE_IMAGE=debian13'
    """
    variable = f"INVOKE_ANNEXKIT_{name.replace('.', '_').upper()}"
    return f"export {variable}={shlex.quote(value)}"


def ok(check: str, what: str) -> Line:
    """Say that all is well."""
    return Line(check, Status.OK, what)


def warning(check: str, what: str, *, where: str = "", mend: str) -> Line:
    """Say what will do, but should be another way."""
    return Line(check, Status.WARNING, what, where, mend)


def wrong(check: str, what: str, *, where: str = "", mend: str) -> Line:
    """Say what keeps bakes or launches from succeeding."""
    return Line(check, Status.WRONG, what, where, mend)


def unchecked(check: str, why: str, *, where: str = "", mend: str = "") -> Line:
    """Say that it cannot be told, and why."""
    return Line(check, Status.UNCHECKED, why, where, mend)


def of_finding(check: str, found: Finding) -> Line:
    """Take over a finding.

    What only informs is well; what informs and names a command was not looked at.
    """
    unknown = Status.UNCHECKED if found.mend else Status.OK
    status = STATUS.get(found.level, unknown)
    return Line(check, status, found.what, found.where, found.mend)


def of_error(check: str, error: AnnexkitError, *, needed: bool = True) -> list[Line]:
    """Say what an error means for a check.

    :param needed: bakes or launches ask the same, so a refusal stops them, too; else
        it only keeps the doctor from looking.
    """
    if isinstance(error, Missing):
        return [unchecked(check, error.what)]
    if isinstance(error, AwsError):
        return [_of_aws(check, error, needed)]
    return [of_finding(check, found) for found in error.findings]


def _of_aws(check: str, error: AwsError, needed: bool) -> Line:
    if DENIED.fullmatch(error.code):
        say, what = (wrong if needed else unchecked), "you may not ask AWS for this"
        return say(check, f"{what} ({error.code})", where=error.where, mend=PERMIT)
    if needed and not UNTOLD.fullmatch(error.code):
        return wrong(check, error.what, where=error.where, mend=error.mend)
    what = f"AWS did not tell: {error.what}"
    return unchecked(check, what, where=error.where, mend=error.mend)


def counted(lines: Iterable[Line]) -> dict[Status, int]:
    """Return how many lines stand how; every status is named."""
    counts = Counter(line.status for line in lines)
    return {status: counts[status] for status in Status}


def verdict(lines: Iterable[Line]) -> Exit:
    """Return DONE when nothing is wrong, else FAILED."""
    return Exit.FAILED if counted(lines)[Status.WRONG] else Exit.DONE


def page(lines: Iterable[Line]) -> str:
    """Write the page for people: a line each, its mend below it, and the sum."""
    lines = list(lines)
    width = max((len(line.check) for line in lines), default=0)
    rows = [row for line in lines for row in _rows(line, width)]
    total = ", ".join(f"{n} {status}" for status, n in counted(lines).items())
    return "\n".join([*rows, "", total])


def _rows(line: Line, width: int) -> Iterator[str]:
    what = " ".join(line.what.split())
    where = f" [{line.where}]" if line.where else ""
    yield f"{line.status:<11}  {line.check:<{width}}  {what}{where}"
    if line.mend:
        yield f"{'':<11}  {'':<{width}}  mend: {' '.join(line.mend.split())}"


def as_json(lines: Iterable[Line], **more: Any) -> dict[str, Any]:
    """Return the page for machines; *more* stands beside it."""
    lines = list(lines)
    counts = {str(status): n for status, n in counted(lines).items()}
    code = int(verdict(lines))
    return {
        **more,
        "lines": [line.as_json() for line in lines],
        "counts": counts,
        "exit": code,
    }
