"""Where we are: settings, folders, the account, and its files of record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from annexkit.aws import Cloud, connect
from annexkit.console import Console
from annexkit.journal import Journal
from annexkit.laps import Laps
from annexkit.registry import RegistryFile
from annexkit.settings import Settings
from annexkit.waiting import Clock, SystemClock


@dataclass
class Site:
    """One checkout with its settings, and the account they act in.

    ``cloud`` opens its session at first use, so what needs no credentials needs none.
    ``given``: the settings as Invoke read them, for who goes on in another process.
    """

    settings: Settings
    root: Path
    console: Console = field(default_factory=Console)
    clock: Clock = field(default_factory=SystemClock)
    laps: Laps = field(default_factory=Laps)
    given: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def cloud(self) -> Cloud:
        """The session that botocore's own configuration describes."""
        return connect()

    @property
    def registry(self) -> RegistryFile:
        """The registry file; a relative path starts at the checkout."""
        return RegistryFile(self.root / self.settings.registry)

    @property
    def journal(self) -> Journal:
        """The journal of the state folder."""
        return Journal(self.state / "journal")

    @property
    def state(self) -> Path:
        """The state folder; a relative path starts at the checkout."""
        return self.root / self.settings.state

    @property
    def cache(self) -> Path:
        """The cache folder; a relative path starts at the checkout."""
        return self.root / self.settings.cache

    def check_account(self) -> None:
        """Refuse to act when the registry is another account's (law 1).

        :raises RegistryError: it is.
        """
        registry = self.registry.read()
        self.registry.check_owner(registry, self.cloud.account, self.cloud.endpoint)
