"""What a copy of a build asks of EC2, and what what is found in a region means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annexkit import tags
from annexkit.amis import AVAILABLE, Ami
from annexkit.errors import UsageError
from annexkit.instance_values import as_tags
from annexkit.journal import token
from annexkit.registry import Build, State

COPIED = ("image", "snapshot")  # what CopyImage makes, and both are to be tagged
UNDERWAY = ("pending", AVAILABLE)


@dataclass(frozen=True)
class Request:
    """One CopyImage.

    :param kms_key: the key of the copy's volumes, as the destination knows it; empty
        takes that region's own default key.
    :param useless: ids of earlier copies there that failed or are gone: after them
        comes an attempt with a token of its own, else EC2 would answer with the old.
    :param attempt: how many attempts there were of which nothing is known any more.
    """

    source: Ami
    build: str
    region: str
    expires: float
    kms_key: str = ""
    useless: frozenset[str] = frozenset()
    attempt: int = 0

    @property
    def token(self) -> str:
        """The client token: the same for the same attempt, from whatever machine."""
        step = "-".join(("copy", *sorted(self.useless), *["again"] * self.attempt))
        return token(self.build, self.region, step)

    @property
    def tags(self) -> dict[str, str]:
        """The source's tags, with an expiry: until it is proved, it may be reaped."""
        own = {
            key: value
            for key, value in self.source.tags.items()
            if not key.startswith("aws:")  # reserved: nobody may set them
        }
        return own | {
            tags.BUILD: self.build,
            tags.EXPIRES: str(int(self.expires)),
        }

    def parameters(self) -> dict[str, Any]:
        """Return CopyImage's parameters (EC2 API reference, CopyImage).

        An encrypted source must stay so; a key named here encrypts any.
        """
        asked: dict[str, Any] = {
            "Name": self.source.name,
            "Description": self.source.description,
            "SourceImageId": self.source.id,
            "SourceRegion": self.source.region,
            "ClientToken": self.token,
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": as_tags(self.tags)} for kind in COPIED
            ],
        }
        if self.source.encrypted or self.kms_key:
            asked["Encrypted"] = True
        if self.kms_key:
            asked["KmsKeyId"] = self.kms_key
        return asked


@dataclass(frozen=True)
class Found:
    """What a region has of a build already: one to go on with, and failed ones."""

    usable: Ami | None
    failed: tuple[Ami, ...]


def sort_out(found: Iterable[Ami]) -> Found:
    """Tell the AMI to go on with (one that is made first) from those that failed.

    What is neither (deregistered, disabled, invalid) is left alone: somebody did that.
    """
    found = list(found)
    good = [ami for ami in found if ami.state in UNDERWAY]
    good.sort(key=lambda ami: UNDERWAY.index(ami.state), reverse=True)
    return Found(
        next(iter(good), None), tuple(ami for ami in found if ami.state == "failed")
    )


def sources(build_id: str, build: Build, home: str) -> list[tuple[str, str]]:
    """Return (region, AMI id) of what may be copied from, *home* first.

    Only what was proved: a copy of anything else would spread what nobody has seen.

    :raises UsageError: there is none.
    """
    ready = {
        region: there.ami
        for region, there in sorted(build.regions.items())
        if there.state is State.READY and there.ami
    }
    if not ready:
        raise UsageError(
            "this build is proved in no region, so there is nothing to copy",
            where=f"build {build_id}",
            mend="invoke bake --region ...",
        )
    return sorted(ready.items(), key=lambda item: item[0] != home)
