"""What is only looked at. EC2's Describe calls know no resources: all or none."""

from __future__ import annotations

from annexkit.rights.words import ANNEX, PUBLISH, SETUP, Grant, Right

BAKE = ("bake",)
DOCTOR = ("doctor",)
TYPES = ("launch", "smoke", "doctor")
PRICE = ("launch", "smoke")
REGIONS = ("bake", "reap", "regions", "doctor")
RULES = ("security-group",)
WHERE = ("bake", "smoke", "launch", "doctor", "security-group")
BAKE_REAP = ("bake", "reap")
HELD = ("registry.promote", "retire")
RETIRE = ("retire",)
ENDING = ("launch", "terminate", "teardown", "reap")
WORK = ("bake", "smoke", *ANNEX, "teardown", "reap")
RUN = (*WORK, "doctor")
# AWS's own parameters, in the one region where annexkit asks for them.
PUBLIC = "ssm:us-east-1:*:parameter/aws/service/global-infrastructure/*"
NEW_PACKER = "Packer 1.7 and later (its plugin's documentation); 1.6 does not ask"

LOOKING: tuple[Grant, ...] = (
    Grant(
        "Look",
        (
            Right("ec2:DescribeImageAttribute", "who may launch it", RETIRE),
            Right("ec2:DescribeImages", "base and own AMIs", (*RUN, *PUBLISH)),
            Right("ec2:DescribeInstances", "states, addresses, tags", (*RUN, *RETIRE)),
            Right("ec2:DescribeInstanceStatus", "the builder", BAKE, NEW_PACKER),
            Right("ec2:DescribeInstanceTypeOfferings", "zones of a type", TYPES),
            Right("ec2:DescribeInstanceTypes", "cores and memory of a type", TYPES),
            Right("ec2:DescribeInternetGateways", "the way out", DOCTOR),
            Right(
                "ec2:DescribeKeyPairs", "launch.key_name; leftovers", (*RUN, "keypair")
            ),
            Right("ec2:DescribeLaunchTemplateVersions", "who uses an AMI", RETIRE),
            Right("ec2:DescribeRegions", "where to look", REGIONS),
            Right("ec2:DescribeRouteTables", "the way out", DOCTOR),
            Right("ec2:DescribeSecurityGroupRules", "yours and ours", RULES),
            Right("ec2:DescribeSecurityGroups", "ours; leftovers", (*RUN, *RULES)),
            Right("ec2:DescribeSnapshots", "of AMIs; leftovers", (*BAKE_REAP, *HELD)),
            Right("ec2:DescribeSpotPriceHistory", "the plan's price", ("launch",)),
            Right("ec2:DescribeSubnets", "where instances go", WHERE),
            Right("ec2:DescribeTags", "the builder's", BAKE, NEW_PACKER),
            Right("ec2:DescribeVolumes", "the builder's; leftovers", BAKE_REAP),
            Right("ec2:DescribeVpcs", "the default VPC", WHERE),
            Right("ec2:GetConsoleOutput", "host keys; why", WORK),
            Right("pricing:GetProducts", "the plan's price", PRICE),
            Right("scheduler:ListSchedules", "those of a launch", (*ANNEX, "teardown")),
            Right("servicequotas:GetServiceQuota", "vCPUs", DOCTOR),
            Right("ssm:DescribeParameters", "leftover secrets", ENDING),
            Right(
                "sts:GetCallerIdentity",
                "which account",
                (*WORK, *PUBLISH, *SETUP, "iam"),
            ),
        ),
        regional=False,
    ),
    Grant(
        "LookWhereServicesAre",
        (Right("ssm:GetParametersByPath", "by AWS's parameters", ("regions",)),),
        (PUBLIC,),
        regional=False,
        partitions=("aws",),
    ),
    Grant(
        "LookAtMyself",
        (
            Right("iam:GetRole", "the path of one's own", DOCTOR),
            Right("iam:SimulatePrincipalPolicy", "what one may do", DOCTOR),
        ),
        ("iam::{account}:role/*", "iam::{account}:user/*"),
        regional=False,
    ),
)
