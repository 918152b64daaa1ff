"""The calls by which an AMI goes: deprecate, disable, deregister with its snapshots.

Each can be made again: what is done already is as good.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.publish.retention import Copy, Seen, Step
from annexkit.waiting import Clock, wait_for

GONE = ("NotFound", "Unavailable")  # InvalidAMIID.Unavailable: deregistered
IN_USE = "InvalidSnapshot.InUse"


class RetireError(AnnexkitError):
    """EC2 answered, and the AMI or a snapshot of it is still there."""


@dataclass(frozen=True)
class Hand:
    """What takes the steps; ``timeout`` and ``poll`` in seconds, for what EC2 holds."""

    cloud: Cloud
    clock: Clock
    timeout: float
    poll: float

    def take(self, step: Step, copy: Copy) -> str:
        """Take a step; return what the registry should say of the build there.

        :raises AwsError: EC2 refused.
        :raises RetireError: it is still there.
        :raises Deadline: EC2 held a snapshot in use for too long.
        """
        taken: dict[Step, Callable[[Copy], str]] = {
            Step.DEPRECATE: self._deprecate,
            Step.DISABLE: self._disable,
            Step.DEREGISTER: self._deregister,
            Step.CLEAR: self._clear,
            Step.RESTORE: self._restore,
        }
        return taken[step](copy)

    def _deprecate(self, copy: Copy) -> str:
        """Begin the grace at the next full minute: EC2 takes no moment of the past."""
        self._mark(copy)
        begin = (math.ceil(self.clock.time() / 60) + 1) * 60
        at = datetime.fromtimestamp(begin, UTC)
        self._call(copy, "enable_image_deprecation", ImageId=copy.ami, DeprecateAt=at)
        return f"deprecated {at:%Y-%m-%d}: invoke retire"

    def _disable(self, copy: Copy) -> str:
        self._mark(copy)
        if not _seen(copy).disabled:
            self._call(copy, "disable_image", ImageId=copy.ami)
        today = datetime.fromtimestamp(self.clock.time(), UTC)
        return f"disabled {today:%Y-%m-%d}: invoke retire"

    def _restore(self, copy: Copy) -> str:
        """Make it as it was; the mark comes off last, so that a crash is seen."""
        seen = _seen(copy)
        if seen.disabled:
            self._call(copy, "enable_image", ImageId=copy.ami)
        if seen.deprecated_at is not None:
            self._call(copy, "disable_image_deprecation", ImageId=copy.ami)
        mark = [{"Key": tags.RETIRING}]
        self._call(copy, "delete_tags", Resources=[copy.ami], Tags=mark)
        return ""

    def _deregister(self, copy: Copy) -> str:
        """Deregister it with its snapshots, and see that both are gone.

        A snapshot that EC2 skipped belongs to other AMIs, too, and stays.
        """
        region, snapshots = copy.region, set(_seen(copy).snapshots)
        said = self._unless_gone(
            region,
            "deregister_image",
            ImageId=copy.ami,
            DeleteAssociatedSnapshots=True,
        )
        self._wait_gone(copy)
        results = {
            result.get("SnapshotId"): result.get("ReturnCode")
            for result in said.get("DeleteSnapshotResults", [])
        }
        skipped = {name for name in snapshots if results.get(name) == "skipped"}
        for name in sorted(snapshots - skipped):
            self._delete_snapshot(region, name)
        return self._ended() + (
            f"; shared snapshots stay: {', '.join(sorted(skipped))}" if skipped else ""
        )

    def _clear(self, copy: Copy) -> str:
        for name in copy.left:
            self._delete_snapshot(copy.region, name)
        return self._ended()

    def _ended(self) -> str:
        return f"gone {datetime.fromtimestamp(self.clock.time(), UTC):%Y-%m-%d}"

    def _mark(self, copy: Copy) -> None:
        """Write when we took a step, before the step: EC2 does not tell all of them."""
        mark = [{"Key": tags.RETIRING, "Value": str(int(self.clock.time()))}]
        self._call(copy, "create_tags", Resources=[copy.ami], Tags=mark)

    def _wait_gone(self, copy: Copy) -> None:
        def gone() -> bool:
            found = self.cloud.describe_images(
                copy.region,
                Owners=["self"],
                IncludeDisabled=True,
                Filters=[{"Name": "image-id", "Values": [copy.ami]}],
            )
            return not found

        wait_for(
            gone,
            what=f"{copy.ami} is gone",
            timeout=self.timeout,
            poll=self.poll,
            clock=self.clock,
            mend="invoke retire --yes",
        )

    def _delete_snapshot(self, region: str, name: str) -> None:
        """Delete a snapshot; EC2 may hold it for a while after its AMI is gone."""

        def deleted() -> bool:
            try:
                self._unless_gone(region, "delete_snapshot", SnapshotId=name)
            except AwsError as error:
                if error.code != IN_USE:
                    raise
                return False
            return True

        wait_for(
            deleted,
            what=f"{name} is not in use any more",
            timeout=self.timeout,
            poll=self.poll,
            clock=self.clock,
            mend="invoke retire --yes",
        )

    def _unless_gone(
        self, region: str, method: str, **arguments: Any
    ) -> dict[str, Any]:
        try:
            return self.cloud.call(region, method, **arguments)
        except AwsError as error:
            if not error.code.endswith(GONE):
                raise
            return {}

    def _call(self, copy: Copy, method: str, **arguments: Any) -> None:
        self.cloud.call(copy.region, method, **arguments)


def _seen(copy: Copy) -> Seen:
    if copy.seen is None:
        raise RetireError(
            "EC2 does not have it any more", where=copy.ami, mend="invoke retire"
        )
    return copy.seen
