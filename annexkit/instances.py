"""Instances and what they need for a short life: launch, wait, console, end."""

from __future__ import annotations

from collections.abc import Iterable

from annexkit.aws import AwsError, Cloud
from annexkit.instance_values import (
    USER_DATA_BYTES,
    Instance,
    InstanceError,
    Launch,
    as_tags,
    from_tags,
)
from annexkit.waiting import Clock, SystemClock, wait_for

__all__ = [
    "AT_ONCE",
    "ENDED",
    "GONE_CODES",
    "SETTLE",
    "USER_DATA_BYTES",
    "Instance",
    "InstanceError",
    "Launch",
    "as_tags",
    "console_text",
    "dry_run",
    "end_launch",
    "find",
    "from_tags",
    "run",
    "terminate",
    "wait_ended",
    "wait_running",
]
ENDED = ("shutting-down", "terminated")
SETTLE = 60.0  # seconds that EC2 may hide what it has accepted
GONE_CODES = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
A_FILTER = 200  # values in one filter (DescribeInstances)
AT_ONCE = 500  # ids in one TerminateInstances, which takes 1000


def run(cloud: Cloud, launch: Launch) -> list[str]:
    """Launch, and return the instance ids; equal tokens give the same instances.

    :raises AwsError: EC2 refused.
    """
    said = cloud.call(
        launch.region, "run_instances", launch=True, **launch.parameters()
    )
    return [item["InstanceId"] for item in said["Instances"]]


def dry_run(cloud: Cloud, launch: Launch) -> None:
    """Ask EC2 whether it would launch this: rights and parameters, not capacity.

    :raises AwsError: it would refuse.
    :raises InstanceError: the endpoint launched all the same, as no EC2 does.
    """
    try:
        cloud.call(
            launch.region,
            "run_instances",
            launch=True,
            DryRun=True,
            **launch.parameters(),
        )
    except AwsError as error:
        if error.code != "DryRunOperation":
            raise
        return
    raise InstanceError(
        "the endpoint launched instances on a dry run",
        where=launch.region,
        mend="check AWS_ENDPOINT_URL, then: invoke reap",
    )


def find(
    cloud: Cloud, region: str, filters: dict[str, list[str]], ids: Iterable[str] = ()
) -> list[Instance]:
    """Return the instances EC2 describes for these filters.

    :param ids: keep only these; asked for by filter, so that an id EC2 does not know
        yet is no error (DescribeInstances, eventual consistency).
    """
    wanted = list(ids)
    if len(wanted) > A_FILTER:
        parts = (wanted[n : n + A_FILTER] for n in range(0, len(wanted), A_FILTER))
        return [one for part in parts for one in find(cloud, region, filters, part)]
    asked = filters | ({"instance-id": wanted} if wanted else {})
    pages = cloud.pages(
        region,
        "describe_instances",
        "Reservations",
        Filters=[{"Name": name, "Values": values} for name, values in asked.items()],
    )
    return [Instance.read(region, i) for page in pages for i in page["Instances"]]


def wait_running(
    cloud: Cloud,
    region: str,
    ids: list[str],
    *,
    interface: str,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> list[Instance]:
    """Wait until all run and have an address; return them in the order of *ids*.

    :raises InstanceError: one ended on the way, with EC2's reason.
    :raises Deadline: not in time.
    """

    def all_running() -> list[Instance] | None:
        found = {i.id: i for i in find(cloud, region, {}, ids)}
        for instance in found.values():
            if instance.state in ENDED:
                raise InstanceError(
                    f"the instance is {instance.state} before it ran"
                    + (f": {instance.reason}" if instance.reason else ""),
                    where=f"{instance.id} in {region}",
                    mend=f"see why: aws ec2 describe-instances --region {region} "
                    f"--instance-ids {instance.id}",
                )
        up = [
            i for i in found.values() if i.state == "running" and i.address(interface)
        ]
        return [found[i] for i in ids] if len(up) == len(ids) else None

    return wait_for(
        all_running,
        what=f"instances {', '.join(ids)} running in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
    )


def console_text(cloud: Cloud, region: str, instance_id: str) -> str:
    """Return the console's newest output; empty while there is none.

    At most the last 64 KB are kept by EC2 (GetConsoleOutput, parameter Latest).
    """
    said = cloud.call(region, "get_console_output", InstanceId=instance_id, Latest=True)
    return str(said.get("Output") or "")


def terminate(cloud: Cloud, region: str, ids: Iterable[str]) -> None:
    """Terminate instances; one that is gone already is as good.

    One bad id and EC2 terminates none of a request, so after an error the halves go
    on their own.
    """
    todo = list(ids)
    for start in range(0, len(todo), AT_ONCE):
        _terminate(cloud, region, todo[start : start + AT_ONCE])


def _terminate(cloud: Cloud, region: str, ids: list[str]) -> None:
    try:
        cloud.call(region, "terminate_instances", InstanceIds=ids)
    except AwsError as error:
        if error.code not in GONE_CODES:
            raise
        if len(ids) > 1:
            middle = len(ids) // 2
            _terminate(cloud, region, ids[:middle])
            _terminate(cloud, region, ids[middle:])


def wait_ended(
    cloud: Cloud,
    region: str,
    ids: list[str],
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """Wait until none of the instances can bill any more.

    :raises Deadline: one still is not shutting down.
    """

    def none_left() -> bool:
        return all(i.state in ENDED for i in find(cloud, region, {}, ids))

    wait_for(
        none_left,
        what=f"the end of {', '.join(ids)} in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
        mend=f"aws ec2 terminate-instances --region {region} "
        f"--instance-ids {' '.join(ids)}",
    )


def end_launch(
    cloud: Cloud,
    region: str,
    ids: list[str],
    token: str,
    *,
    timeout: float,
    poll: float,
    clock: Clock | None = None,
) -> None:
    """End all that one launch made, also what EC2 does not show yet.

    An instance just launched may be unknown for a while (EC2 API reference, Eventual
    consistency): "not found" counts as ended only once it was seen, or after a minute.

    :param ids: what RunInstances answered; empty when its answer was lost.
    :param token: its client token, which finds them too.
    :raises Deadline: one still is not shutting down.
    """
    clock = clock or SystemClock()
    settled = clock.monotonic() + SETTLE
    filters = {"instance-id": ids} if ids else {"client-token": [token]}

    def ended() -> bool:
        found = find(cloud, region, filters)
        alive = [i.id for i in found if i.state not in ENDED]
        terminate(cloud, region, alive)
        if alive or len(found) >= max(1, len(ids)):
            return not alive
        return clock.monotonic() >= settled

    wait_for(
        ended,
        what=f"the end of the instances of client token {token} in {region}",
        timeout=timeout,
        poll=poll,
        clock=clock,
        mend="invoke reap",
    )
