"""What can be wrong with the network, the types, and what annexes share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from annexkit.launch import group, roles
from annexkit.launch.policies import NODE, node_role
from tests.unit.flows.ward import (
    UNCHECKED,
    WARNING,
    WRONG,
    Situation,
    Ward,
    change,
    main_table,
    refused,
    tell,
)
from tests.unit.helpers import REGION


def no_default_vpc(ward: Ward) -> None:
    for method in ("describe_vpcs", "describe_subnets"):
        ward.told[method] = []


def route_table(*routes: dict[str, Any]) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        table = main_table(ward, ward.vpc)
        ward.told["describe_route_tables"] = [
            {
                "RouteTableId": table,
                "VpcId": ward.vpc,
                "Associations": [{"Main": True}],
                "Routes": [
                    {"DestinationCidrBlock": "172.31.0.0/16", "GatewayId": "local"},
                    *({"DestinationCidrBlock": "0.0.0.0/0"} | one for one in routes),
                ],
            }
        ]

    return spoil


def no_gateway(ward: Ward) -> None:
    route_table()(ward)
    ward.told["describe_internet_gateways"] = []


def a_group(ward: Ward, tags: list[dict[str, str]]) -> str:
    return str(
        ward.real(
            "create_security_group",
            GroupName=group.NAME,
            Description="x",
            VpcId=ward.vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )["GroupId"]
    )


def strange_group(ward: Ward) -> None:
    a_group(ward, [{"Key": "Name", "Value": "mine"}])


def open_group(ward: Ward) -> None:
    name = a_group(ward, [{"Key": "annexkit:set", "Value": "annex"}])
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    ward.real(
        "authorize_security_group_ingress",
        GroupId=name,
        IpPermissions=[{**rule, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )


def changed_role(ward: Ward) -> None:
    said = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [said]})
    ward.real(
        "put_role_policy",
        service="iam",
        RoleName=NODE,
        PolicyName=roles.POLICY,
        PolicyDocument=policy,
    )


def others_role(ward: Ward) -> None:
    ward.real("untag_role", service="iam", RoleName=NODE, TagKeys=["annexkit:set"])


def no_role(ward: Ward) -> None:
    roles.remove(ward.site.cloud, REGION, node_role(ward.site.cloud, REGION))


SITUATIONS = [
    Situation(
        "no default VPC",
        no_default_vpc,
        "network",
        WRONG,
        "no default VPC",
        "create-default-vpc --region us-west-2",
    ),
    Situation(
        "no such subnet",
        change(launch={"subnets": "subnet-1"}),
        "network",
        WRONG,
        "no subnet subnet-1",
        "export INVOKE_ANNEXKIT_LAUNCH_SUBNETS=; or see",
    ),
    Situation(
        "may not see subnets",
        tell("describe_subnets", refused("UnauthorizedOperation")),
        "network",
        WRONG,
        "you may not ask AWS for this",
        "docs/iam-policy.json",
    ),
    Situation(
        "EC2 asks for patience",
        tell("describe_subnets", refused("RequestLimitExceeded")),
        "network",
        UNCHECKED,
        "AWS did not tell",
        "wait a minute",
    ),
    Situation(
        "no way out",
        route_table(),
        "routes",
        WRONG,
        "nodes cannot reach the pool",
        "aws ec2 create-route",
    ),
    Situation(
        "a way out that is gone",
        route_table({"GatewayId": "igw-1", "State": "blackhole"}),
        "routes",
        WRONG,
        "igw-1, is gone",
        "aws ec2 replace-route",
    ),
    Situation(
        "a private subnet",
        route_table({"NatGatewayId": "nat-1", "State": "active"}),
        "routes",
        WRONG,
        "no public address works",
        "INVOKE_ANNEXKIT_SSH_INTERFACE=private_ip",
    ),
    Situation(
        "no internet gateway",
        no_gateway,
        "routes",
        WRONG,
        "no way out",
        "aws ec2 attach-internet-gateway --region us-west-2 --vpc-id vpc-",
    ),
    Situation(
        "may not see routes",
        tell("describe_route_tables", refused("UnauthorizedOperation")),
        "routes",
        UNCHECKED,
        "you may not ask AWS",
        "docs/iam-policy.json",
    ),
    Situation(
        "no such subnet to bake in",
        change(bake={"subnet_id": "subnet-1"}),
        "bake network",
        WRONG,
        "no subnet subnet-1",
        "export INVOKE_ANNEXKIT_BAKE_SUBNET_ID=''",
    ),
    Situation(
        "a misspelled type",
        change(launch={"instance_types": "m7i.larg"}),
        "instance types",
        WRONG,
        "'m7i.larg' is no instance type",
        "export INVOKE_ANNEXKIT_LAUNCH_INSTANCE_TYPES=m7i.large; or did you mean",
    ),
    Situation(
        "a type of another architecture",
        change(launch={"instance_types": "m7g.large"}),
        "instance types",
        WRONG,
        "m7g.large runs arm64",
        "invoke bake --arch arm64",
    ),
    Situation(
        "a type without a console in time",
        change(launch={"instance_types": "m4.large"}),
        "instance types",
        WRONG,
        "no Nitro type",
        "m7i.large",
    ),
    Situation(
        "another's security group",
        strange_group,
        "security group",
        WRONG,
        "is not annexkit's",
        "aws ec2 create-tags --region us-west-2 --resources sg-",
    ),
    Situation(
        "a group open to the world",
        open_group,
        "security group",
        WARNING,
        "22/tcp from 0.0.0.0/0 is open to everybody",
        "aws ec2 revoke-security-group-ingress",
    ),
    Situation(
        "settings open to the world",
        change(launch={"ssh_cidrs": "0.0.0.0/0"}),
        "security group",
        WARNING,
        "open to everybody",
        "name the networks you come from",
    ),
    Situation(
        "a role that was changed",
        changed_role,
        "node role",
        WARNING,
        "was changed",
        "invoke iam --role node",
    ),
    Situation(
        "another's role",
        others_role,
        "node role",
        WRONG,
        "is not annexkit's",
        "aws iam tag-role --role-name annexkit-node --tags Key=",
    ),
    Situation(
        "a role that nobody made",
        no_role,
        "node role",
        WARNING,
        "annexkit-node is not there yet",
        "invoke iam --role node",
    ),
    Situation(
        "no scheduler",
        change(launch={"scheduler": False}),
        "scheduler",
        WARNING,
        "two ways instead of three",
        "INVOKE_ANNEXKIT_LAUNCH_SCHEDULER=1",
    ),
    Situation(
        "may not see schedules",
        tell("get_schedule_group", refused("AccessDeniedException")),
        "scheduler",
        WRONG,
        "you may not ask AWS for this",
        "docs/iam-policy.json",
    ),
    Situation(
        "a schedule group that goes",
        tell("get_schedule_group", {"State": "DELETING"}),
        "scheduler",
        WARNING,
        "is being deleted",
        "invoke doctor",
    ),
]
