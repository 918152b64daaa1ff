"""One look at all regions of a night: which of our AMIs stand there, and which do not.

One call a region answers what every later step would ask by itself, so that a night in
which nothing is to be done makes no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annexkit import amis
from annexkit.amis import Ami
from annexkit.errors import AnnexkitError
from annexkit.flows.regionwise import in_regions
from annexkit.flows.site import Site
from annexkit.publish import retire_look
from annexkit.registry import Build, RegionBuild, State


@dataclass(frozen=True)
class Seen:
    """What EC2 said: our AMIs by id, and the same as ``invoke retire`` reads it."""

    images: Mapping[str, Ami]
    region: retire_look.Region


@dataclass(frozen=True)
class Looked:
    """The regions that answered, and why the others did not."""

    seen: Mapping[str, Seen] = field(default_factory=dict)
    silent: Mapping[str, AnnexkitError] = field(default_factory=dict)

    def stands(self, region: str, there: RegionBuild | None) -> bool:
        """Whether instances can be started from what the registry names there."""
        found = self.ami(region, there)
        return found is not None and found.state == amis.AVAILABLE

    def fits(self, region: str, there: RegionBuild | None) -> bool:
        """Whether nothing is left to be done for it: proved, standing, IMDSv2 only."""
        found = self.ami(region, there)
        return (
            there is not None
            and there.state is State.READY
            and found is not None
            and (found.state, found.imds) == (amis.AVAILABLE, amis.TOKENS)
        )

    def ami(self, region: str, there: RegionBuild | None) -> Ami | None:
        """Return the AMI that the registry names there, if EC2 has it."""
        if there is None or region not in self.seen:
            return None
        return self.seen[region].images.get(there.ami or "")

    def anywhere(self, build: Build) -> bool:
        """Whether a build can be copied from some region."""
        return any(
            there.state is State.READY and self.stands(region, there)
            for region, there in build.regions.items()
        )


def look_everywhere(site: Site, regions: Sequence[str]) -> Looked:
    """Ask all regions at once for the AMIs of this account; changes nothing."""
    ended = in_regions(site, regions, _look, parallel=site.settings.publish.parallel)
    return Looked(
        {one.region: one.value for one in ended if one.value},
        {one.region: one.error for one in ended if one.error},
    )


def _look(site: Site, region: str) -> Seen:
    described = retire_look.own_images(site.cloud, region)
    images = {said["ImageId"]: amis.read(region, said) for said in described}
    return Seen(images, retire_look.read(region, described, {}))
