"""What a node may do, what may end it from within AWS, and policies as data.

The documents themselves are rendered from the one source, ``annexkit.rights``.
"""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.aws import Cloud
from annexkit.rights import documents
from annexkit.rights.documents import normal
from annexkit.rights.documents import read as document
from annexkit.rights.words import NIGHTLY, NODE, SCHEDULER, Document, Place

__all__ = [
    "NIGHT",
    "NIGHTLY",
    "NODE",
    "SCHEDULER",
    "Document",
    "Role",
    "document",
    "nightly_role",
    "node_role",
    "normal",
    "place_of",
    "scheduler_role",
]


HOUR = 3600
# A night is longer than the hour that IAM gives by itself; no job of GitHub's own
# runners is longer than this (GitHub documentation, Actions limits).
NIGHT = 6 * HOUR


@dataclass(frozen=True)
class Role:
    """A role as it is wanted; with a profile of the same name when nodes carry it.

    ``ends`` says in its description how it is removed. ``session``: for how many
    seconds credentials of it may last at least (IAM's MaxSessionDuration).
    """

    name: str
    trust: Document
    policy: Document
    profile: bool = False
    ends: str = "removed by invoke teardown"
    session: int = HOUR


def place_of(
    cloud: Cloud, region: str, regions: tuple[str, ...] = (), prefix: str = "annexkit"
) -> Place:
    """Return where documents for this account are for.

    :param region: any of its partition.
    :param regions: to what they are limited; none for all.
    """
    partition = cloud.session.get_partition_for_region(region)
    return Place(cloud.account, partition, regions, prefix)


def node_role(cloud: Cloud, region: str) -> Role:
    """Return the role of nodes: it reads our secrets, and nothing else."""
    place = place_of(cloud, region)
    return Role(
        NODE,
        trust=documents.service_trust(place.ec2, place),
        policy=documents.policy("node", place),
        profile=True,
    )


def scheduler_role(cloud: Cloud, region: str) -> Role:
    """Return the role of EventBridge Scheduler: it ends instances of annexes only."""
    place = place_of(cloud, region)
    service = "scheduler.amazonaws.com"
    return Role(
        SCHEDULER,
        trust=documents.service_trust(service, place, own_account=True),
        policy=documents.policy("scheduler", place),
    )


def nightly_role(place: Place, repository: str, branch: str) -> Role:
    """Return the role of the nightly job: it bakes and reaps.

    :param repository: the one repository on GitHub, ``owner/name``, whose jobs may take
        it, and only those of *branch*.
    """
    return Role(
        NIGHTLY,
        trust=documents.github_trust(repository, branch, place),
        policy=documents.policy("nightly", place),
        ends="made by invoke iam",
        session=NIGHT,
    )
