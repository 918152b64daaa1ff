"""The one set of things that all annexes of an account and VPC share.

They cost nothing and stay until ``invoke teardown``, so no journal knows them. Each is
found by its name, and is ours by its tag ``annexkit:set``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from annexkit.aws import Cloud
from annexkit.launch import group, roles, schedule
from annexkit.launch.policies import (
    NODE,
    SCHEDULER,
    Role,
    node_role,
    scheduler_role,
)
from annexkit.waiting import Clock

State = Literal["there", "missing", "differs"]


@dataclass(frozen=True)
class Wants:
    """What a launch needs of the set.

    ``pool_cidrs`` is None with CCB; ``secret`` says whether nodes read one from SSM,
    ``scheduler`` whether EventBridge is to end them.
    """

    region: str
    vpc: str
    ssh_cidrs: tuple[str, ...]
    pool_cidrs: tuple[str, ...] | None = None
    secret: bool = True
    scheduler: bool = True


@dataclass(frozen=True)
class Piece:
    """One thing of the set, and how it stands."""

    what: str
    state: State
    detail: str = ""

    def __str__(self) -> str:
        """Say it in one line, for a plan."""
        said = {"missing": "is made", "there": "is there", "differs": "is mended"}
        head = f"{self.what} {said[self.state]}"
        return f"{head}: {self.detail}" if self.detail else head


@dataclass(frozen=True)
class Needs:
    """What a launch request names; empty where it was not wanted.

    ``mended`` says in words what was made or changed.
    """

    group_id: str
    profile: str
    node_role_arn: str
    scheduler_role_arn: str
    mended: tuple[str, ...] = ()


def look(cloud: Cloud, wants: Wants) -> list[Piece]:
    """Say how each thing of the set stands; changes nothing.

    :raises NetworkError, RoleError: a name is taken by what is not annexkit's.
    """
    pieces = [_look_at_group(cloud, wants)]
    pieces += [
        _look_at_role(cloud, wants.region, role) for role in _roles(cloud, wants)
    ]
    if wants.scheduler:
        there = schedule.group_state(cloud, wants.region) == "ACTIVE"
        what = f"schedule group {schedule.GROUP} in {wants.region}"
        pieces.append(Piece(what, "there" if there else "missing"))
    return pieces


def ensure(
    cloud: Cloud, wants: Wants, *, poll: float, clock: Clock | None = None
) -> Needs:
    """Make what is missing and mend what differs; a second call changes nothing.

    Roles come first: the time until other services know them passes meanwhile.

    :raises NetworkError, RoleError: a name is taken by what is not annexkit's.
    :raises AwsError: AWS refused.
    :raises Deadline: AWS does not show what it just made.
    """
    todo = [str(piece) for piece in look(cloud, wants) if piece.state != "there"]
    arns = {
        role.name: roles.ensure(cloud, wants.region, role, poll=poll, clock=clock)
        for role in _roles(cloud, wants)
    }
    if wants.scheduler:
        schedule.ensure_group(cloud, wants.region, poll=poll, clock=clock)
    made = group.ensure(
        cloud,
        wants.region,
        wants.vpc,
        wants.ssh_cidrs,
        wants.pool_cidrs,
        poll=poll,
        clock=clock,
    )
    return Needs(
        group_id=made.id,
        profile=NODE if wants.secret else "",
        node_role_arn=arns.get(NODE, ""),
        scheduler_role_arn=arns.get(SCHEDULER, ""),
        mended=tuple(todo),
    )


def _roles(cloud: Cloud, wants: Wants) -> list[Role]:
    found = []
    if wants.secret:
        found.append(node_role(cloud, wants.region))
    if wants.scheduler:
        found.append(scheduler_role(cloud, wants.region))
    return found


def _look_at_group(cloud: Cloud, wants: Wants) -> Piece:
    found = group.look(cloud, wants.region, wants.vpc)
    what = f"security group {group.NAME} in {wants.vpc}"
    rules = group.wanted(wants.ssh_cidrs, wants.pool_cidrs)
    if found is None:
        return Piece(what, "missing", ", ".join(str(rule) for rule in sorted(rules)))
    said = group.differences(found, wants.ssh_cidrs, wants.pool_cidrs)
    # What others need is told, but it is no reason to change anything.
    return Piece(what, "there" if rules <= found.rules else "differs", "; ".join(said))


def _look_at_role(cloud: Cloud, region: str, role: Role) -> Piece:
    standing = roles.look(cloud, region, role)
    what = f"IAM role {role.name}" + (" and its profile" if role.profile else "")
    if standing is None:
        return Piece(what, "missing")
    said = roles.differences(role, standing)
    return Piece(what, "differs" if said else "there", "; ".join(said))
