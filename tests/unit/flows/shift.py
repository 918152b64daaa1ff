"""A night's ground: a bakery, moto's EC2 in four regions, copies and smokes in them.

Two things are stand-ins, because they need machines: Packer with its proof (the
bakery's own), and the smoke, which does to registry and tags what the real one does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit import amis, tags
from annexkit.aws import AwsError, Cloud
from annexkit.bake.updates import Update, Updates
from annexkit.console import Console
from annexkit.errors import AnnexkitError
from annexkit.flows import nightly_image, registry_updates
from annexkit.flows.nightly import NightlyRequest, nightly
from annexkit.flows.regionwise import Ended
from annexkit.flows.site import Site
from annexkit.flows.smoke import Smoked
from annexkit.publish.night import Did, ImageNight, Night
from annexkit.registry import Channels, ImageRecord, RegionBuild
from annexkit.registry.edits import set_failed, set_proved
from tests.unit.flows.bakery import Bakery, Event, ec2, make_site, nothing
from tests.unit.helpers import NOON, REGION, FakeClock

IMAGE = "debian13"
HOME, EAST, ROME, TOKYO = REGION, "us-east-1", "eu-south-1", "ap-northeast-1"
AWAY = (EAST, ROME, TOKYO)
ALL = (HOME, *AWAY)
SMOKED = Smoked(NOON, "t3.micro", 31.0, 4.0, 9.0, 0.002)
DAY = 86_400
NAME = re.compile(r"annexkit-(.+)-x86_64-(\d{8}T\d{6}-[0-9a-f]{6})")


@dataclass
class Shift:
    """``bad_smoke``: regions whose AMI fails; ``no_smoke``: where it cannot be tried.

    ``before``: what happens before a call of this method in a region (of every region
    where it is empty). ``updates``: what the repositories have newer.
    """

    bakery: Bakery
    patch: pytest.MonkeyPatch
    bad_smoke: set[str] = field(default_factory=set)
    no_smoke: set[str] = field(default_factory=set)
    smoked: list[str] = field(default_factory=list)
    smoking: Event = nothing
    before: dict[tuple[str, str], Event] = field(default_factory=dict)
    updates: Updates = field(default_factory=lambda: Updates(()))
    lists: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bakery.packing[HOME] = self._tag
        self.patch.setattr(nightly_image, "smoke_regions", self._smoke)
        self.patch.setattr(registry_updates, "pending", self._pending)
        self._watch(self.site.cloud)

    @property
    def site(self) -> Site:
        return self.bakery.site

    def run(self, **asked: Any) -> int:
        """Run a night, a minute after the one before; return its exit code."""
        self.site.clock.sleep(60)
        self.site.cloud.calls.clear()
        return int(nightly(self.site, NightlyRequest(**asked)))

    def as_json(self, capsys: pytest.CaptureFixture[str], **asked: Any) -> Any:
        capsys.readouterr()
        self.site.console = Console(as_json=True)
        code = self.run(**asked)
        self.site.console = Console()
        return code, json.loads(capsys.readouterr().out)

    def calls(self) -> dict[str, dict[str, int]]:
        """The calls of the last night by region, without who we are."""
        found: dict[str, dict[str, int]] = {}
        for (region, action), count in self.site.cloud.calls.items():
            if action != "GetCallerIdentity":
                found.setdefault(region, {})[action] = count
        return found

    @property
    def nights(self) -> list[Night]:
        """The records of all nights, oldest first."""
        found = [
            Night.model_validate_json(path.read_bytes())
            for path in (self.site.state / "nights").glob("*/night.json")
        ]
        return sorted(found, key=lambda night: (night.began, night.id))

    @property
    def last(self) -> ImageNight:
        """The (only) image of the last night."""
        (image,) = self.nights[-1].images
        return image

    def did(self, step: str) -> dict[str, Did]:
        """How a step of the last night ended, by region."""
        return {r: getattr(one, step).did for r, one in self.last.regions.items()}

    @property
    def record(self) -> ImageRecord:
        return self.site.registry.read().images[IMAGE]

    @property
    def builds(self) -> list[str]:
        """The builds, oldest first."""
        return sorted(self.record.builds)

    def there(self, region: str, build: str = "") -> RegionBuild:
        return self.record.builds[build or self.builds[-1]].regions[region]

    def names(self, region: str = HOME) -> Channels:
        return self.bakery.names(region)

    def currents(self) -> list[str | None]:
        return [self.names(region).current for region in ALL]

    def marked(self, region: str) -> bool:
        """Whether the newest build's AMI has the expiry of one that is not proved."""
        ami = amis.get(self.site.cloud, region, self.there(region).ami or "")
        return ami is not None and tags.EXPIRES in ami.tags

    def later(self, days: float) -> None:
        self.site.clock.sleep(days * DAY)

    def change(self) -> None:
        """Change the recipe, so that it has another digest."""
        path = self.site.root / "provision" / "files.tsv"
        path.write_text(f"{path.read_text()}# {self.site.clock.time()}\n")

    def offer(self, *names: str, unchecked: tuple[str, ...] = ()) -> None:
        found = tuple(Update(name, "1.0", "1.1") for name in names)
        self.updates = Updates(found, unchecked)

    def silence(self, region: str, method: str = "") -> None:
        """Let a region answer no more, or one call of it."""

        def fail() -> None:
            raise AwsError("no answer", code="Silent", action=method, region=region)

        self.before[region, method] = fail

    def _watch(self, cloud: Cloud) -> None:
        call, describe, pages = cloud.call, cloud.describe_images, cloud.pages

        def happens(region: str, method: str) -> None:
            for key in ((region, ""), (region, method), ("", method)):
                self.before.get(key, nothing)()

        def watched(region: str, method: str, **arguments: Any) -> dict[str, Any]:
            if arguments.get("service", "ec2") == "ec2":
                happens(region, method)
            said = call(region, method, **arguments)
            if method == "copy_image":  # moto forgets a copy's tags
                image = ec2(region).amis[said["ImageId"]]
                for one in arguments["TagSpecifications"]:
                    target = image if one["ResourceType"] == "image" else None
                    own = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
                    (target or image.ebs_snapshot).add_tags(own)
            if method == "modify_image_attribute":  # and shows only what it is told so
                image = ec2(region).amis[arguments["ImageId"]]
                image.imds_support = arguments["ImdsSupport"]["Value"]
            return said

        def described(region: str, **arguments: Any) -> list[dict[str, Any]]:
            happens(region, "describe_images")
            return describe(region, **arguments)

        def listed(region: str, method: str, key: str, **arguments: Any) -> Any:
            if method != "describe_images":
                happens(region, method)
            return pages(region, method, key, **arguments)

        self.patch.setattr(cloud, "call", watched)
        self.patch.setattr(cloud, "pages", listed)
        self.patch.setattr(cloud, "describe_images", described)

    def _tag(self) -> None:
        """Tag what the stand-in for Packer made, as the template does."""
        image = ec2(HOME).amis[self.bakery.ours()[-1]]
        named = NAME.fullmatch(image.name)
        assert named
        own = {tags.BUILD: named[2], tags.IMAGE: named[1], tags.EXPIRES: "1"}
        image.architecture = "x86_64"
        image.add_tags(own)
        image.ebs_snapshot.add_tags(own)

    def _pending(self, *asked: Any, **where: Any) -> Updates:
        self.lists.append(asked[2])
        return self.updates

    def _smoke(
        self, site: Site, image: str, build_id: str, regions: Sequence[str]
    ) -> list[Ended[Smoked]]:
        return [self._smoke_one(site, image, build_id, one) for one in regions]

    def _smoke_one(
        self, site: Site, image: str, build_id: str, region: str
    ) -> Ended[Smoked]:
        self.smoking()
        self.smoked.append(region)
        update = site.registry.update
        if region in self.no_smoke:
            return Ended(region, error=AnnexkitError("quota", where=region, mend="ask"))
        if region in self.bad_smoke:
            why = "check 'condor' failed"
            update(lambda r: set_failed(r, image, build_id, region, why))
            return Ended(region, error=AnnexkitError(why, where=region, mend="look"))
        update(
            lambda r: set_proved(
                r, image, build_id, region, at=NOON, boot_seconds=SMOKED.boot_seconds
            )
        )
        builds = site.registry.read().images[image].builds
        there = builds[build_id].regions[region]
        site.cloud.call(
            region,
            "delete_tags",
            Resources=[there.ami, there.snapshot],
            Tags=[{"Key": tags.EXPIRES}],
        )
        return Ended(region, SMOKED)


def a_shift(
    folder: Path, clock: FakeClock, cloud: Cloud, patch: pytest.MonkeyPatch, **more: Any
) -> Shift:
    """Return a ground where nothing was baked yet."""
    given: dict[str, Any] = {
        "publish": {"regions": list(AWAY)},
        "poll": 0.1,
        "launch": {"hourly_price": {"t3.small": 0.36}},
    }
    site = make_site(folder, clock, cloud, **(given | more))
    return Shift(Bakery(site, patch), patch)


def after(times: int, event: Callable[[], object]) -> Event:
    """Return what happens once, after so many calls of it."""
    left = [times]

    def happen() -> None:
        left[0] -= 1
        if left[0] == 0:
            event()

    return happen
