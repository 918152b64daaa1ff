"""What can be wrong with a region, its quotas, and the keys and sources of SSH."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from annexkit import annexes, ssh
from tests.unit.flows.ward import (
    UNCHECKED,
    WARNING,
    WRONG,
    Situation,
    Ward,
    assign,
    change,
    private_key,
    refused,
    tell,
)
from tests.unit.helpers import REGION


def no_scheduler(ward: Ward) -> None:
    session = ward.site.cloud.session
    real = session.get_available_regions

    def available(service: str, *args: Any) -> list[str]:
        return [] if service == "scheduler" else real(service, *args)

    ward.patch.setattr(session, "get_available_regions", available)


def quota(value: float, **launch: Any) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.told["get_service_quota"] = {"Quota": {"Value": value}}
        ward.set(launch)

    return spoil


def key_file(mode: int) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.real("create_key_pair", KeyName="alice")
        path = private_key(ward.site.root, mode)
        ward.set({"key_name": "alice", "key_file": str(path)})

    return spoil


def own_key_open(ward: Ward) -> None:
    path = annexes.folder(ward.site.state, "grid").key
    ssh.new_key(path)
    path.chmod(0o644)


def no_pair(ward: Ward) -> None:
    path = private_key(ward.site.root)
    ward.set({"key_name": "nobody", "key_file": str(path)})


def not_opted_in(**_: Any) -> dict[str, Any]:
    return {"Regions": [{"RegionName": REGION, "OptInStatus": "not-opted-in"}]}


SITUATIONS = [
    Situation(
        "no such region",
        assign(region="us-wset-2"),
        "region",
        WRONG,
        "unknown region 'us-wset-2'",
        "invoke doctor --region us-west-2; all there are: invoke regions",
    ),
    Situation(
        "region not enabled",
        tell("describe_regions", not_opted_in),
        "region",
        WRONG,
        "is not enabled for this account (not-opted-in)",
        f"aws account enable-region --region-name {REGION}",
    ),
    Situation(
        "region that refuses all",
        tell("describe_regions", refused("AuthFailure")),
        "region",
        WRONG,
        "is not enabled for this account",
        "aws account enable-region",
    ),
    Situation(
        "region without Scheduler",
        no_scheduler,
        "region",
        WARNING,
        "no EventBridge Scheduler",
        "export INVOKE_ANNEXKIT_LAUNCH_SCHEDULER=0",
    ),
    Situation(
        "a new account's quota",
        quota(5, count=4),
        "quotas",
        WRONG,
        "4 of m7i.large need 8 more",
        "--quota-code L-1216C47A --desired-value 8",
    ),
    Situation(
        "no spot quota",
        quota(0, market="spot"),
        "quotas",
        WRONG,
        "0 vCPUs spot",
        "--quota-code L-34B43A08",
    ),
    Situation(
        "spot quota with a fall-back",
        quota(2, market="spot-then-on-demand", instance_types="m7i.large"),
        "quotas",
        WARNING,
        "2 vCPUs spot",
        "L-34B43A08",
    ),
    Situation(
        "quota for the small type only",
        quota(5, instance_types="m7i.large,m7i.2xlarge"),
        "quotas",
        WARNING,
        "but not of m7i.2xlarge",
        "export INVOKE_ANNEXKIT_LAUNCH_INSTANCE_TYPES=m7i.large",
    ),
    Situation(
        "quotas may not be asked",
        tell("get_service_quota", refused("AccessDeniedException")),
        "quotas",
        UNCHECKED,
        "AccessDeniedException",
        "docs/iam-policy.json",
    ),
    Situation(
        "a family without a known quota",
        change(launch={"instance_types": "g5.xlarge"}),
        "quotas",
        UNCHECKED,
        "family 'g'",
        "aws service-quotas list-service-quotas",
    ),
    Situation(
        "key file open to others",
        key_file(0o644),
        "ssh key",
        WRONG,
        "its mode is 0644",
        "chmod 0400",
    ),
    Situation(
        "no key file",
        change(launch={"key_name": "alice", "key_file": "/none"}),
        "ssh key",
        WRONG,
        "private file of key pair 'alice' is not there",
        "invoke keypair --key-name alice",
    ),
    Situation(
        "half a key pair",
        change(launch={"key_name": "alice"}),
        "ssh key",
        WRONG,
        "needs its name in EC2 and its private file",
        "set launch.key_file",
    ),
    Situation(
        "the annex's key open to others",
        own_key_open,
        "ssh key",
        WRONG,
        "its mode is 0644",
        "chmod 0400",
    ),
    Situation(
        "no such key pair",
        no_pair,
        "key pair",
        WRONG,
        "no key pair 'nobody'",
        "invoke keypair",
    ),
    Situation(
        "another's key pair",
        key_file(0o400),
        "key pair",
        WRONG,
        "not that of the key pair 'alice'",
        "export INVOKE_ANNEXKIT_LAUNCH_KEY_NAME= INVOKE_ANNEXKIT_LAUNCH_KEY_FILE=",
    ),
    Situation(
        "no network to come from",
        change(launch={"ssh_cidrs": "everywhere"}),
        "ssh sources",
        WRONG,
        "'everywhere' is no network",
        "192.0.2.7/32",
    ),
]
