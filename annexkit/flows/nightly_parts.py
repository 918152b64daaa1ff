"""What the nodes of a night's DAG leave behind, and the night that it adds up to.

Each node writes a record of its own, so that no two write one file. The plan, which the
DAG was made from, never changes; whoever adds up comes to the same night.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows.nightly_record import NEWS, Keeper, read_record
from annexkit.flows.nightly_steps import GOOD, failed
from annexkit.flows.site import Site
from annexkit.publish.night import ImageNight, Night, StepNight
from annexkit.publish.night_dag import BAKE, COPY, FIELDS, SMOKE, Node, nodes_of

PLAN, RESULTS = "plan.json", "results"
GO_ON = "invoke nightly --via condor --resume"
BAKED = (*NEWS, "build", "digest", "bake", "boot")
AT_HOME = ("ami", "boot_seconds", "copied", "smoke")
BESIDE = {COPY: ("ami",), SMOKE: ("boot_seconds",)}


class PartKeeper(Keeper):
    """The record of one node, in the DAG's folder."""

    def __init__(self, site: Site, night: Night, path: Path) -> None:
        super().__init__(site, night)
        self._path = path

    @property
    def path(self) -> Path:
        """The file of the node's record."""
        return self._path


def plan_of(folder: Path) -> Night:
    """Return what the DAG was made from.

    :param folder: the DAG's.
    :raises UsageError: there is no DAG.
    """
    plan = read_record(folder / PLAN)
    if plan is None:
        raise UsageError(
            "there is no plan of a night", where=str(folder / PLAN), mend=GO_ON
        )
    return plan


def result_path(folder: Path, node: Node) -> Path:
    """Return where a node leaves its record."""
    return folder / RESULTS / f"{node.name}.json"


def collect(folder: Path) -> Night:
    """Return the night with all that its nodes did so far.

    :raises UsageError: there is no DAG.
    """
    night = plan_of(folder)
    for node in nodes_of(night.model_copy(deep=True)):
        if part := read_record(result_path(folder, node)):
            _join(image_of(night, node), part.images[0], node)
            night.calls += part.calls
    return night


def tell_lost(folder: Path, night: Night) -> None:
    """Tell of nodes that left no record, though they had all that they need."""
    for node in nodes_of(plan_of(folder)):
        image = image_of(night, node)
        if ended_well(image, node) or not _had_all(image, node):
            continue
        if read_record(result_path(folder, node)) is None:
            error = AnnexkitError(
                "its node in the DAG left no result",
                where=str(folder / f"{node.name}.err"),
                mend=GO_ON,
            )
            _put(image, node, failed(error))


def ended_well(image: ImageNight, node: Node) -> bool:
    """Whether a node's own step was taken; other regions say nothing of it."""
    return _steps(image, node)[-1].did in GOOD


def image_of(night: Night, node: Node) -> ImageNight:
    """Return the record of a node's image."""
    found = (i for i in night.images if (i.image, i.arch) == (node.image, node.arch))
    return next(found)


def _had_all(image: ImageNight, node: Node) -> bool:
    """Whether all steps before a node's own were taken."""
    if node.step == BAKE:
        return True
    before = (image.bake, image.boot, *_steps(image, node)[:-1])
    return all(step.did in GOOD for step in before)


def _steps(image: ImageNight, node: Node) -> list[StepNight]:
    """Return a region's steps up to the node's own; of a bake, how its boot ended."""
    return [image.boot] if node.step == BAKE else [*_in_region(image, node)]


def _in_region(image: ImageNight, node: Node) -> Iterator[StepNight]:
    for step, field in FIELDS.items():
        yield getattr(image.regions[node.region], field)
        if step == node.step:
            return


def _put(image: ImageNight, node: Node, step: StepNight) -> None:
    if node.step == BAKE:
        image.bake = step
    else:
        setattr(image.regions[node.region], FIELDS[node.step], step)


def _join(image: ImageNight, part: ImageNight, node: Node) -> None:
    """Take over what a node did, and nothing of what it only knew."""
    if node.step == BAKE:
        for name in BAKED:
            setattr(image, name, getattr(part, name))
        there, found = image.regions[image.home], part.regions[image.home]
        names: tuple[str, ...] = AT_HOME
    else:
        there, found = image.regions[node.region], part.regions[node.region]
        names = (FIELDS[node.step], *BESIDE.get(node.step, ()))
    for name in names:
        setattr(there, name, getattr(found, name))
