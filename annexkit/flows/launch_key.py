"""The key by which a launch's nodes are reached: the configured one, or the annex's."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from annexkit import annexes, ssh
from annexkit.aws import AwsError
from annexkit.errors import Finding, FindingsError, Level, UsageError
from annexkit.flows.site import Site
from annexkit.sections import LaunchSettings
from annexkit.setup import keypair

MISSING = "InvalidKeyPair.NotFound"


@dataclass(frozen=True)
class LaunchKey:
    """Where the private key is or will be; ``pair`` names a key pair of EC2, if any."""

    path: Path
    pair: str = ""

    @property
    def made(self) -> bool:
        """Whether the key is made for the annex, and not the user's own."""
        return not self.pair

    def load(self) -> ssh.Key:
        """Return the key; the annex's is made when it is not there yet.

        :raises UsageError: the file cannot be used.
        """
        if self.made and not self.path.exists():
            return ssh.new_key(self.path)
        return ssh.load_key(self.path)

    @property
    def anew(self) -> str:
        """Say it for the plan of an annex that has no node: its key is made anew."""
        return f"SSH key of the annex: {self.path}" if self.made else str(self)

    def __str__(self) -> str:
        """Say it for a plan."""
        if self.pair:
            return f"key pair {self.pair} with {self.path}"
        there = "is there" if self.path.exists() else "is made"
        return f"SSH key of the annex {there}: {self.path}"


def find(site: Site, launch: LaunchSettings, region: str) -> LaunchKey:
    """Return the key of a launch; makes nothing.

    :raises FindingsError: the configured pair or file cannot be used.
    """
    if not (launch.key_name or launch.key_file):
        key = LaunchKey(annexes.folder(site.state, launch.annex_name).key)
        _check_made(key)
        return key
    path = configured_file(site.state, launch)
    found = file_findings(site.state, launch) + pair_findings(site, launch, region)
    if found or path is None:
        raise FindingsError(found)
    return LaunchKey(path, launch.key_name)


def configured_file(state: Path, launch: LaunchSettings) -> Path | None:
    """Return the private file of the settings' pair; None when they name none.

    Where ``launch.key_file`` is empty it is the file that ``invoke keypair`` made for
    ``launch.key_name``, if it did.
    """
    if launch.key_file:
        return Path(launch.key_file).expanduser()
    made = keypair.place(state, launch.key_name)
    return made if made and made.exists() else None


def file_findings(state: Path, launch: LaunchSettings) -> list[Finding]:
    """Say what is wrong with the configured key on this machine; nobody is asked."""
    path = configured_file(state, launch)
    if launch.key_name and path and not os.path.lexists(path):
        what = f"the private file of key pair '{launch.key_name}' is not there"
        mend = f"{_make(launch.key_name)}; or, if EC2 has that pair, name its file "
        mend += "(launch.key_file)"
        return [Finding(Level.ERROR, what, str(path), mend)]
    return [*_halves(launch, path), *_file(path)]


def _make(name: str) -> str:
    return f"invoke keypair --key-name {shlex.quote(name)}"


def _check_made(key: LaunchKey) -> None:
    """Refuse an annex's key that was damaged since it was made."""
    if not key.path.exists():
        return
    try:
        key.load()
    except UsageError as error:
        raise UsageError(
            error.what,
            where=error.where,
            mend=f"chmod 0400 {key.path}, or remove it: a new one is made then, and "
            "nodes that run cannot be logged in to any more",
        ) from None


def _halves(launch: LaunchSettings, path: Path | None) -> list[Finding]:
    """Refuse half a configuration: EC2's name and the private file go together."""
    if launch.key_name and path:
        return []
    missing = "key_file" if launch.key_name else "key_name"
    make = f"{_make(launch.key_name)}, or "
    return [
        Finding(
            Level.ERROR,
            "a key pair needs its name in EC2 and its private file",
            f"annexkit.launch.{missing}",
            (make if launch.key_name else "")
            + f"set launch.{missing} too, or neither: a key is then made for the annex",
        )
    ]


def _file(path: Path | None) -> list[Finding]:
    if path is None:
        return []
    try:
        ssh.load_key(path)
    except UsageError as error:
        return list(error.findings)
    return []


def pair_findings(site: Site, launch: LaunchSettings, region: str) -> list[Finding]:
    """Say whether EC2 lacks the configured key pair (DescribeKeyPairs).

    :raises AwsError: EC2 could not be asked.
    """
    if not launch.key_name:
        return []
    try:
        site.cloud.call(region, "describe_key_pairs", KeyNames=[launch.key_name])
    except AwsError as error:
        if error.code != MISSING:
            raise
        return [
            Finding(
                Level.ERROR,
                f"EC2 has no key pair '{launch.key_name}' in {region}",
                "annexkit.launch.key_name",
                f"see: aws ec2 describe-key-pairs --region {region}; or leave key_name "
                "and key_file empty: a key is then made for each annex",
            )
        ]
    return []
