"""A security group of moto's, seen from outside: its rules, and what was called."""

from __future__ import annotations

from typing import Any

from annexkit.flows.security_group import GroupRequest
from annexkit.flows.site import Site
from annexkit.setup import groups, security_group
from annexkit.setup.groups import Group
from tests.unit.helpers import REGION

HOME = "192.0.2.0/24"
LAB = "2001:db8::/48"
ASKED = GroupRequest(cidrs=(HOME,))
UNDO = GroupRequest(undo=True)
CHANGES = {
    "AuthorizeSecurityGroupIngress",
    "RevokeSecurityGroupIngress",
    "ModifySecurityGroupRules",
    "CreateTags",
}


def default_group(site: Site) -> Group:
    return groups.choose(site.cloud, REGION, "default", "")


def there(site: Site, group: Group) -> dict[str, bool]:
    """Return the rules that let somebody in, and whether each is ours."""
    found = security_group.look(site.cloud, group)
    return {str(one.rule): one.ours for one in found}


def everything(site: Site) -> Any:
    """Return all rules of the region, with ids and tags."""
    return site.cloud.call(REGION, "describe_security_group_rules")[
        "SecurityGroupRules"
    ]


def mine(site: Site, group: Group, port: int = 22, cidr: str = HOME) -> None:
    site.cloud.call(
        REGION,
        "authorize_security_group_ingress",
        GroupId=group.id,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "IpRanges": [{"CidrIp": cidr, "Description": "mine"}],
            }
        ],
    )


def changes(site: Site) -> list[str]:
    """Return the calls that change something, of all that were made."""
    return [action for _, action in site.cloud.calls.elements() if action in CHANGES]


def move(site: Site, group: Group, rule_id: str, cidr: str) -> None:
    """Give a rule for SSH another source, as a person does in the console."""
    site.cloud.call(
        REGION,
        "modify_security_group_rules",
        GroupId=group.id,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule_id,
                "SecurityGroupRule": {
                    "IpProtocol": "tcp",
                    "FromPort": 22,
                    "ToPort": 22,
                    "CidrIpv4": cidr,
                },
            }
        ],
    )
