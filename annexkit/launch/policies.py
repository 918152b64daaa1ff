"""What a node may do, what may end it from within AWS, and policies as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from annexkit import tags
from annexkit.aws import Cloud

NODE = "annexkit-node"
SCHEDULER = "annexkit-scheduler"

Document = dict[str, Any]


@dataclass(frozen=True)
class Role:
    """A role as it is wanted; with a profile of the same name when nodes carry it."""

    name: str
    trust: Document
    policy: Document
    profile: bool = False


def node_role(cloud: Cloud, region: str) -> Role:
    """Return the role of nodes: it reads our secrets, and nothing else."""
    partition = cloud.session.get_partition_for_region(region)
    secrets = f"arn:{partition}:ssm:*:{cloud.account}:parameter/annexkit/*"
    # China's EC2 has a name of its own (IAM user guide, Service principals).
    ec2 = "ec2.amazonaws.com" + (".cn" if partition == "aws-cn" else "")
    return Role(
        NODE,
        trust=_document(
            {
                "Effect": "Allow",
                "Principal": {"Service": ec2},
                "Action": "sts:AssumeRole",
            }
        ),
        policy=_document(
            {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": secrets}
        ),
        profile=True,
    )


def scheduler_role(cloud: Cloud, region: str) -> Role:
    """Return the role of EventBridge Scheduler: it ends instances of annexes only."""
    partition = cloud.session.get_partition_for_region(region)
    return Role(
        SCHEDULER,
        trust=_document(
            {
                "Effect": "Allow",
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": cloud.account}},
            }
        ),
        policy=_document(
            {
                "Effect": "Allow",
                "Action": "ec2:TerminateInstances",
                "Resource": f"arn:{partition}:ec2:*:{cloud.account}:instance/*",
                "Condition": {"Null": {f"aws:ResourceTag/{tags.LAUNCH}": "false"}},
            }
        ),
    )


def document(said: str | Document) -> Document:
    """Read a policy document: IAM gives it as URL-encoded JSON, boto3 as data."""
    read: Document = json.loads(unquote(said)) if isinstance(said, str) else said
    return read


def normal(policy: Any) -> Any:
    """Return a document with lists of one as that one, and other lists sorted.

    IAM takes both forms for the same (IAM user guide, JSON policy elements).
    """
    if isinstance(policy, dict):
        return {key: normal(value) for key, value in policy.items()}
    if isinstance(policy, list):
        found = sorted((normal(value) for value in policy), key=json.dumps)
        return found[0] if len(found) == 1 else found
    return policy


def _document(statement: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": [statement]}
