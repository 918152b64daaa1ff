"""``invoke nightly``: every image looked after, region by region, and told of.

Plan, bake, fresh boot, copy, smoke in every region, promote, retire, report. What is
left to do is found by the registry and EC2, so a second run does only what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.files import make_folder
from annexkit.flows import bake_plan, nightly_dag
from annexkit.flows.nightly_image import run_image
from annexkit.flows.nightly_look import Looked, look_everywhere
from annexkit.flows.nightly_plan import Planned, Wanted, make_plans, wanted_images
from annexkit.flows.nightly_record import Keeper, begin, nights, put_image
from annexkit.flows.nightly_report import describe, exit_code, report, show, tell_others
from annexkit.flows.nightly_retire import retire_old
from annexkit.flows.nightly_steps import first_record
from annexkit.flows.retire import terms_of
from annexkit.flows.site import Site
from annexkit.publish.night import ImageNight
from annexkit.publish.night_dag import nodes_of
from annexkit.settings import split_flag


@dataclass(frozen=True)
class NightlyRequest:
    """What was asked for on the command line; empty means the settings' own.

    ``via``: who takes the steps: ``condor``, as a DAG; this process when empty.
    """

    images: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    dry_run: bool = False
    resume: bool = False
    via: str = ""


@dataclass(frozen=True)
class Scope:
    """What the night is about: images, where they are baked, and where they go.

    ``regions``: with the home region, which comes first.
    """

    wanted: tuple[Wanted, ...]
    home: str
    regions: tuple[str, ...]


def nightly(site: Site, request: NightlyRequest) -> Exit:
    """Look after every image; one that fails stops no other, nor does a region.

    A run that was cut short is gone on with by the next one, with or without
    ``resume``, which only lets the page tell of both as one night.

    :returns: DONE when no step failed; FAILED when nothing came to its end; PARTLY
        else.
    :raises AnnexkitError: what is wrong before the first step.
    :raises Interrupted: a person stopped it; what is done stays done.
    """
    if request.via:
        nightly_dag.check(site, request.via)
    scope = _scope(site, request)
    bake_plan.check_checkout(site.root)
    terms_of(site)
    site.check_account()
    if request.dry_run:
        return _night(site, request, scope)
    with _alone(site):
        nightly_dag.refuse_second(site, attach=bool(request.via) and request.resume)
        return _night(site, request, scope)


def _scope(site: Site, request: NightlyRequest) -> Scope:
    """Check all that was asked for, before any call.

    :raises UsageError: a word is none of ours.
    """
    settings = site.settings
    home = next(iter(settings.bake.regions), "")
    if not home:
        raise UsageError(
            "no region to bake in",
            where="annexkit.bake.regions",
            mend="name one in invoke.yaml: us-west-2",
        )
    images = _words(request.images, (), "--images")
    wanted = wanted_images(site, images)
    regions = _words(request.regions, settings.publish.regions, "--regions")
    every = tuple(dict.fromkeys((home, *regions)))
    site.cloud.check_regions(every)
    return Scope(tuple(wanted), home, every)


def _words(
    given: tuple[str, ...], default: tuple[str, ...], where: str
) -> tuple[str, ...]:
    return split_flag(",".join(given) if given else None, default, where=where)


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Keep a second night out of this state folder.

    :raises AnnexkitError: one is running.
    """
    folder = make_folder(nights(site))
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise AnnexkitError(
            "another night is under way here",
            where=str(folder),
            mend="wait for it to end; then: invoke nightly --resume",
        ) from error


def _night(site: Site, request: NightlyRequest, scope: Scope) -> Exit:
    keeper = begin(site, dry_run=request.dry_run, resume=request.resume)
    try:
        wait = request.via and request.resume and not request.dry_run
        if not (wait and nightly_dag.go_on(site, keeper)):
            _run(site, keeper, scope, request.via)
    except BaseException:
        if not keeper.handed_over:
            with suppress(AnnexkitError):  # what led here is the error to show
                _told(site, keeper)
        raise
    show(site, keeper.night, _told(site, keeper))
    return exit_code(keeper.night)


def _run(site: Site, keeper: Keeper, scope: Scope, via: str) -> None:
    registry = site.registry.read()
    regions = dict.fromkeys((*scope.regions, *sorted(registry.regions())))
    looked = look_everywhere(site, tuple(regions))
    plans = make_plans(site, scope.wanted, scope.home, looked)
    records = _put(site, keeper, scope, plans, looked)
    if not keeper.night.dry_run:
        if via and nodes_of(keeper.night):
            nightly_dag.hand_over(site, keeper)
            return
        for planned, record in zip(plans, records, strict=True):
            if planned.plan:
                run_image(site, keeper, record, planned.plan)
    retire_old(site, keeper, looked)
    keeper.end()


def _put(
    site: Site,
    keeper: Keeper,
    scope: Scope,
    plans: Sequence[Planned],
    looked: Looked,
) -> list[ImageNight]:
    """Write down what is to be done, and say what keeps an image from it."""
    registry = site.registry.read()
    records = []
    for wrong in dict.fromkeys(one.error for one in plans if one.error):
        site.console.error(wrong)  # once, where it is the same for all
    for planned in plans:
        first = first_record(planned, registry, looked, scope.home, scope.regions)
        records.append(put_image(keeper, first))
    for region, error in looked.silent.items():
        site.console.step(f"{region} is left out tonight: {error.what}")
    keeper.save()
    return records


def _told(site: Site, keeper: Keeper) -> Path | None:
    """Write the pages and tell of them; a dry run has none."""
    describe(site, keeper.night)
    if keeper.night.dry_run:
        return None
    folder = report(site, keeper.night)
    tell_others(site, keeper.night)
    return folder
