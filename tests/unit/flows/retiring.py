"""A registry whose builds are as old as a test wants, and their AMIs in moto."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.errors import Exit
from annexkit.flows.retire import RetirePlan, survey
from annexkit.flows.retire_report import RetireRequest, retire_and_report
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.publish.retention import Step
from annexkit.registry import RegionBuild, Registry, State
from annexkit.registry.edits import promote, put_build
from tests.unit.helpers import NOON, REGION, a_build

DAY = 86_400
ELSEWHERE = "us-east-1"
IMAGE = "debian13"


def named(number: int) -> str:
    return f"20230101T000000-{number:06x}"


@dataclass
class Shelf:
    """Builds by number; each has its AMI in one region or several."""

    site: Site

    def add(
        self,
        number: int,
        age: float,
        *regions: str,
        state: State = State.READY,
        tagged: bool = True,
        **more: str,
    ) -> str:
        """Put in a build of this age in days; return its (first) AMI."""
        there = {}
        for region in regions or (REGION,):
            ami, snapshot = self.make(number, region, tagged=tagged, **more)
            proved = NOON if state is State.READY else None
            there[region] = RegionBuild(
                ami=ami, snapshot=snapshot, state=state, verified_at=proved
            )
        created = datetime.fromtimestamp(self.site.clock.time() - age * DAY, UTC)
        build = a_build(there, created=created)
        self.site.registry.update(lambda r: put_build(r, IMAGE, named(number), build))
        return str(next(iter(there.values())).ami)

    def make(
        self, number: int, region: str, *, tagged: bool = True, **more: str
    ) -> tuple[str, str]:
        """Make an AMI as a bake leaves it; return it and its snapshot."""
        cloud = self.site.cloud
        ami = cloud.call(
            region, "register_image", Name=f"annexkit-{number}", RootDeviceName="/dev/a"
        )["ImageId"]
        snapshot = self.described(ami, region)["BlockDeviceMappings"][0]["Ebs"][
            "SnapshotId"
        ]
        own = ({tags.BUILD: named(number)} if tagged else {}) | more
        if own:
            cloud.call(
                region, "create_tags", Resources=[ami, snapshot], Tags=as_tags(own)
            )
        return ami, snapshot

    def current(self, number: int, region: str = REGION) -> None:
        self.site.registry.update(lambda r: promote(r, IMAGE, named(number), region))

    def described(self, ami: str, region: str = REGION) -> Any:
        found = self.site.cloud.describe_images(
            region, Owners=["self"], IncludeDisabled=True
        )
        return next((image for image in found if image["ImageId"] == ami), None)

    def snapshots(self, region: str = REGION) -> set[str]:
        found = self.site.cloud.pages(
            region, "describe_snapshots", "Snapshots", OwnerIds=["self"]
        )
        return {snapshot["SnapshotId"] for snapshot in found}

    def there(self, number: int, region: str = REGION) -> RegionBuild:
        return self.registry.images[IMAGE].builds[named(number)].regions[region]

    @property
    def registry(self) -> Registry:
        return self.site.registry.read()

    def wait(self, days: float) -> None:
        self.site.clock.sleep(days * DAY)

    def plan(self, *regions: str, no_pool: bool = True) -> RetirePlan:
        return survey(self.site, regions, no_pool=no_pool)

    def steps(self, *, no_pool: bool = True) -> dict[int, Step]:
        """Return what is next for each build, by its number."""
        return {number: step for number, (step, _, _) in self.said(no_pool).items()}

    def said(self, no_pool: bool = True) -> dict[int, tuple[Step, str, str]]:
        """Return step, rule or guard, and reason for each build, by its number."""
        return {
            int(v.copy.build[-6:], 16): (v.step, v.by, v.reason)
            for v in self.plan(no_pool=no_pool).verdicts
        }

    def run(self, *, no_pool: bool = True) -> Exit:
        return retire_and_report(self.site, RetireRequest(yes=True, no_pool=no_pool))


def failing(site: Site, *methods: str, region: str = "", code: str = "Odd") -> None:
    call = site.cloud.call

    def refuse(where: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method in methods and region in ("", where):
            raise AwsError("no", code=code, action=method, region=where)
        return call(where, method, **arguments)

    site.cloud.call = refuse  # type: ignore[method-assign, assignment]
