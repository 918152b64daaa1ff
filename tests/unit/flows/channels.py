"""Two builds in three regions: the registry's side of them, and EC2's (moto's)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import EndpointConnectionError
from moto.ec2.models.amis import Ami

from annexkit import tags
from annexkit.flows.site import Site
from annexkit.registry import Channels, Packages, RegionBuild, Registry, State
from annexkit.registry.edits import promote, put_build, set_candidate
from tests.unit.flows.bakery import ec2
from tests.unit.helpers import NOON, a_build, ami_id, build_id

IMAGE = "debian13"
WEST, EAST, ROME = "us-west-2", "us-east-1", "eu-south-1"
REGIONS = (WEST, EAST, ROME)
OLD, NEW = build_id(1), build_id(2)
HTCONDOR = {OLD: "23.9.6", NEW: "23.10.1"}


@dataclass
class Ground:
    """What a test stands on; ``down`` are regions that do not answer."""

    site: Site

    def build(
        self,
        one: str = NEW,
        regions: tuple[str, ...] = REGIONS,
        *,
        state: State = State.READY,
        htcondor: str | None = None,
        arch: str = "x86_64",
    ) -> None:
        """Make a build that stands in EC2 as the registry says."""
        number = int(one[-6:], 16)
        places = {}
        for at, region in enumerate(regions):
            ami = ami_id(16 * number + at)
            snapshot = self.ami(region, ami, one, state, arch)
            proved = NOON if state is State.READY else None
            places[region] = RegionBuild(
                ami=ami, snapshot=snapshot, state=state, verified_at=proved
            )
        made = a_build(places, arch=arch, created=NOON + timedelta(days=number))
        made.htcondor = HTCONDOR[one] if htcondor is None else htcondor
        self.site.registry.update(lambda r: put_build(r, IMAGE, one, made))

    def ami(self, region: str, ami: str, one: str, state: State, arch: str) -> str:
        """Make an AMI as a bake leaves it; return its snapshot."""
        backend = ec2(region)
        image: Any = Ami(
            backend,
            ami,
            name=f"annexkit-{one}",
            architecture=arch,
            root_device_type="ebs",
            root_device_name="/dev/xvda",
        )
        image.imds_support = "v2.0"
        image.add_tags({tags.BUILD: one, tags.IMAGE: IMAGE})
        if state is not State.READY:
            image.add_tags({tags.EXPIRES: "1"})
        backend.amis[ami] = image
        return str(image.ebs_snapshot.id)

    def current(self, one: str, regions: tuple[str, ...] = REGIONS) -> None:
        """Make a build current, as if it had always been."""
        for region in regions:
            self.edit(lambda r, region=region: promote(r, IMAGE, one, region))

    def candidate(self, one: str, regions: tuple[str, ...] = REGIONS) -> None:
        """Make a build the candidate."""
        for region in regions:
            self.edit(lambda r, region=region: set_candidate(r, IMAGE, one, region))

    def edit(self, change: Any) -> None:
        """Change the registry as another annexkit would."""
        self.site.registry.update(change)

    def there(self, one: str, region: str = WEST) -> RegionBuild:
        """Return one build in one region, as the registry has it now."""
        return self.site.registry.read().images[IMAGE].builds[one].regions[region]

    def image(self, one: str, region: str = WEST) -> Any:
        """Return moto's own record of an AMI."""
        return ec2(region).amis[self.there(one, region).ami]

    def names(self, region: str = WEST, arch: str = "x86_64") -> Channels:
        """Return the channels of a region, as the registry has them now."""
        return self.site.registry.read().channel(IMAGE, arch, region)

    def currents(self) -> dict[str, str | None]:
        """Return what is current in each region."""
        return {region: self.names(region).current for region in REGIONS}

    def silence(self, region: str) -> None:
        """Let a region answer no more."""

        def fail(**_: object) -> None:
            raise EndpointConnectionError(endpoint_url=f"https://ec2.{region}")

        events = self.site.cloud.client("ec2", region).meta.events
        events.register("before-call.ec2", fail)

    def packages(self, one: str, text: str) -> None:
        """Save a build's package list, as a bake does."""
        name = f"r.packages/{IMAGE}/{one}.tsv"
        path = self.site.registry.path.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()

        def change(registry: Registry) -> None:
            build = registry.images[IMAGE].builds[one]
            build.packages = Packages(path=name, sha256=digest)

        self.edit(change)

    def calls(self, *actions: str) -> dict[tuple[str, str], int]:
        """Return how often each region was asked; of some actions, or of all."""
        made = self.site.cloud.calls
        return {key: n for key, n in made.items() if not actions or key[1] in actions}


def with_candidate(site: Site) -> Ground:
    """Return a ground where OLD is current and NEW the candidate, in all regions."""
    ground = Ground(site)
    ground.build(OLD)
    ground.build(NEW)
    ground.current(OLD)
    ground.candidate(NEW)
    site.cloud.calls.clear()
    return ground
