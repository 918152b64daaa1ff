"""``invoke nightly-step``: one node of a night's DAG, and the last one, which ends it.

A step is what ``invoke nightly`` does by itself; only what comes before it is read from
the records of the nodes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annexkit.errors import AnnexkitError, Exit, Interrupted, UsageError
from annexkit.files import make_folder
from annexkit.flows.copy_build import build_of
from annexkit.flows.nightly_image import at_home, copy, promote, smoke
from annexkit.flows.nightly_look import look_everywhere
from annexkit.flows.nightly_parts import (
    PartKeeper,
    collect,
    ended_well,
    image_of,
    plan_of,
    result_path,
    tell_lost,
)
from annexkit.flows.nightly_plan import ImagePlan, Wanted, make_plans
from annexkit.flows.nightly_record import RECORD, Keeper, dags, nights, read_record
from annexkit.flows.nightly_report import describe, exit_code, report
from annexkit.flows.nightly_retire import retire_old
from annexkit.flows.nightly_steps import fail_rest, failed, first_record, waiting
from annexkit.flows.site import Site
from annexkit.publish.night import ImageNight
from annexkit.publish.night_dag import (
    BAKE,
    COPY,
    END,
    FIELDS,
    REMOVED,
    SMOKE,
    Node,
    nodes_of,
)
from annexkit.registry.pointers import rolled_back


@dataclass(frozen=True)
class StepRequest:
    """Which step of which night; ``image`` as NAME/ARCH, empty at its end.

    ``status``: what DAGMan says of the DAG at its end (its manual, DAG_STATUS).
    """

    night: str
    step: str
    image: str = ""
    region: str = ""
    status: str = ""


def nightly_step(site: Site, request: StepRequest) -> Exit:
    """Take one step of a night that was handed over to a DAG, and record it.

    :raises UsageError: there is no such night or step.
    :raises Interrupted: a person or HTCondor stopped it.
    """
    folder = _folder(site, request.night)
    if request.step == END:
        site.check_account()
        return _end(site, folder, removed=request.status == REMOVED)
    node = _node(folder, request)
    site.check_account()
    make_folder(result_path(folder, node).parent)
    night = collect(folder)
    image = image_of(night, node)
    alone = night.model_copy(update={"images": [image], "calls": 0, "retired": []})
    keeper = PartKeeper(site, alone, result_path(folder, node))
    try:
        _take(site, keeper, image, node)
    except Interrupted:
        raise
    except AnnexkitError as error:
        site.console.error(error)
        _fail(alone.images[0], node, error)
    keeper.save()
    # A record that is not on disk is no result: DAGMan would count the node as done.
    taken = ended_well(alone.images[0], node) and not keeper.told
    return Exit.DONE if taken else Exit.FAILED


def _folder(site: Site, night: str) -> Path:
    """Return the folder of a night's newest DAG."""
    known = [path.name for path in sorted(nights(site).glob("*")) if dags(path)]
    if night not in known:
        raise UsageError(
            f"no night '{night[:40]}' was handed over to a DAG",
            where="--night",
            mend=f"those that were: {', '.join(known[-3:]) or 'none'}",
        )
    return dags(nights(site) / night)[-1].parent


def _node(folder: Path, request: StepRequest) -> Node:
    asked = (request.step, request.image, request.region)
    known = nodes_of(plan_of(folder))
    for node in known:
        if (node.step, f"{node.image}/{node.arch}", node.region) == asked:
            return node
    raise UsageError(
        f"the night has no such step: {' '.join(asked).strip()[:120]}",
        where=str(folder),
        mend=f"invoke nightly-step --night {request.night} {_first(known)}",
    )


def _first(known: Sequence[Node]) -> str:
    return known[0].arguments if known else f"--step {END}"


def _take(site: Site, keeper: PartKeeper, image: ImageNight, node: Node) -> None:
    if node.step == BAKE:
        record, plan = _planned(site, image)
        keeper.night.images = [record]
        at_home(site, keeper, record, plan)
        return
    image.regions = {node.region: image.regions[node.region]}
    steps = [*FIELDS]
    for step in steps[steps.index(node.step) :]:  # as if nobody had tried before
        setattr(image.regions[node.region], FIELDS[step], waiting())
    _refuse_left_alone(site, image, node.region)
    if node.step == COPY:
        copy(site, image)
    elif node.step == SMOKE:
        smoke(site, image)
    else:
        promote(site, keeper, image)


def _refuse_left_alone(site: Site, image: ImageNight, region: str) -> None:
    """Refuse to go on with a build that somebody rolled back from meanwhile.

    :raises AnnexkitError: naming where.
    """
    there = build_of(site, image.image, image.build).regions
    for one in dict.fromkeys((image.home, region)):
        if one in there and rolled_back(there[one]):
            raise AnnexkitError(
                f"build {image.build} was {there[one].reason}: it is left alone",
                where=one,
                mend=f"invoke registry.show --image {image.image}",
            )


def _planned(site: Site, image: ImageNight) -> tuple[ImageNight, ImagePlan]:
    """Plan an image again: what is to be baked is not in the plan of the night.

    :raises AnnexkitError: it cannot be planned, or it is not to be baked any more.
    """
    regions = tuple(image.regions)
    looked = look_everywhere(site, regions)
    wanted = Wanted(image.image, image.arch)
    (planned,) = make_plans(site, [wanted], image.home, looked)
    plan = planned.plan
    if plan is None:
        raise planned.error or AnnexkitError(f"{wanted} was not planned")
    if plan.left_alone:
        raise AnnexkitError(
            f"somebody took {wanted} back to its build before, meanwhile",
            where=image.home,
            mend=f"invoke registry.show --image {image.image}",
        )
    registry = site.registry.read()
    return first_record(planned, registry, looked, image.home, regions), plan


def _fail(image: ImageNight, node: Node, error: AnnexkitError) -> None:
    if node.step == BAKE:
        image.bake = failed(error)
    else:
        fail_rest(image, error)


def _end(site: Site, folder: Path, *, removed: bool) -> Exit:
    """Add up what the nodes did, retire, and write the pages.

    :param removed: somebody ended the DAG: the night has no end, and nothing goes.
    """
    night = collect(folder)
    if not removed:  # what was stopped may still be cleaning up
        tell_lost(folder, night)
    if told := read_record(folder.parent / RECORD):  # of an earlier try of this DAG
        night.retired, night.retire = told.retired, told.retire
        night.month_before, night.month_after = told.month_before, told.month_after
    keeper = Keeper(site, night, before=night.calls)
    keeper.save()
    if removed:
        describe(site, night)
        report(site, night)
        return Exit.FAILED
    regions = {region for image in night.images for region in image.regions}
    regions |= site.registry.read().regions()
    retire_old(site, keeper, look_everywhere(site, tuple(sorted(regions))))
    keeper.end()
    describe(site, night)
    report(site, night)
    # Anything but 0 makes DAGMan write down what is left to be done.
    return Exit.DONE if exit_code(night) is Exit.DONE else Exit.FAILED
