"""One-time schedules that end instances from within AWS, without a machine of ours.

EventBridge Scheduler calls TerminateInstances at the end of a lease and then deletes
the schedule (EventBridge Scheduler user guide, Universal targets; Schedule types).
Client tokens are botocore's own, new for every call: a token derived from the content
would make AWS take a return to an earlier end for a repetition, and do nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from annexkit.aws import AwsError, Cloud
from annexkit.instances import as_tags
from annexkit.launch.group import SET
from annexkit.launch.listing import every
from annexkit.waiting import Clock, wait_for

GROUP = "annexkit"
AT_ONCE = 16  # calls; Scheduler takes hundreds a second (Scheduler quotas)
MARGIN = 120.0  # seconds after the lease; the node itself comes first
SETTLE = 60.0  # seconds that a new role may take to be assumable
DRAINING = 300.0  # seconds that a group may take to be deleted with its schedules
RETRIES = 185  # what Scheduler does anyway; said, so that it is seen to be meant
MISSING = "ResourceNotFoundException"
EXISTS = "ConflictException"


@dataclass(frozen=True)
class Schedule:
    """The end of one instance; ``at`` in epoch seconds.

    One instance each, because TerminateInstances ends all that it names or none: one
    that ended early, and that EC2 has forgotten, would keep the others alive.
    """

    launch: str
    instance: str
    at: float

    @property
    def name(self) -> str:
        """Its name in the group: ``<launch>-<instance id>``."""
        return f"{self.launch}-{self.instance}"

    def parameters(self, partition: str, role_arn: str) -> dict[str, Any]:
        """Return the parameters of CreateSchedule and UpdateSchedule, all of them.

        An update forgets what it does not name (Scheduler API reference).
        """
        end = datetime.fromtimestamp(math.ceil(self.at), UTC)
        return {
            "GroupName": GROUP,
            "Name": self.name,
            "ScheduleExpression": f"at({end:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "State": "ENABLED",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::aws-sdk:ec2:terminateInstances",
                "RoleArn": role_arn,
                "Input": json.dumps({"InstanceIds": [self.instance]}),
                "RetryPolicy": {"MaximumRetryAttempts": RETRIES},
            },
        }


def arm(
    cloud: Cloud,
    region: str,
    launch: str,
    ends: Mapping[str, float],
    role_arn: str,
    *,
    new: bool = False,
    poll: float,
    clock: Clock | None = None,
) -> list[Schedule]:
    """Let EventBridge end each instance :data:`MARGIN` after its lease.

    :param ends: when each instance's lease ends, in epoch seconds, by its id.
    :param new: whether the schedules are not expected to be there; saves calls.
    :raises AwsError: Scheduler refused; other instances may be armed.
    :raises Deadline: the role cannot be assumed in time.
    """
    schedules = [Schedule(launch, one, end + MARGIN) for one, end in ends.items()]
    put = create if new else move

    def arm_one(one: Schedule) -> None:
        put(cloud, region, one, role_arn, poll=poll, clock=clock)

    if schedules:
        # The first alone: it may have to wait until a new role is known.
        arm_one(schedules[0])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(arm_one, schedules[1:]))
    return schedules


def disarm(cloud: Cloud, region: str, launch: str, ids: Iterable[str]) -> None:
    """Delete the schedules of instances of a launch that are gone.

    :raises AwsError: Scheduler refused.
    """
    names_of = [Schedule(launch, one, 0).name for one in ids]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: delete(cloud, region, name), names_of))


def create(
    cloud: Cloud,
    region: str,
    schedule: Schedule,
    role_arn: str,
    *,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Make a schedule; one of that name becomes like it.

    :raises AwsError: Scheduler refused, or the group is missing.
    :raises Deadline: the role cannot be assumed in time.
    """
    order = ("create_schedule", "update_schedule")
    _put(cloud, region, schedule, role_arn, order, poll=poll, clock=clock)


