"""A stack as the 2016 condor_annex tool makes it, and instances that belong to it.

The same names, paths and commands as the tool's own template (mkandes/condor_annex,
CloudFormation/template-2 and launch-configuration-2), because they are the contract;
said once, in our own words. Left out is what no instance sees: Auto Scaling groups, the
lease's alarm and functions, the security group.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from tests.rehearsal.annexes import Grounds
from tests.stage import REGION

STACK = "annex-stack"
BUCKET = "htcondor-annex-cm-pool-test-grid"
PASSWORD = f"{BUCKET}/brussel-sprouts"
MORE = f"{BUCKET}/more.config"
# HTCondor's own intervals of 300 s would let an idle node end after as long.
QUICK = "UPDATE_INTERVAL = 3\nMASTER_UPDATE_INTERVAL = 3\n"
PROJECT = "grid"
ROLE = "seed-instance"
METADATA = "http://169.254.169.254/latest/meta-data"
ASK = f"/usr/bin/curl -s {METADATA}"
INSTANCE_FILE = "/etc/condor/config.d/ec2.local"

# What the instance runs as root at its first boot.
USER_DATA = f"""\
#!/bin/bash -xe
echo 1 > /etc/asg-index
/opt/aws/bin/cfn-init -v --stack {STACK} --resource LaunchConfiguration \
-c preinstalled --region {REGION}
"""


def ref(name: str) -> dict[str, Any]:
    return {"Ref": name}


def text(*parts: Any) -> dict[str, Any]:
    return {"Fn::Join": ["", list(parts)]}


# What HTCondor's master becomes: out of the group, a last word, and gone.
SHUTDOWN = text(
    f"#!/bin/sh\nINSTANCE_ID=$({ASK}/instance-id)\n",
    "/usr/bin/aws autoscaling detach-instances --region ",
    ref("AWS::Region"),
    " --instance-ids $INSTANCE_ID --auto-scaling-group-name $(",
    "/usr/bin/aws cloudformation describe-stack-resource --region ",
    ref("AWS::Region"),
    " --stack-name ",
    ref("AWS::StackName"),
    " --logical-resource-id AutoScalingGroup$(/bin/cat /etc/asg-index) ",
    "| /bin/awk '/PhysicalResourceId/{print $2}' | /bin/sed -e's/[\",]//g') ",
    "--should-decrement-desired-capacity\n",
    "/usr/bin/aws logs create-log-group --region ",
    ref("AWS::Region"),
    " --log-group-name shutdowns\n",
    "/usr/bin/aws logs create-log-stream --region ",
    ref("AWS::Region"),
    " --log-group-name shutdowns --log-stream-name $INSTANCE_ID\n",
    "/usr/bin/aws ec2 modify-instance-attribute --region ",
    ref("AWS::Region"),
    " --instance-id $INSTANCE_ID",
    " --attribute instanceInitiatedShutdownBehavior --value terminate\n",
    "/sbin/shutdown -h now\n",
)
CONFIG = text(
    "DAEMON_LIST = MASTER, STARTD\n",
    "COLLECTOR_HOST = ",
    ref("CentralManager"),
    "\nSEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD\n",
    "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD\n",
    "SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION = TRUE\n",
    "SEC_PASSWORD_FILE = /etc/condor/password\n",
    "ALLOW_OWNER = $(ALLOW_OWNER) condor_pool@*/*\n",
    'ProjectID = "',
    ref("ProjectID"),
    '"\nSTARTD_ATTRS = $(STARTD_ATTRS) ProjectID\n',
    "STARTD_NOCLAIM_SHUTDOWN = ",
    ref("Idle"),
    "\nMASTER.DAEMON_SHUTDOWN_FAST = ",
    "( STARTD_StartTime == 0 ) && ((CurrentTime - DaemonStartTime) > 60)\n",
    "MASTER_SHUTDOWN_SHUTDOWN = /etc/condor/shutdown\n",
    "USE_SHARED_PORT = TRUE\n",
    "CONDOR_HOST = $(TCP_FORWARDING_HOST)\n",
    "ENCRYPT_EXECUTE_DIRECTORY = TRUE\n",
)
COMMANDS: dict[str, Any] = {
    "AA-download-password": text(
        "aws s3 cp s3://", ref("S3PoolPassword"), " /etc/condor/password"
    ),
    "BB-chmod-shutdown": "chmod 755 /etc/condor/shutdown",
    "CC-ec2-public-ip": f"echo EC2PublicIP = $({ASK}/public-ipv4) >> {INSTANCE_FILE}",
    "DD-ec2-instance-id": (
        f'echo EC2InstanceID = "$({ASK}/instance-id)" >> {INSTANCE_FILE}'
    ),
    "EE-ec2-startd-attrs": (
        f"echo 'STARTD_ATTRS = $(STARTD_ATTRS) $(EC2InstanceID)' >> {INSTANCE_FILE}"
    ),
    "FF-ec2-tcp-fowarding-host": (
        f"echo 'TCP_FORWARDING_HOST = $(EC2PublicIP)' >> {INSTANCE_FILE}"
    ),
    "GG-download-config": {
        "Fn::If": [
            "ConfigCondor",
            text("aws s3 cp s3://", ref("S3ConfigFile"), " /etc/condor/config.d/"),
            "echo 'No config to download'",
        ]
    },
    "YY-restart-condor": "service condor restart",
    "ZZ-condor-shutdown": (
        "while ! condor_set_shutdown -exec shutdown; do sleep 1; done"
    ),
}
TEMPLATE = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {
        "CentralManager": {"Type": "String"},
        "ImageID": {"Type": "String"},
        "ProjectID": {"Type": "String"},
        "S3PoolPassword": {"Type": "String"},
        "S3ConfigFile": {"Type": "String", "Default": ""},
        "Idle": {"Type": "Number", "Default": "900"},
    },
    "Conditions": {
        "ConfigCondor": {"Fn::Not": [{"Fn::Equals": ["", ref("S3ConfigFile")]}]}
    },
    "Resources": {
        "LaunchConfiguration": {
            "Type": "AWS::AutoScaling::LaunchConfiguration",
            "Metadata": {
                "AWS::CloudFormation::Init": {
                    "configSets": {
                        "install": ["add-repo", "config-condor"],
                        "preinstalled": ["config-condor"],
                    },
                    "add-repo": {"packages": {"yum": {"condor": []}}},
                    "config-condor": {
                        "files": {
                            "/etc/condor/shutdown": {"content": SHUTDOWN},
                            "/etc/condor/config.d/annex": {"content": CONFIG},
                        },
                        "commands": {
                            name: {"command": command}
                            for name, command in COMMANDS.items()
                        },
                    },
                }
            },
            "Properties": {"ImageId": ref("ImageID"), "InstanceType": "t3.small"},
        }
    },
}
# What the tool's own template gives the instances' role.
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
            ],
            "Resource": "arn:aws:logs:*:*:*",
        },
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"arn:aws:s3:::{PASSWORD}", f"arn:aws:s3:::{MORE}"],
        },
        {
            "Effect": "Allow",
            "Action": [
                "autoscaling:DetachInstances",
                "cloudformation:DescribeStackResource",
                "ec2:ModifyInstanceAttribute",
            ],
            "Resource": "*",
        },
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@dataclass(frozen=True)
class Stack:
    """The stack, and all that has to be there before its first instance."""

    grounds: Grounds
    ami: str

    def create(self, **values: str) -> None:
        """Put the pool's password in S3, make the role, and create the stack."""
        given = {
            "CentralManager": self.grounds.host.collector,
            "ImageID": self.ami,
            "ProjectID": PROJECT,
            "S3PoolPassword": PASSWORD,
            "S3ConfigFile": MORE,
            **values,
        }
        self._store()
        self._make_role()
        self.grounds.client("cloudformation").create_stack(
            StackName=STACK,
            TemplateBody=json.dumps(TEMPLATE),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in given.items()
            ],
        )

    def launch(self, **more: Any) -> str:
        """Launch one instance as the tool's Auto Scaling group does it."""
        asked = {
            "ImageId": self.ami,
            "InstanceType": "t3.small",
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": USER_DATA,
            "IamInstanceProfile": {"Name": ROLE},
            "MetadataOptions": {"HttpTokens": "required"},
            # Without a public address the collector brokers connections (CCB).
            "NetworkInterfaces": [
                {"DeviceIndex": 0, "AssociatePublicIpAddress": False}
            ],
            **more,
        }
        (made,) = self.grounds.ec2.run_instances(**asked)["Instances"]
        return str(made["InstanceId"])

    def delete(self) -> None:
        """Take away what was created, and nothing of others."""
        self.grounds.client("cloudformation").delete_stack(StackName=STACK)
        s3 = self.grounds.client("s3")
        for where in (PASSWORD, MORE):
            s3.delete_object(Bucket=BUCKET, Key=where.partition("/")[2])
        s3.delete_bucket(Bucket=BUCKET)
        iam = self.grounds.client("iam")
        iam.remove_role_from_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
        iam.delete_instance_profile(InstanceProfileName=ROLE)
        iam.delete_role_policy(RoleName=ROLE, PolicyName="seed")
        iam.delete_role(RoleName=ROLE)

    def password(self) -> bytes:
        """Return the pool's password file, as the tool uploads it."""
        host = self.grounds.host
        where = host.run("root", "condor_config_val", "SEC_PASSWORD_FILE").stdout
        return b64decode(host.run("root", "base64", where.strip()).stdout)

    def _store(self) -> None:
        s3 = self.grounds.client("s3")
        place = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        for where, body in ((PASSWORD, self.password()), (MORE, QUICK.encode())):
            s3.put_object(Bucket=BUCKET, Key=where.partition("/")[2], Body=body)

    def _make_role(self) -> None:
        iam = self.grounds.client("iam")
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(
            RoleName=ROLE, PolicyName="seed", PolicyDocument=json.dumps(POLICY)
        )
        iam.create_instance_profile(InstanceProfileName=ROLE)
        iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
