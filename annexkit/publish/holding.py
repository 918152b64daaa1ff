"""Asking EC2 what it holds of the AMIs that the registry names; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from annexkit.aws import Cloud
from annexkit.publish.standing import Held, Named, root_snapshot

MOST = 200  # values of one filter, the most that EC2 takes


def ask(cloud: Cloud, region: str, wanted: Iterable[Named]) -> Held:
    """Describe images and their root snapshots, in two calls for every 200 of them.

    By filters: a list of ids with one that is gone would be refused as a whole. Images
    that are disabled are asked for as well, or they would look as if they were gone.

    :raises AwsError: the region did not answer.
    """
    known = list(wanted)
    images = {
        said["ImageId"]: said
        for ids in _batches({one.ami for one in known})
        for said in cloud.describe_images(
            region, Filters=_filter("image-id", ids), IncludeDisabled=True
        )
    }
    # Those that the registry names, and those that the images really have.
    roots = {root_snapshot(said) for said in images.values()}
    return Held(images, _snapshots(cloud, region, roots | {o.snapshot for o in known}))


def _snapshots(cloud: Cloud, region: str, wanted: set[str]) -> dict[str, str]:
    return {
        said["SnapshotId"]: said["State"]
        for ids in _batches(wanted - {""})
        for said in cloud.pages(
            region,
            "describe_snapshots",
            "Snapshots",
            Filters=_filter("snapshot-id", ids),
            OwnerIds=["self"],
        )
    }


def _filter(name: str, values: list[str]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": values}]


def _batches(ids: set[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), MOST):
        yield ordered[start : start + MOST]
