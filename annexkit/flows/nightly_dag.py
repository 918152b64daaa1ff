"""``invoke nightly --via condor``: the steps of a night as a DAG in the pool's queue.

DAGMan keeps to the order, tries again, and writes down what is left when a node failed.
The command waits for its end; the DAG does not need it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from annexkit.errors import AnnexkitError, UsageError
from annexkit.files import make_folder, write_beside
from annexkit.flows.nightly_parts import (
    GO_ON,
    PLAN,
    RESULTS,
    collect,
    ended_well,
    image_of,
    plan_of,
)
from annexkit.flows.nightly_record import (
    DAG_FOLDER,
    LONGEST,
    RECORD,
    Keeper,
    dags,
    nights,
    read_record,
    write_record,
)
from annexkit.flows.nightly_wait import follow, name_of
from annexkit.flows.site import Site
from annexkit.pool import dagman
from annexkit.pool.target import PoolError
from annexkit.publish import page
from annexkit.publish.night import ImageNight
from annexkit.publish.night_dag import (
    DAG,
    SCRIPT,
    SETTINGS,
    SUBMIT,
    Limits,
    dag_text,
    nodes_of,
    script_text,
    secrets_in,
    submit_text,
    without_secrets,
)
from annexkit.registry import Registry
from annexkit.registry.pointers import rolled_back

CONDOR = "condor"
OWNER_ONLY = 0o600


def check(site: Site, via: str) -> None:
    """Refuse what no DAG can be made for, before any call.

    :raises UsageError: an unknown word, or credentials that the nodes would not find.
    :raises PoolError: this is no access point, or none of its DAGs may lie here.
    """
    if via != CONDOR:
        raise UsageError(
            f"a night cannot be handed over to '{via[:40]}'",
            where="--via",
            mend="write --via condor, or leave it out",
        )
    dagman.require(site.state)
    found = secrets_in(os.environ)
    if found:
        raise UsageError(
            "what stands in this shell alone is not found by the DAG's nodes, and no "
            "file shall hold it",
            where=", ".join(found),
            mend="credentials: aws configure --profile NAME, export AWS_PROFILE=NAME; "
            f"a proxy: without a password; then: unset {' '.join(found)}",
        )


def refuse_second(site: Site, *, attach: bool) -> None:
    """Refuse a night beside one whose DAG is in the queue.

    :param attach: that night is to be gone on with.
    :raises AnnexkitError: there is one.
    """
    newest = [folder for folder in sorted(nights(site).glob("*")) if dags(folder)][-1:]
    for folder in newest:
        night = read_record(folder / RECORD)
        age = site.clock.time() - night.began.timestamp() if night else LONGEST
        if night and (night.ended or (attach and age < LONGEST)):
            continue
        dag = dags(folder)[-1]
        try:
            job = dagman.look(name_of(dag))
        except PoolError:
            if not dagman.here():
                return  # none of its DAGs goes on here
            raise  # it may be restarting, and the DAG with it
        if job:
            end = f"condor_rm {job.cluster}"
            raise AnnexkitError(
                "another night is under way here, as a DAG",
                where=f"{dag} (cluster {job.cluster})",
                mend=end if attach else f"{GO_ON}, which waits for it; or {end}",
            )


def hand_over(site: Site, keeper: Keeper) -> None:
    """Submit the night as a DAG and wait for its end; its last node ends the night.

    :raises PoolError: the access point refused it, or holds it.
    :raises Interrupted: a person stopped the waiting; the DAG goes on.
    """
    keeper.save()
    folder = _write(site, keeper)
    _submit(folder / DAG)
    follow(site, keeper, folder)


def go_on(site: Site, keeper: Keeper) -> bool:
    """Go on with the night's DAG: wait for it, or submit what is left of it.

    :return: False when there is none to go on with; what its nodes did is in the
        record.
    :raises PoolError: the access point does not answer, or refuses it.
    """
    found = dags(keeper.folder)
    if not found:
        return False
    dag = found[-1]
    job = dagman.look(name_of(dag))
    if job is None and _passed_over(dag, keeper):
        site.console.step(f"{dag.parent} is of another plan by now: a new one is made")
        return False
    if job is None and not (dagman.rescued(dag) and _mends(site, dag)):
        site.console.step(
            f"no rescue of {dag.parent} would mend it: a new plan is made"
        )
        keeper.night.images = collect(dag.parent).images
        return False
    if job:
        site.console.step(f"the night's DAG is under way: cluster {job.cluster}")
    else:
        said = "is submitted again, as it was planned, for what is left of it"
        site.console.step(f"the night's DAG {said}")
        _write_around(site, dag.parent, keeper.night.id)
        _submit(dag)
    follow(site, keeper, dag.parent)
    return True


def _mends(site: Site, dag: Path) -> bool:
    """Whether a rescue can mend what failed.

    No node takes what failed in the plan; and where somebody moved a pointer since, or
    rolled back, the nodes that are left would refuse again.
    """
    plan, now = plan_of(dag.parent), collect(dag.parent)
    left = (
        node for node in nodes_of(plan) if not ended_well(image_of(now, node), node)
    )
    if any(page.failures(plan)) or not any(left):
        return False
    registry = site.registry.read()
    return not any(_moved(registry, image) for image in now.images)


def _moved(registry: Registry, image: ImageNight) -> bool:
    """Whether somebody moved a pointer of an image, or rolled back from its build."""
    record = registry.images.get(image.image)
    build = record.builds.get(image.build) if record else None
    if build and any(rolled_back(there) for there in build.regions.values()):
        return True
    return any(
        (registry.channel(image.image, image.arch, region).current or there.before)
        not in (there.before, image.build)
        for region, there in image.regions.items()
    )


def _passed_over(dag: Path, keeper: Keeper) -> bool:
    """Whether the night went on without this DAG: a build is none that it knows."""
    known = {
        (one.image, one.arch, one.build)
        for night in (plan_of(dag.parent), collect(dag.parent))
        for one in night.images
    }
    return any((i.image, i.arch, i.build) not in known for i in keeper.night.images)


def _submit(dag: Path) -> None:
    dagman.submit(dag, name_of(dag), without_secrets(os.environ))


def _write(site: Site, keeper: Keeper) -> Path:
    """Write the DAG and all that its nodes need; return its folder.

    :raises FileError: the disk refused.
    """
    folder = keeper.folder / f"{DAG_FOLDER}{len(dags(keeper.folder)) + 1}"
    make_folder(folder / RESULTS)
    write_record(folder / PLAN, keeper.night)
    _write_around(site, folder, keeper.night.id)
    write_beside(folder / SUBMIT, submit_text(folder))
    limits = Limits(site.settings.nightly.bakes, site.settings.publish.parallel)
    nodes = nodes_of(keeper.night)
    write_beside(folder / DAG, dag_text(nodes, limits))
    site.console.step(f"{len(nodes)} steps as a DAG: {folder / DAG}")
    return folder


def _write_around(site: Site, folder: Path, night: str) -> None:
    """Write what the nodes go by: the settings and the environment as they are now."""
    settings = json.dumps({"annexkit": dict(site.given)}, indent=2)
    write_beside(folder / SETTINGS, f"{settings}\n", mode=OWNER_ONLY)
    script = script_text(folder, site.root, sys.executable, night, os.environ)
    write_beside(folder / SCRIPT, script, mode=0o700)
