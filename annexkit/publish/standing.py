"""Whether an AMI is what the registry says of it, by what EC2 says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from annexkit import amis, tags
from annexkit.instances import from_tags
from annexkit.registry import Build, Channels, Registry, State
from annexkit.registry.model import newest_first

STANDS = (State.PENDING, State.READY)
UNSET = "unset"
UNMARKED = f"it is proved, and still has the tag {tags.EXPIRES}"


class Verdict(StrEnum):
    """What is to be said of an AMI that the registry names."""

    CORRECT = "Correct"
    INCORRECT = "Incorrect"
    MISSING = "Missing"
    UNREACHABLE = "Unreachable"


@dataclass(frozen=True)
class Named:
    """An AMI as the registry names it; ``channels`` are those that point to it."""

    image: str
    arch: str
    region: str
    build: str
    ami: str
    snapshot: str
    state: State
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """What EC2 said of a region: images by id, and the state of each snapshot by id."""

    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    snapshots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One AMI and its verdict; ``what`` is wrong with it, or worth a word."""

    named: Named
    verdict: Verdict
    what: tuple[str, ...] = ()

    @property
    def mend(self) -> str:
        """The command that mends it; empty where there is nothing to mend."""
        return _mend(self)


def named(
    registry: Registry, images: Collection[str] = (), regions: Collection[str] = ()
) -> list[Named]:
    """Return every AMI that the registry names, newest build first; empty means all.

    The 2016 guide's AMIs are not among them: nothing launches them.
    """
    return [
        name_of(registry, image, build_id, build, region)
        for image, record in sorted(registry.images.items())
        if not images or image in images
        for build_id, build in newest_first(record.builds)
        for region, there in sorted(build.regions.items())
        if there.ami and (not regions or region in regions)
    ]


def name_of(
    registry: Registry, image: str, build_id: str, build: Build, region: str
) -> Named:
    """Return one build in one region as :class:`Named`."""
    there = build.regions[region]
    names = registry.channel(image, build.arch, region)
    return Named(
        image,
        build.arch,
        region,
        build_id,
        there.ami or "",
        there.snapshot or "",
        there.state,
        tuple(n for n in Channels.model_fields if getattr(names, n) == build_id),
    )


def judge(one: Named, held: Held, account: str) -> Line:
    """Say whether an AMI is as it should be in its state.

    What is pending or ready has to stand and to fit. What failed may stay for a look,
    if it says until when. What is retired has to be gone, with its snapshot.
    """
    said = held.images.get(one.ami)
    if one.state is State.RETIRED:
        return _judge_retired(one, said, held)
    if one.state not in STANDS:
        return _judge_failed(one, said)
    if said is None:
        what = f"{one.ami} does not exist"
        return Line(one, Verdict.MISSING, (what,))
    wrong = [*faults(one, held, account)]
    if one.state is State.READY and marked(said):
        wrong.append(UNMARKED)
    return Line(one, Verdict.INCORRECT if wrong else Verdict.CORRECT, tuple(wrong))


def unreachable(one: Named, why: str) -> Line:
    """Say that EC2 could not be asked about an AMI."""
    return Line(one, Verdict.UNREACHABLE, (why,))


def faults(one: Named, held: Held, account: str) -> list[str]:
    """Return why nothing should be started from an AMI; empty when it fits.

    Its expiry tag is none of these: :func:`marked` tells.
    """
    said = held.images.get(one.ami)
    if said is None:
        return [f"{one.ami} does not exist"]
    return [
        *_differing("state", said.get("State"), amis.AVAILABLE),
        *_differing("owner", said.get("OwnerId"), account),
        *_differing("architecture", said.get("Architecture"), one.arch),
        *_differing("ImdsSupport", said.get("ImdsSupport"), amis.TOKENS),
        *_snapshot(one, root_snapshot(said), held.snapshots),
        *_tags(one, from_tags(said.get("Tags", []))),
    ]


def marked(said: Mapping[str, Any]) -> bool:
    """Whether an image has the expiry of one that is not proved yet."""
    return tags.EXPIRES in from_tags(said.get("Tags", []))


def root_snapshot(said: Mapping[str, Any]) -> str:
    """Return the snapshot of an image's root device; empty when it has none."""
    return str(amis.root(said).get("SnapshotId", ""))


def _differing(what: str, found: object, wanted: str) -> Iterator[str]:
    if found != wanted:
        yield f"its {what} is {found or UNSET}, not {wanted}"


def _snapshot(one: Named, root: str, snapshots: Mapping[str, str]) -> Iterator[str]:
    if not root:
        yield "it has no root snapshot"
        return
    if one.snapshot and root != one.snapshot:
        yield f"its root snapshot is {root}, the registry has {one.snapshot}"
    if root not in snapshots:
        yield f"its root snapshot {root} is gone"
    elif snapshots[root] != "completed":
        yield f"its root snapshot {root} is {snapshots[root]}, not completed"


def _tags(one: Named, found: Mapping[str, str]) -> Iterator[str]:
    for name, wanted in ((tags.BUILD, one.build), (tags.IMAGE, one.image)):
        if found.get(name) != wanted:
            yield f"its tag {name} is {found.get(name) or UNSET}, not {wanted}"


def _judge_retired(one: Named, said: Mapping[str, Any] | None, held: Held) -> Line:
    if said is not None:
        what = f"it is retired, and still there ({said.get('State') or UNSET})"
        return Line(one, Verdict.INCORRECT, (what,))
    if one.snapshot in held.snapshots:
        what = f"it is retired and gone, but its snapshot {one.snapshot} still costs"
        return Line(one, Verdict.INCORRECT, (what,))
    return Line(one, Verdict.CORRECT, ("retired, and gone",))


def _judge_failed(one: Named, said: Mapping[str, Any] | None) -> Line:
    if said is None:
        return Line(one, Verdict.CORRECT, (f"{one.state}, and gone",))
    if not marked(said):
        what = f"{one.state}, and without the tag {tags.EXPIRES} it stays for ever"
        return Line(one, Verdict.INCORRECT, (what,))
    return Line(one, Verdict.CORRECT, (f"{one.state}; it stays until its expiry",))


def _mend(line: Line) -> str:
    one = line.named
    if line.verdict is Verdict.CORRECT:
        return ""
    if line.verdict is Verdict.UNREACHABLE:
        return "invoke registry.verify, once the region answers"
    if one.state not in STANDS:
        return _remove(one, line)
    if line.what == (UNMARKED,):
        return f"invoke reap --region {one.region} takes the tag off"
    return _replace(one) if one.channels else "nothing starts it: no channel names it"


def _replace(one: Named) -> str:
    """Return what brings another AMI into the channels of this one."""
    place = f"--image {one.image} --arch {one.arch}"
    bake = f"invoke bake {place} --region {one.region} --force"
    if "current" not in one.channels:
        return bake
    back = f"invoke registry.rollback {place} --regions {one.region}"
    return f"{back}, or bake anew: {bake}"


def _remove(one: Named, line: Line) -> str:
    if "snapshot" in line.what[0]:
        call = f"delete-snapshot --snapshot-id {one.snapshot}"
    else:
        call = f"deregister-image --delete-associated-snapshots --image-id {one.ami}"
    return f"aws ec2 {call} --region {one.region}"