def move(
    cloud: Cloud,
    region: str,
    schedule: Schedule,
    role_arn: str,
    *,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Give a schedule its new end; make it when it is not there.

    :raises AwsError: Scheduler refused, or the group is missing.
    :raises Deadline: the role cannot be assumed in time.
    """
    order = ("update_schedule", "create_schedule")
    _put(cloud, region, schedule, role_arn, order, poll=poll, clock=clock)


def delete(cloud: Cloud, region: str, name: str) -> None:
    """Delete a schedule; one that is gone, or has fired, is as good."""
    try:
        cloud.call(
            region, "delete_schedule", service="scheduler", GroupName=GROUP, Name=name
        )
    except AwsError as error:
        if error.code != MISSING:
            raise


def names(cloud: Cloud, region: str, prefix: str = "") -> list[str]:
    """Return the names of our schedules that begin with *prefix*, sorted.

    :param prefix: ``<launch>-`` for those of one launch.
    """
    asked = {"NamePrefix": prefix} if prefix else {}
    pages = every(
        cloud,
        region,
        "scheduler",
        "list_schedules",
        "Schedules",
        GroupName=GROUP,
        **asked,
    )
    try:
        return sorted(said["Name"] for said in pages)
    except AwsError as error:
        if error.code != MISSING:  # no group, no schedules
            raise
        return []


def group_state(cloud: Cloud, region: str) -> str:
    """Return ``ACTIVE``, ``DELETING``, or nothing when the group is not there."""
    try:
        said = cloud.call(region, "get_schedule_group", service="scheduler", Name=GROUP)
    except AwsError as error:
        if error.code != MISSING:
            raise
        return ""
    return str(said["State"])


def ensure_group(
    cloud: Cloud, region: str, *, poll: float, clock: Clock | None = None
) -> bool:
    """Make the group of our schedules; return whether it had to be made.

    :raises AwsError: Scheduler refused.
    :raises Deadline: an earlier one is still being deleted.
    """
    if group_state(cloud, region) == "ACTIVE":
        return False

    def made() -> bool:
        if group_state(cloud, region) == "DELETING":
            return False
        try:
            cloud.call(
                region,
                "create_schedule_group",
                service="scheduler",
                Name=GROUP,
                Tags=as_tags(SET),
            )
        except AwsError as error:
            if (
                error.code != EXISTS
            ):  # another launch was faster, or it is being deleted
                raise
            return group_state(cloud, region) == "ACTIVE"
        return True

    wait_for(
        made,
        what=f"the schedule group {GROUP} in {region}",
        timeout=DRAINING,
        poll=poll,
        clock=clock,
    )
    return True


def delete_group(
    cloud: Cloud, region: str, *, poll: float, clock: Clock | None = None
) -> None:
    """Delete the group with every schedule in it, and wait until it is gone.

    :raises Deadline: it is still there.
    """

    def gone() -> bool:
        state = group_state(cloud, region)
        if state == "ACTIVE":
            cloud.call(region, "delete_schedule_group", service="scheduler", Name=GROUP)
            return not group_state(cloud, region)
        return not state

    wait_for(
        gone,
        what=f"the end of the schedule group {GROUP} in {region}",
        timeout=DRAINING,
        poll=poll,
        clock=clock,
        mend="invoke teardown",
    )


def _put(
    cloud: Cloud,
    region: str,
    schedule: Schedule,
    role_arn: str,
    order: tuple[str, str],
    *,
    poll: float,
    clock: Clock | None,
) -> None:
    partition = cloud.session.get_partition_for_region(region)
    arguments = schedule.parameters(partition, role_arn)

    def done() -> bool:
        return any(_sent(cloud, region, method, arguments) for method in order)

    wait_for(
        done,
        what=f"the schedule {schedule.name} in {region} with the role {role_arn}",
        timeout=SETTLE,
        poll=poll,
        clock=clock,
        mend="run the same command again: a new role may take a minute",
    )


def _sent(cloud: Cloud, region: str, method: str, arguments: dict[str, Any]) -> bool:
    """Say whether the call was accepted; False when another, or later, may be."""
    try:
        cloud.call(region, method, service="scheduler", **arguments)
    except AwsError as error:
        absent = error.code == MISSING and method == "update_schedule"
        if absent or error.code == EXISTS or _not_assumable(error):
            return False
        raise
    return True


def _not_assumable(error: AwsError) -> bool:
    """Say whether Scheduler does not know a new role yet; it has no code of its own."""
    return error.code == "ValidationException" and "assume" in error.what.lower()
