"""``invoke registry.promote`` and ``registry.rollback``: the channels, looked after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    Level,
    nearest,
    raise_on_errors,
)
from annexkit.flows.pool_word import PoolWord, pool_word
from annexkit.flows.registry_move import MovePlan, make_plan
from annexkit.flows.registry_move_report import show_and_run
from annexkit.flows.site import Site
from annexkit.publish import moves
from annexkit.publish.moves import Place, Stays
from annexkit.registry import Registry
from annexkit.registry.pointers import Move
from annexkit.settings import split_flag

ARCHS = ("x86_64", "arm64")


@dataclass(frozen=True)
class ChannelRequest:
    """What was asked for; empty means the settings' own, and every region there is.

    ``build``: the build to promote; each region's candidate when empty.
    """

    image: str = ""
    arch: str = ""
    regions: tuple[str, ...] = ()
    build: str = ""
    dry_run: bool = False
    no_pool: bool = False


def promote(site: Site, request: ChannelRequest) -> Exit:
    """Make a proved build current, region by region, and keep the old one for a return.

    A second run changes nothing and says so.

    :returns: DONE; PARTLY when a region was refused and others were not; FAILED when
        all were.
    :raises AnnexkitError: as :func:`promotion_plan`.
    """
    plan = promotion_plan(site, request)
    return show_and_run(site, plan, dry_run=request.dry_run)


def roll_back(site: Site, request: ChannelRequest) -> Exit:
    """Swap current and previous, region by region.

    The build that is left is marked, so that no bake makes it current again.

    :returns: as :func:`promote`.
    :raises AnnexkitError: as :func:`rollback_plan`.
    """
    plan = rollback_plan(site, request)
    return show_and_run(site, plan, dry_run=request.dry_run)


def promotion_plan(site: Site, request: ChannelRequest) -> MovePlan:
    """Look at everything a promotion relies on; nothing is changed.

    :raises FindingsError: the request is not usable.
    :raises AnnexkitError: there is nothing to promote, or the registry is another's.
    """
    registry = site.registry.read()
    place = _place(site, request, registry)
    site.check_account()
    regions = _regions(request, moves.places_to_promote(registry, place, request.build))
    if not regions:
        raise AnnexkitError(
            f"image '{place.image}' ({place.arch}) has no candidate in any region",
            where=str(site.registry.path),
            mend=f"invoke bake {place.flags} --keep-candidate, or name a build: "
            "--build ID (invoke registry.list)",
        )
    chosen = [moves.promotion(registry, place, r, request.build) for r in regions]
    return _with_pool(site, request, registry, chosen, needed=True)


def rollback_plan(site: Site, request: ChannelRequest) -> MovePlan:
    """Look at everything a rollback relies on; nothing is changed.

    A pool that does not answer does not stand in the way: the previous build was
    current.

    :raises FindingsError: the request is not usable.
    :raises AnnexkitError: there is nothing to go back to, or the registry is another's.
    """
    registry = site.registry.read()
    place = _place(site, request, registry)
    site.check_account()
    regions = _regions(request, moves.places_to_roll_back(registry, place))
    if not regions:
        raise AnnexkitError(
            f"image '{place.image}' ({place.arch}) has no previous build in any region",
            where=str(site.registry.path),
            mend=f"invoke registry.promote {place.flags} --build ID "
            "(invoke registry.list)",
        )
    chosen = [moves.rollback(registry, place, region) for region in regions]
    return _with_pool(site, request, registry, chosen, needed=False)


def _with_pool(
    site: Site,
    request: ChannelRequest,
    registry: Registry,
    chosen: list[Move | Stays],
    *,
    needed: bool,
) -> MovePlan:
    """Ask the pool, if anything is to move, and then EC2."""
    pool = PoolWord("", "pool not asked: nothing is to move")
    if any(isinstance(one, Move) for one in chosen):
        pool = pool_word(site, without=request.no_pool, needed=needed)
    return make_plan(site, registry, chosen, pool)


def _place(site: Site, request: ChannelRequest, registry: Registry) -> Place:
    """Check the whole request; return image and architecture.

    :raises FindingsError: everything that is wrong with it, at once.
    """
    bake = site.settings.bake
    place = Place(request.image or bake.image, request.arch or bake.arch)
    raise_on_errors(_unusable(request, place, registry, str(site.registry.path)))
    site.cloud.check_regions(_regions(request, []))
    return place


def _unusable(
    request: ChannelRequest, place: Place, registry: Registry, path: str
) -> Iterator[Finding]:
    if place.arch not in ARCHS:
        what = f"no architecture '{place.arch}'"
        yield Finding(Level.ERROR, what, "--arch", " or ".join(ARCHS))
    record = registry.images.get(place.image)
    if record is None:
        what = f"the registry has no image '{place.image}'"
        mend = nearest(place.image, registry.images) or "invoke registry.list"
        yield Finding(Level.ERROR, what, path, mend)
    elif request.build:
        build = record.builds.get(request.build)
        if build is None:
            what = f"image '{place.image}' has no build '{request.build}'"
            mend = nearest(request.build, record.builds) or "invoke registry.list"
            yield Finding(Level.ERROR, what, "--build", mend)
        elif build.arch != place.arch:
            what = f"build {request.build} is for {build.arch}, not {place.arch}"
            yield Finding(Level.ERROR, what, "--arch", f"--arch {build.arch}")


def _regions(request: ChannelRequest, default: list[str]) -> tuple[str, ...]:
    given = ",".join(request.regions) if request.regions else None
    return split_flag(given, tuple(default), where="--regions")
