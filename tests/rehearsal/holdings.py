"""All that an account holds: so that a test sees whether anything of it was touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3

from annexkit.rehearsal.state import Rehearsal

REGIONS = ("us-west-2", "eu-west-1")
READS = ("Describe", "Get", "List", "Simulate")
DRY = 412  # the status of DryRunOperation
NEAR = "annexkit-node"  # names of the user's that begin as ours do
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
READ_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}],
    }
)
PUBLIC = (
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
)


class Account:
    """One account of a rehearsal, past annexkit."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._url = rehearsal.endpoint

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        session: Any = boto3.Session("test", "test", region_name=region)
        return session.client(service, endpoint_url=self._url)

    def default_group(self, region: str = REGIONS[0]) -> str:
        wanted = [{"Name": "group-name", "Values": ["default"]}]
        found = self.client("ec2", region).describe_security_groups(Filters=wanted)
        return str(found["SecurityGroups"][0]["GroupId"])

    def move_in(self) -> None:
        """Make what a user has who was here long before: with names near to ours."""
        self._of_iam()
        for region in REGIONS:
            self._of_ec2(region)
            scheduler = self.client("scheduler", region)
            scheduler.create_schedule_group(Name="annexkit-nightly")
            self.client("ssm", region).put_parameter(
                Name="/annexkit-own/secret", Value="x", Type="SecureString"
            )

    def _of_iam(self) -> None:
        iam = self.client("iam")
        for name in (f"{NEAR}s", f"{NEAR}-2", "Annexkit-Scheduler-old", "annexkit"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
            iam.put_role_policy(
                RoleName=name, PolicyName="annexkit", PolicyDocument=READ_ALL
            )
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
            iam.create_policy(PolicyName=f"{name}-policy", PolicyDocument=READ_ALL)
        iam.create_user(UserName="annexkit-person")
        iam.create_group(GroupName="annexkit")
        iam.add_user_to_group(GroupName="annexkit", UserName="annexkit-person")

    def _of_ec2(self, region: str) -> None:
        ec2 = self.client("ec2", region)
        for name in ("annexkit2", "annexkit-of-alice", "Annexkit"):
            ec2.import_key_pair(KeyName=name, PublicKeyMaterial=PUBLIC)
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        for name in ("annexkit-annexes", "annexkit"):
            made = {"GroupName": name, "Description": "of the user", "VpcId": vpc}
            self._rules(ec2, ec2.create_security_group(**made)["GroupId"])
        self._rules(ec2, self.default_group(region))

    def _rules(self, ec2: Any, group: str) -> None:
        """Open a group as the guide does, and as it does not."""
        rules = [("tcp", 22, "198.51.100.0/24"), ("tcp", 9618, "192.0.2.0/24")]
        for protocol, port, cidr in (*rules, ("udp", 53, "192.0.2.0/24")):
            ec2.authorize_security_group_ingress(
                GroupId=group,
                IpPermissions=[
                    {
                        "IpProtocol": protocol,
                        "FromPort": port,
                        "ToPort": port,
                        "IpRanges": [{"CidrIp": cidr, "Description": "mine"}],
                    }
                ],
            )

    def holds(self) -> frozenset[str]:
        """Return every thing with all that is told of it, a line each."""
        found = [*self._held_by_iam()]
        for region in REGIONS:
            found += [f"{region} {line}" for line in self._held_in(region)]
        return frozenset(found)

    def _held_in(self, region: str) -> Iterator[str]:
        ec2 = self.client("ec2", region)
        asked: dict[str, Any] = {
            "KeyPairs": ec2.describe_key_pairs(IncludePublicKey=True),
            "SecurityGroupRules": ec2.describe_security_group_rules(),
            "Vpcs": ec2.describe_vpcs(),
            "Subnets": ec2.describe_subnets(),
            "RouteTables": ec2.describe_route_tables(),
            "InternetGateways": ec2.describe_internet_gateways(),
            "Images": ec2.describe_images(Owners=["self"]),
            "ScheduleGroups": self.client("scheduler", region).list_schedule_groups(),
            "Parameters": self.client("ssm", region).describe_parameters(),
        }
        for one in asked["Subnets"]["Subnets"]:
            del one["AvailableIpAddressCount"]  # instances take some, and give back
        for kind, said in asked.items():
            yield from (_line(kind, one) for one in said[kind])
        for one in ec2.describe_security_groups()["SecurityGroups"]:
            rules = ("IpPermissions", "IpPermissionsEgress")  # a line each, above
            yield _line("group", {k: v for k, v in one.items() if k not in rules})

    def _held_by_iam(self) -> Iterator[str]:
        iam = self.client("iam")
        for role in iam.list_roles()["Roles"]:
            name = {"RoleName": role["RoleName"]}
            yield _line("role", role)
            yield _line("role tags", [name, iam.list_role_tags(**name)["Tags"]])
            for policy in iam.list_role_policies(**name)["PolicyNames"]:
                said = iam.get_role_policy(**name, PolicyName=policy)
                yield _line("role policy", [name, policy, said["PolicyDocument"]])
            attached = iam.list_attached_role_policies(**name)["AttachedPolicies"]
            yield from (_line("attached", [name, one]) for one in attached)
        for profile in iam.list_instance_profiles()["InstanceProfiles"]:
            # Roles have lines of their own; here they tell their last use, too.
            roles = [role["RoleName"] for role in profile["Roles"]]
            yield _line("profile", {**profile, "Roles": roles})
        for policy in iam.list_policies(Scope="Local")["Policies"]:
            said = iam.get_policy_version(
                PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"]
            )
            yield _line("policy", [policy, said["PolicyVersion"]["Document"]])
        for user in iam.list_users()["Users"]:
            yield _line("user", user)
        for group in iam.list_groups()["Groups"]:
            yield _line("group", group)
        for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            yield _line("provider", one)


def changing(calls: list[dict[str, Any]]) -> list[str]:
    """Return the recorded calls that may change something; no dry runs of EC2."""
    return [
        call["action"]
        for call in calls
        if not call["action"].startswith(READS) and call["status"] != DRY
    ]


def _line(kind: str, said: Any) -> str:
    return f"{kind} {json.dumps(said, sort_keys=True, default=str)}"
