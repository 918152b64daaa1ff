"""``invoke registry.verify``: is every AMI of the registry there, and what it says?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    FindingsError,
    Level,
    nearest,
)
from annexkit.flows.registry_move import ask_regions
from annexkit.flows.site import Site
from annexkit.publish.standing import (
    Line,
    Named,
    Verdict,
    judge,
    named,
    unreachable,
)
from annexkit.registry import Registry, State
from annexkit.settings import split_flag

COLUMNS = (
    *("verdict", "image", "arch", "region", "ami", "build", "state", "channel"),
    "what",
)


@dataclass(frozen=True)
class VerifyRequest:
    """What was asked for; empty means everything that the registry names."""

    image: str = ""
    regions: tuple[str, ...] = ()


def verify_registry(site: Site, request: VerifyRequest) -> Exit:
    """Show every AMI of the registry with its verdict; changes nothing.

    :returns: DONE when all are Correct; FAILED when one is Incorrect or Missing, or no
        region answered; PARTLY when nothing is wrong and a region did not answer.
    :raises FindingsError: the registry names no such image or region.
    :raises RegistryError: the registry is another account's.
    """
    registry = site.registry.read()
    given = ",".join(request.regions) if request.regions else None
    regions = split_flag(given, (), where="--regions")
    _refuse_unknown(registry, request.image, regions, str(site.registry.path))
    wanted = named(registry, (request.image,) if request.image else (), regions)
    lines: list[Line] = []
    if wanted:
        site.check_account()
        lines = look(site, wanted)
    _report(site, lines, len(registry.historical))
    return verdict(lines)


def look(site: Site, wanted: Iterable[Named]) -> list[Line]:
    """Ask EC2 about AMIs of the registry; a line for each, in their order.

    Two calls a region for every 200 of them, all regions at once. Of a region that
    does not answer every line says so.
    """
    wanted = list(wanted)
    by_region: dict[str, list[Named]] = {}
    for one in wanted:
        by_region.setdefault(one.region, []).append(one)
    account = site.cloud.account
    held = ask_regions(site, by_region)
    lines = []
    for one in wanted:
        there = held[one.region]
        if isinstance(there, AnnexkitError):
            lines.append(unreachable(one, str(there.what)))
        else:
            lines.append(judge(one, there, account))
    return lines


def verdict(lines: Iterable[Line]) -> Exit:
    """Return the exit code that these lines mean."""
    found = {line.verdict for line in lines}
    if found & {Verdict.INCORRECT, Verdict.MISSING}:
        return Exit.FAILED
    if Verdict.UNREACHABLE in found:
        return Exit.PARTLY if Verdict.CORRECT in found else Exit.FAILED
    return Exit.DONE


def _refuse_unknown(
    registry: Registry, image: str, regions: tuple[str, ...], path: str
) -> None:
    found = []
    if image and image not in registry.images:
        what = f"the registry has no image '{image}'"
        mend = nearest(image, registry.images) or "invoke registry.list"
        found.append(Finding(Level.ERROR, what, path, mend))
    known = {one.region for one in named(registry)}
    for region in regions:
        if region not in known:
            what = f"the registry names no AMI in '{region}'"
            mend = nearest(region, known) or "invoke registry.list"
            found.append(Finding(Level.ERROR, what, "--regions", mend))
    if found:
        raise FindingsError(found)


def _report(site: Site, lines: list[Line], historical: int) -> None:
    console = site.console
    count = Counter(line.verdict for line in lines)
    if console.as_json:
        console.result(
            {
                "amis": [_data(line) for line in lines],
                "counts": {str(v): count[v] for v in Verdict},
            }
        )
        return
    shown = [line for line in lines if not _gone_as_it_should(line)]
    if shown:
        console.table(COLUMNS, [_row(line) for line in shown])
    for mend in dict.fromkeys(f"{_where(line)}: {line.mend}" for line in shown):
        if not mend.endswith(": "):
            console.detail(f"mend: {mend}")
    if gone := len(lines) - len(shown):
        console.detail(f"{gone} retired AMIs are gone, as they should be")
    if historical:
        console.detail(
            f"{historical} AMIs of the 2016 guide: never launched, not asked"
        )
    told = ", ".join(f"{count[v]} {v}" for v in Verdict if count[v])
    console.step(told or "the registry names no AMI")


def _gone_as_it_should(line: Line) -> bool:
    return line.verdict is Verdict.CORRECT and line.named.state is State.RETIRED


def _where(line: Line) -> str:
    """Name what a mend is for: the AMI, or its region when that did not answer."""
    unreached = line.verdict is Verdict.UNREACHABLE
    return line.named.region if unreached else line.named.ami


def _row(line: Line) -> tuple[str, ...]:
    one = line.named
    return (
        str(line.verdict),
        *(one.image, one.arch, one.region, one.ami, one.build, str(one.state)),
        ", ".join(one.channels) or "-",
        "; ".join(line.what),
    )


def _data(line: Line) -> dict[str, Any]:
    one = asdict(line.named)
    said = {"verdict": str(line.verdict), "what": list(line.what), "mend": line.mend}
    return one | {"state": str(line.named.state)} | said
