"""What the tests of ``invoke keypair`` share: its calls, its files, its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit.errors import Exit, FindingsError
from annexkit.flows.keypair import KeypairRequest, make_keypair
from annexkit.flows.site import Site
from annexkit.settings import Settings
from annexkit.setup import keypair
from annexkit.ssh import Key
from tests.unit.helpers import REGION

OTHER = "us-east-1"


class Watch:
    """The calls that change something; ``on`` acts before one of a name is made."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str, dict[str, Any]]] = []
        self.on: dict[str, Callable[[str], None]] = {}
        self._real = site.cloud.call
        patch.setattr(site.cloud, "call", self.call)

    def call(self, region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if not method.startswith(("describe_", "get_")):
            self.made.append((region, method, arguments))
        if method in self.on:
            self.on[method](region)
        return self._real(region, method, **arguments)

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(region, method) for region, method, _ in self.made]


def make(site: Site, **flags: Any) -> Exit:
    return make_keypair(site, KeypairRequest(**flags))


def refused(site: Site, **flags: Any) -> FindingsError:
    with pytest.raises(FindingsError) as caught:
        make(site, **flags)
    assert all(found.mend for found in caught.value.findings)
    return caught.value


def in_ec2(site: Site, key: Key, region: str = REGION, name: str = "annexkit") -> bool:
    pair = keypair.look(site.cloud, region, name)
    return pair is not None and pair.of(key)


def configured(site: Site, **launch: str) -> None:
    site.settings = Settings.model_validate(
        site.settings.model_dump() | {"launch": launch}
    )


def state_of(path: Path) -> tuple[bytes, float, int]:
    return path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino


def everything(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
