"""The night's record: begun or gone on with, and on disk after every step.

It is for the page alone. What is left to do is never read from it, but from the
registry and EC2; so a night that lost it ends as well as one that did not.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from annexkit.errors import AnnexkitError
from annexkit.files import make_folder, require_room, write_beside
from annexkit.flows.nightly_steps import REGION_STEPS, later
from annexkit.flows.site import Site
from annexkit.pool import dagman
from annexkit.publish.night import ImageNight, Night, RegionNight
from annexkit.publish.night_dag import DAG
from annexkit.publish.page import failures

ROOM = 4 << 20  # bytes; for the record and the pages
LONGEST = 24 * 3600.0  # seconds; what is older is no part of this night any more
STEPS = ("bake", "boot")
NEWS = ("changed", "why", "pending", "unchecked", "before", "packages")
RECORD = "night.json"
DAG_FOLDER = "dag-"  # and a number


@dataclass
class Keeper:
    """Tonight's record and where it lies; a dry run writes nothing.

    ``before``: calls that other processes made for it. ``handed_over``: another process
    goes on with it, and will tell of it.
    """

    site: Site
    night: Night
    told: bool = False
    before: int = 0
    handed_over: bool = False

    @property
    def path(self) -> Path:
        """The file of the record."""
        return self.folder / RECORD

    @property
    def folder(self) -> Path:
        """The folder of this night."""
        return nights(self.site) / self.night.id

    def save(self) -> None:
        """Write the record; a disk that refuses is told once and stops nothing.

        What was done stands in the registry, which is written before.
        """
        self.night.calls = self.before + sum(self.site.cloud.calls.values())
        if self.night.dry_run:
            return
        try:
            write_record(self.path, self.night)
        except AnnexkitError as error:
            if not self.told:
                self.site.console.error(error)
            self.told = True

    def end(self) -> None:
        """Say that the night is over: nothing is left to be gone on with."""
        now = datetime.fromtimestamp(self.site.clock.time(), UTC)
        self.night.ended = now.replace(microsecond=0)
        self.save()


def nights(site: Site) -> Path:
    """Return the folder of all nights."""
    return site.state / "nights"


def write_record(path: Path, night: Night) -> None:
    """Write a night beside its file and rename it.

    :raises FileError: the disk refused.
    """
    write_beside(path, night.model_dump_json(indent=2) + "\n")


def read_record(path: Path) -> Night | None:
    """Read a night, or a part of one; None when it is not there, or is none."""
    try:
        return Night.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def begin(site: Site, *, dry_run: bool, resume: bool) -> Keeper:
    """Begin a night's record, or go on with that of the newest one if it has no end.

    :raises FileError: the disk refuses, or has no room.
    """
    began = datetime.fromtimestamp(site.clock.time(), UTC).replace(microsecond=0)
    night = Night(
        id=f"{began:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        began=began,
        dry_run=dry_run,
        account=site.cloud.account,
        endpoint=site.cloud.endpoint,
    )
    if resume:
        found = _unfinished(site, night)
        if found is None:
            site.console.detail("no night was left unfinished: this is a new one")
        else:
            site.console.step(f"going on with the night of {found.began:%H:%M} UTC")
            night = found.model_copy(update={"dry_run": dry_run, "ended": None})
    keeper = Keeper(site, night)
    if not dry_run:
        require_room(make_folder(keeper.folder), ROOM)
        write_record(keeper.path, night)
    return keeper


def _unfinished(site: Site, new: Night) -> Night | None:
    """Return the newest night of this account, if it did not end, nor is too old."""
    for path in sorted(nights(site).glob(f"*/{RECORD}"), reverse=True):
        night = read_record(path)
        if night is None:
            site.console.detail(f"{path} cannot be read; it is left out")
            continue
        same = (night.account, night.endpoint) == (new.account, new.endpoint)
        age = (new.began - night.began).total_seconds()
        open_end = night.ended is None or _rescued(path.parent, night)
        return night if same and open_end and age < LONGEST else None
    return None


def _rescued(folder: Path, night: Night) -> bool:
    """Whether steps failed, and the night's DAG left what it can be gone on with."""
    return any(failures(night)) and any(dagman.rescued(dag) for dag in dags(folder))


def dags(folder: Path) -> list[Path]:
    """Return the DAGs that a night was handed over to, the oldest first."""
    numbered = {
        int(number): dag
        for dag in folder.glob(f"{DAG_FOLDER}*/{DAG}")
        if (number := dag.parent.name[len(DAG_FOLDER) :]).isdecimal()
    }
    return [numbered[number] for number in sorted(numbered)]


def put_image(keeper: Keeper, image: ImageNight) -> ImageNight:
    """Put an image's record in place of an earlier one, and return what is kept.

    Of a part of this night that was cut short, what it did to the same build stays.
    """
    known = keeper.night.images
    for at, old in enumerate(known):
        if (old.image, old.arch) == (image.image, image.arch):
            known[at] = _joined(old, image)
            return known[at]
    known.append(image)
    return image


def _joined(old: ImageNight, new: ImageNight) -> ImageNight:
    if not new.build or old.build != new.build:
        return new
    regions = {
        region: _joined_region(old.regions.get(region, RegionNight()), there)
        for region, there in new.regions.items()
    }
    steps = {name: later(getattr(old, name), getattr(new, name)) for name in STEPS}
    kept = {name: getattr(old, name) for name in NEWS} if old.changed else {}
    return new.model_copy(update={"regions": regions, **steps, **kept})


def _joined_region(old: RegionNight, new: RegionNight) -> RegionNight:
    joined = {
        name: later(getattr(old, name), getattr(new, name)) for name in REGION_STEPS
    }
    return new.model_copy(update=joined)
