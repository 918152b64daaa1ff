"""``invoke keypair``: one SSH key pair of the user's own, here and in EC2.

No journal entry: a key pair costs nothing, and its private file, written before the
first call, is the record that a later run goes on from.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from annexkit import ssh
from annexkit.aws import AwsError
from annexkit.errors import Exit, Finding, Level, UsageError, raise_on_errors
from annexkit.flows.annex_regions import regions_of
from annexkit.flows.site import Site
from annexkit.setup import keypair
from annexkit.setup.keypair import Pair
from annexkit.ssh import HostKey, Key

NAME = "annexkit"  # when neither flag nor launch.key_name says another

State = Literal["there", "missing", "imported", "failed"]


@dataclass(frozen=True)
class KeypairRequest:
    """The flags, None where not given; ``own`` is the file of ``--import``."""

    name: str | None = None
    own: str | None = None
    regions: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass
class Plan:
    """What stands where; ``key`` is None as long as there is no private file."""

    name: str
    path: Path
    key: Key | None
    states: dict[str, State]
    errors: dict[str, AwsError] = field(default_factory=dict)
    made_file: bool = False

    @property
    def missing(self) -> list[str]:
        """The regions where EC2 has to be given the public half."""
        return [region for region, state in self.states.items() if state == "missing"]

    @property
    def changed(self) -> bool:
        """Whether anything was made."""
        return self.made_file or "imported" in self.states.values()


def make_keypair(site: Site, request: KeypairRequest) -> Exit:
    """Make a key pair, or what is missing of one; a second run changes nothing.

    The private file comes first, then each region. A pair in EC2 of which we do not
    hold the private file is never touched.

    :returns: DONE; PARTLY or FAILED when some or all regions refused.
    :raises FindingsError: a name in EC2 belongs to another key; nothing was made.
    :raises UsageError: the flags, or the private file, cannot be used.
    :raises FileError: the private file could not be written; EC2 was not called.
    """
    name = _name(site, request)
    path = _place(site, request, name)
    key = _held(path, own=request.own is not None)
    regions = regions_of(site, request.regions)
    site.check_account()
    pairs = {region: keypair.look(site.cloud, region, name) for region in regions}
    others = [pair for pair in pairs.values() if pair and not (key and pair.of(key))]
    raise_on_errors(_foreign(pair, key, path) for pair in others)
    plan = Plan(
        name, path, key, {r: "there" if p else "missing" for r, p in pairs.items()}
    )
    _show_plan(site, plan)
    if plan.missing and not request.dry_run:
        _carry_out(site, plan)
    return _report(site, plan, dry_run=request.dry_run)


def _name(site: Site, request: KeypairRequest) -> str:
    if request.name is not None:
        return keypair.check_name(request.name)
    return keypair.check_name(site.settings.launch.key_name or NAME)


def _place(site: Site, request: KeypairRequest, name: str) -> Path:
    """Return the private file: ``--import``'s, the settings', or our own place.

    ``launch.key_file`` belongs to ``launch.key_name``, and to no other pair.

    :raises UsageError: the name is none for a file.
    """
    launch = site.settings.launch
    if request.own is not None:
        if not request.own:
            raise UsageError(
                "the flag was given without a file",
                where="--import",
                mend="name a private key file, or leave the flag out: one is made",
            )
        return Path(request.own).expanduser()
    if launch.key_file and launch.key_name in ("", name):
        return Path(launch.key_file).expanduser()
    path = keypair.place(site.state, name)
    if path is None:
        raise UsageError(
            f"{name!r} is no name for the private file",
            where="--key-name",
            mend="use letters, digits and _.@+- only, or set launch.key_file",
        )
    return path


def _held(path: Path, *, own: bool) -> Key | None:
    """Return the key of the private file; None when there is none and we may make it.

    :raises UsageError: it is there and cannot be used, or should be there.
    """
    if not own and not os.path.lexists(path):
        return None
    try:
        key = ssh.load_key(path)
    except UsageError as error:
        if own:
            raise
        raise UsageError(
            error.what,
            where=error.where,
            mend=f"chmod 0400 {path}, or move it away: a file that is there is never "
            "overwritten",
        ) from None
    keypair.check_type(key, path)
    return key


def _foreign(pair: Pair, key: Key | None, path: Path) -> Finding:
    """Say that EC2's pair is another's, by both fingerprints; it is not touched."""
    held = f"{path} is {_shown(key)}" if key else f"{path} is not here"
    return Finding(
        Level.ERROR,
        f"EC2 has a key pair '{pair.name}' ({pair.fingerprint}) whose private half "
        f"we do not hold: {held}; it was left as it is",
        pair.region,
        f"if you have its private file: invoke keypair --key-name "
        f"{shlex.quote(pair.name)} "
        "--import FILE (ssh-keygen -lf FILE shows a file's fingerprint); else another "
        "name: invoke keypair --key-name NAME",
    )


def _shown(key: Key) -> str:
    """Return a key's fingerprint as OpenSSH prints it."""
    return HostKey.of(key.pkey, "our file").fingerprint


