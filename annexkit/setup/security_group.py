"""A security group of the user's, with the guide's rules in it, told from all others.

What annexkit adds carries the tag :data:`annexkit.tags.RULE`, whose value says what was
added. Only a rule that has the tag, and is still what the tag says, is taken back.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.instances import SETTLE, as_tags, from_tags
from annexkit.setup.groups import Group
from annexkit.setup.rules import ANY, NUMBERS, Part, Rule
from annexkit.waiting import Clock, wait_for

AGAIN = 3  # times that rules may vanish between our look and our call


@dataclass(frozen=True)
class Found:
    """A rule that is there; ``tag`` is what we wrote on it, empty on the user's."""

    id: str
    rule: Rule
    tag: str = ""

    @property
    def ours(self) -> bool:
        """Whether annexkit added it, and it is still what was added."""
        return bool(self.tag) and self.tag.partition(" ")[2] == str(self.rule)

    @property
    def changed(self) -> bool:
        """Whether annexkit added it and somebody made another rule of it."""
        return bool(self.tag) and not self.ours


class Fate(StrEnum):
    """What a rule is to a run: what happens to it, or whose it is."""

    ADD = "add"
    OURS = "there, ours"
    SAME = "there, yours"
    MORE = "ours, from before"
    CHANGED = "ours, changed since"
    YOURS = "yours"
    BACK = "take back"


@dataclass(frozen=True)
class Line:
    """One line of the difference: a rule, its fate, and its id when it is there."""

    fate: Fate
    rule: Rule
    name: str = ""
    id: str = ""


def look(cloud: Cloud, group: Group) -> list[Found]:
    """Return the rules by which one may come in.

    :raises AwsError: EC2 refused.
    """
    said = cloud.pages(
        group.region,
        "describe_security_group_rules",
        "SecurityGroupRules",
        Filters=[{"Name": "group-id", "Values": [group.id]}],
    )
    return [_read(one) for one in said if not one.get("IsEgress")]


def difference(wanted: Mapping[Rule, Part], found: Iterable[Found]) -> list[Line]:
    """Return what would be added, and what is there: of it, of ours, of the user's.

    A rule of the user's that says the same counts as there, and stays the user's.
    """
    there = {one.rule: one for one in found}
    lines = []
    for rule, part in wanted.items():
        one = there.get(rule)
        fate = Fate.ADD if one is None else _fate(one, Fate.OURS, Fate.SAME)
        lines.append(Line(fate, rule, part.name, one.id if one else ""))
    return lines + [
        Line(_fate(one, Fate.MORE, Fate.YOURS), rule, id=one.id)
        for rule, one in there.items()
        if rule not in wanted
    ]


def way_back(found: Iterable[Found]) -> list[Line]:
    """Return what would be taken back, and what is left."""
    return [
        Line(_fate(one, Fate.BACK, Fate.YOURS), one.rule, id=one.id) for one in found
    ]


def add(cloud: Cloud, group: Group, rule: Rule, part_name: str) -> bool:
    """Add one rule; return whether it was new.

    Each goes alone, because EC2 puts the same tags on all rules of one request, and
    adds none of them when one is there already (AuthorizeSecurityGroupIngress).

    :raises AwsError: EC2 refused.
    """
    tag = {tags.RULE: f"{part_name} {rule}"}
    try:
        cloud.call(
            group.region,
            "authorize_security_group_ingress",
            GroupId=group.id,
            IpPermissions=[_permission(rule, f"annexkit {part_name}")],
            TagSpecifications=[
                {"ResourceType": "security-group-rule", "Tags": as_tags(tag)}
            ],
        )
    except AwsError as error:
        if error.code != "InvalidPermission.Duplicate":
            raise
        return False  # somebody was faster; theirs stays theirs
    return True


def wait_added(
    cloud: Cloud,
    group: Group,
    made: Iterable[Rule],
    *,
    poll: float,
    clock: Clock | None = None,
) -> list[Found]:
    """Wait until EC2 shows added rules with our tag; return all that is there.

    :param made: what was just added; with none, one look is enough.
    :raises Deadline: it does not. Without the tag they would never be taken back.
    """
    expected = set(made)
    if not expected:
        return look(cloud, group)

    def shown() -> list[Found] | None:
        there = look(cloud, group)
        tagged = {one.rule for one in there if one.ours}
        return there if expected <= tagged else None

    return wait_for(
        shown,
        what=f"the new rules of {group.id}, with their tag {tags.RULE}",
        timeout=SETTLE,
        poll=poll,
        clock=clock,
        mend=f"look: aws ec2 describe-security-group-rules --region {group.region} "
        f"--filters Name=group-id,Values={group.id}",
    )


def take_back(
    cloud: Cloud,
    group: Group,
    ids: Sequence[str],
    *,
    poll: float,
    clock: Clock | None = None,
) -> list[str]:
    """Take rules away by their ids, and see that they are gone; return which went.

    One that is no longer ours by the time of the call is left out.

    :raises AwsError: EC2 refused.
    :raises Deadline: EC2 still shows them.
    """
    gone = _revoke(cloud, group, ids)

    def none_left() -> bool:
        return not {one.id for one in look(cloud, group)} & set(gone)

    wait_for(
        none_left,
        what=f"the end of {len(gone)} rules of {group.id}",
        timeout=SETTLE,
        poll=poll,
        clock=clock,
        mend="run the same command again",
    )
    return gone


def _revoke(cloud: Cloud, group: Group, ids: Sequence[str]) -> list[str]:
    """Revoke what is still ours; EC2 revokes none when one of the ids is gone."""
    for left in range(AGAIN, 0, -1):
        still = {one.id for one in look(cloud, group) if one.ours}
        going = [one for one in ids if one in still]
        if not going:
            return []
        try:
            cloud.call(
                group.region,
                "revoke_security_group_ingress",
                GroupId=group.id,
                SecurityGroupRuleIds=going,
            )
        except AwsError as error:
            if "NotFound" not in error.code or left == 1:
                raise
            continue
        return going
    return []


def _fate(one: Found, ours: Fate, theirs: Fate) -> Fate:
    if one.changed:
        return Fate.CHANGED
    return ours if one.ours else theirs


def _permission(rule: Rule, description: str) -> dict[str, Any]:
    said: dict[str, Any] = {"IpProtocol": rule.protocol}
    if rule.protocol != ANY:
        said |= {"FromPort": rule.first, "ToPort": rule.last}
    if rule.source.startswith("sg-"):
        key, name = "UserIdGroupPairs", "GroupId"
    elif ipaddress.ip_network(rule.source).version == 4:
        key, name = "IpRanges", "CidrIp"
    else:
        key, name = "Ipv6Ranges", "CidrIpv6"
    return said | {key: [{name: rule.source, "Description": description}]}


def _read(said: Mapping[str, Any]) -> Found:
    protocol = str(said.get("IpProtocol", ANY))
    source = (
        said.get("CidrIpv4")
        or said.get("CidrIpv6")
        or said.get("PrefixListId")
        or said.get("ReferencedGroupInfo", {}).get("GroupId", "")
    )
    return Found(
        id=said["SecurityGroupRuleId"],
        rule=Rule(
            NUMBERS.get(protocol, protocol),
            int(said.get("FromPort", -1)),
            int(said.get("ToPort", -1)),
            _plain(str(source)),
        ),
        tag=from_tags(said.get("Tags", [])).get(tags.RULE, ""),
    )


def _plain(source: str) -> str:
    """Return a CIDR as we write it; what is no CIDR as it is."""
    try:
        return str(ipaddress.ip_network(source, strict=False))
    except ValueError:
        return source
