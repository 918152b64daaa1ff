"""Where a host's HTCondor and an export name different AMIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from annexkit.errors import Finding, Level
from annexkit.pool.dumped import Setting
from annexkit.publish.choose import Ami, Export
from annexkit.publish.forms import KNOB, knob


def differences(
    export: Export, live: Mapping[str, Setting], path: Path, command: str
) -> list[Finding]:
    """Return every difference, with what mends it.

    HTCondor has AMIs of its own for 16 regions, compiled in (8.8.5 to 8.9.4). They are
    not what a host was told: where the registry has an AMI they are a difference, and
    elsewhere they are none.

    :param live: the host's settings by name in small letters.
    :param path: the file of the host that the export is or would be.
    :param command: what writes the export to *path*; removes it, if that is empty.
    """
    wanted = {knob(one.region).lower(): one for one in export.amis}
    found = [
        finding
        for name, one in sorted(wanted.items())
        for finding in _of_region(name, one, live.get(name), path, command)
    ]
    others = sorted(set(live) - set(wanted))
    return [*found, *(f for n in others for f in _other(n, live[n], path, command))]


def _of_region(
    name: str, one: Ami, there: Setting | None, path: Path, command: str
) -> Iterator[Finding]:
    has = f"the registry has {one.ami} ({one.about})"
    if there is None or not there.value:
        yield _error(name, there, f"it is not set; {has}", command)
    elif there.value != one.ami:
        said = "it is not set, and HTCondor's own is" if there.built_in else "it is"
        what = f"{said} {there.value}; {has}"
        yield _error(name, there, what, _without(there, path, command))


def _other(name: str, there: Setting, path: Path, command: str) -> Iterator[Finding]:
    if there.built_in or not there.value:
        return
    if name == KNOB.lower():
        what = f"{there.value} serves every region that has no line of its own"
        yield Finding(Level.INFO, what, _where(name, there))
    elif name.endswith(f".{KNOB.lower()}"):
        what = f"it is {there.value}; the export has no AMI for it"
        yield _error(name, there, what, _without(there, path, command))


def _without(there: Setting, path: Path, command: str) -> str:
    """Return the mend of a value that is wrong: its own file, or ours anew."""
    if there.built_in or there.file == str(path):
        return command
    return f"remove {there.source or 'it from the configuration'}, then: {command}"


def _where(name: str, there: Setting | None) -> str:
    name = name.replace(KNOB.lower(), KNOB)
    return f"{name} ({there.source})" if there and there.source else name


def _error(name: str, there: Setting | None, what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, _where(name, there), mend)