def _show_plan(site: Site, plan: Plan) -> None:
    console = site.console
    if plan.key:
        console.step(f"private file is there: {plan.path} ({_shown(plan.key)})")
    else:
        console.step(f"private file is made: {plan.path} (ed25519, mode 0400)")
    for region, state in plan.states.items():
        how = "is there" if state == "there" else "is imported (ImportKeyPair)"
        console.step(f"key pair {plan.name} in {region} {how}")


def _carry_out(site: Site, plan: Plan) -> None:
    """Make the file, then give EC2 its public half; who refuses stops no other."""
    if plan.key is None:
        plan.key = ssh.new_key(plan.path, never_replace=True)
        plan.made_file = True
    for region in plan.missing:
        try:
            new = keypair.give(site.cloud, region, plan.name, plan.key)
            plan.states[region] = "imported" if new else "there"
        except AwsError as error:
            plan.states[region] = "failed"
            plan.errors[region] = error


def _report(site: Site, plan: Plan, *, dry_run: bool) -> Exit:
    console = site.console
    for error in plan.errors.values():
        console.error(error)
    console.result(
        {
            "key_name": plan.name,
            "file": str(plan.path),
            "file_made": plan.made_file,
            "fingerprint": _shown(plan.key) if plan.key else "",
            "regions": plan.states,
            "failed": {region: str(error) for region, error in plan.errors.items()},
            "changed": plan.changed,
            "dry_run": dry_run,
        },
        _summary(plan, dry_run=dry_run),
    )
    if not plan.errors and (plan.changed or not plan.missing):
        _say_settings(site, plan)
    if not plan.errors:
        return Exit.DONE
    return Exit.PARTLY if len(plan.errors) < len(plan.states) else Exit.FAILED


def _summary(plan: Plan, *, dry_run: bool) -> str:
    if plan.errors:
        return ""
    if plan.missing and dry_run:
        return f"would import {plan.name} in {', '.join(plan.missing)}; nothing changed"
    if not plan.changed:
        return f"nothing to do: {plan.name} is in EC2, its private file is {plan.path}"
    return f"{plan.name} is in {', '.join(plan.states)}; its file is {plan.path}"


def _say_settings(site: Site, plan: Plan) -> None:
    """Say what a launch has to be told so that it uses this pair, if anything."""
    launch = site.settings.launch
    given = Path(launch.key_file).expanduser() if launch.key_file else None
    wanted = []
    if launch.key_name != plan.name:
        wanted.append(f"launch.key_name: {plan.name}")
    if (given or keypair.place(site.state, plan.name)) != plan.path:
        wanted.append(f"launch.key_file: {plan.path}")
    if wanted:
        site.console.detail(f"for launches by it, in invoke.yaml: {', '.join(wanted)}")
