"""What the commands are asked that take one build to, or prove it in, many regions."""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.errors import UsageError
from annexkit.flows.site import Site
from annexkit.settings import split_flag


@dataclass(frozen=True)
class PublishRequest:
    """What was asked for on the command line; empty means the settings' own."""

    image: str = ""
    build: str = ""
    arch: str = ""
    regions: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class Chosen:
    """One build of an image, and the regions that it is about."""

    image: str
    build: str
    regions: tuple[str, ...]


def choose(site: Site, request: PublishRequest, command: str) -> Chosen:
    """Fill in what was not asked for, before any call that changes something.

    :param command: the task, for the errors: ``copy``.
    :raises UsageError: no region, an unknown one, or no build to take by itself.
    """
    given = ",".join(request.regions) if request.regions else None
    regions = split_flag(given, site.settings.publish.regions)
    if not regions:
        raise UsageError(
            f"no region to {command}: none is named",
            where="annexkit.publish.regions",
            mend=f"invoke {command} --region us-east-1, or name them in invoke.yaml",
        )
    site.cloud.check_regions(regions)
    site.check_account()
    image = request.image or site.settings.bake.image
    build = request.build or _current(site, image, request.arch, command)
    return Chosen(image, build, regions)


def _current(site: Site, image: str, given: str, command: str) -> str:
    """Return the current build of the home region."""
    arch = given or site.settings.bake.arch
    home = next(iter(site.settings.bake.regions), "")
    current = site.registry.read().channel(image, arch, home).current
    if current is None:
        raise UsageError(
            f"image '{image}' ({arch[:40]}) has no current build in {home}",
            where=str(site.registry.path),
            mend=f"invoke bake, or name one: invoke {command} --build ID",
        )
    return current
