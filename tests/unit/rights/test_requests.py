"""What the conditions come to: real requests, and what somebody might try.

The requests of Packer 1.6.6 are those that it made to moto with our template's options:
builder and volume tagged at once, description before tags, its group never tagged.
"""

from __future__ import annotations

import pytest

from annexkit import tags
from annexkit.instances import Launch, from_tags
from annexkit.launch.group import SET
from annexkit.launch.parameter import Parameter
from annexkit.launch.schedule import GROUP, Schedule
from annexkit.rights import documents
from annexkit.rights.changing import STAGES
from annexkit.rights.words import Place, Who
from tests.unit.rights.judge import ACCOUNT, REGION, Asked, arn, refused

PLACE = Place(ACCOUNT, "aws", (REGION, "eu-west-1"))
AMI = arn("image", "ami-1")
BAKED = {"Name": "annexkit-debian13", tags.BUILD: "b", tags.EXPIRES: "1"}
NODE = {"Name": "grid", tags.LAUNCH: "l", tags.ANNEX: "grid", tags.EXPIRES: "1"}
THEIRS = {"Name": "theirs", "Team": "x"}


def refused_to(who: Who, *asked: Asked) -> list[Asked]:
    return refused(documents.policy(who, PLACE), asked)


def run(given: dict[str, str], *, market: str = "on-demand") -> list[Asked]:
    """Return what RunInstances asks for, as annexkit puts it together."""
    launch = Launch(
        region=REGION,
        ami="ami-1",
        instance_type="m7i.large",
        count=1,
        token="t",
        user_data="",
        tags=given,
        security_group="sg-1",
        subnet_id="subnet-1",
        key_name="key",
        market=market,
    )
    specified = {
        said["ResourceType"]: from_tags(said["Tags"])
        for said in launch.parameters()["TagSpecifications"]
    }
    made = ["instance", "volume", "network-interface"]
    made += ["spot-instances-request"] if market == "spot" else []
    used = {"image": BAKED, "snapshot": BAKED, "subnet": {}, "security-group": SET}
    return [
        *(
            Asked("ec2:RunInstances", arn(kind, "*"), given=specified.get(kind, {}))
            for kind in made
        ),
        *(
            Asked(
                "ec2:CreateTags",
                arn(kind, "*"),
                given=given,
                create_action="RunInstances",
            )
            for kind, given in specified.items()
        ),
        *(
            Asked("ec2:RunInstances", arn(kind, "x-1"), has=has)
            for kind, has in used.items()
        ),
        Asked("ec2:RunInstances", arn("key-pair", "key")),
    ]


def ec2(action: str, kind: str, **more: object) -> Asked:
    return Asked(f"ec2:{action}", arn(kind, "x-1"), **more)  # type: ignore[arg-type]


BAKE: dict[str, list[Asked]] = {
    "key": [
        Asked("ec2:CreateKeyPair", arn("key-pair", "annexkit-debian13-x")),
        Asked("ec2:DeleteKeyPair", arn("key-pair", "annexkit-debian13-x")),
    ],
    "packer's group": [
        ec2("CreateSecurityGroup", "security-group"),
        ec2("CreateSecurityGroup", "vpc", has=THEIRS),
        ec2("AuthorizeSecurityGroupIngress", "security-group"),
        ec2("DeleteSecurityGroup", "security-group"),
    ],
    "proof's group": [
        ec2("CreateSecurityGroup", "security-group", given=BAKED),
        ec2(
            "CreateTags",
            "security-group",
            given=BAKED,
            create_action="CreateSecurityGroup",
        ),
        ec2("AuthorizeSecurityGroupIngress", "security-group", has=BAKED),
        ec2("DeleteSecurityGroup", "security-group", has=BAKED),
    ],
    "builder": run(BAKED),
    "image": [
        ec2("StopInstances", "instance", has=BAKED),
        ec2("CreateImage", "instance", has=BAKED),
        ec2("CreateImage", "image"),
        ec2("CreateImage", "snapshot"),
        ec2("ModifyImageAttribute", "image"),
        ec2("CreateTags", "image", given=BAKED),
        ec2("CreateTags", "snapshot", given=BAKED),
        ec2("CreateTags", "snapshot", has=BAKED, given=BAKED),
        ec2("TerminateInstances", "instance", has=BAKED),
    ],
    "after packer": [
        ec2("ModifyImageAttribute", "image", has=BAKED),
        ec2("CreateTags", "image", has=BAKED, given={tags.EXPIRES: "2"}),
        ec2("DeleteTags", "snapshot", has=BAKED, given={tags.EXPIRES: ""}),
    ],
    "reap": [
        ec2("DeregisterImage", "image"),
        ec2("DeregisterImage", "image", has=BAKED),
        ec2("DeleteSnapshot", "snapshot", has=BAKED),
        ec2("DeleteVolume", "volume", has=BAKED),
        ec2("TerminateInstances", "instance", has=NODE),
        Asked("ec2:TerminateInstances", arn("instance", "i", "sa-east-1"), has=NODE),
    ],
}
LAUNCH: dict[str, list[Asked]] = {
    "group": [
        ec2("CreateSecurityGroup", "security-group", given=SET),
        ec2("AuthorizeSecurityGroupIngress", "security-group", has=SET),
        ec2("DeleteSecurityGroup", "security-group", has=SET),
    ],
    "nodes": run(NODE),
    "spot": run(NODE, market="spot"),
    "lease": [ec2("CreateTags", "instance", has=NODE, given={tags.EXPIRES: "2"})],
    "secret": [
        Asked(
            "ssm:PutParameter",
            f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{Parameter('a', 'l', 1.0).name}",
        )
    ],
    "schedule": [
        Asked(
            "scheduler:CreateSchedule",
            f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{GROUP}/"
            f"{Schedule('l', 'i-1', 0).name}",
        )
    ],
}
PUBLISH: dict[str, list[Asked]] = {
    "copy": [
        *(ec2("CopyImage", kind, given=BAKED) for kind in ("image", "snapshot")),
        *(
            ec2("CreateTags", kind, given=BAKED, create_action="CopyImage")
            for kind in ("image", "snapshot")
        ),
        ec2("ModifyImageAttribute", "image", has=BAKED),
    ],
    "promote": [
        ec2("DeleteTags", "image", has=BAKED, given={tags.EXPIRES: ""}),
        ec2("DeleteTags", "snapshot", has=BAKED, given={tags.EXPIRES: ""}),
    ],
    "retire": [
        *(ec2(action, "image", has=BAKED) for action in STAGES),
        ec2("CreateTags", "image", has=BAKED, given={tags.RETIRING: "disable 1"}),
        ec2("DeregisterImage", "image", has=BAKED),
        ec2("DeleteSnapshot", "snapshot", has=BAKED),
        Asked(
            "ssm:GetParameters",
            f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/annexkit-images/debian13/x86_64",
        ),
    ],
}
# What nobody may do by these policies, and why somebody would try.
NEVER: dict[str, Asked] = {
    "end another's instance": ec2("TerminateInstances", "instance", has=THEIRS),
    "make it ours": ec2("CreateTags", "instance", has=THEIRS, given=NODE),
    "make a nameless one ours": ec2("CreateTags", "instance", given=NODE),
    "launch what no reaper finds": ec2("RunInstances", "instance", given=THEIRS),
    "launch untagged": ec2("RunInstances", "instance"),
    "elsewhere": Asked(
        "ec2:RunInstances", arn("instance", "*", "sa-east-1"), {}, NODE, "", "sa-east-1"
    ),
    "disable another's AMI": ec2("DisableImage", "image", has=THEIRS),
    "deregister another's AMI": ec2("DeregisterImage", "image", has=THEIRS),
    "make another's AMI ours": ec2("CreateTags", "image", has=THEIRS, given=BAKED),
    "change another's AMI": ec2("ModifyImageAttribute", "image", has=THEIRS),
    "image another's disk": ec2("CreateImage", "instance", has=THEIRS),
    "open another's group": ec2(
        "AuthorizeSecurityGroupIngress", "security-group", has=THEIRS
    ),
    "delete another's key": Asked("ec2:DeleteKeyPair", arn("key-pair", "theirs")),
    "read a secret": Asked(
        "ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/annexkit/a/l"
    ),
}


SMOKE: dict[str, list[Asked]] = {
    "group": BAKE["proof's group"],
    "instance": run(BAKED),
    "looks": [
        *(
            Asked(f"ec2:Describe{name}", "*")
            for name in ("InstanceTypeOfferings", "InstanceTypes", "Subnets", "Images")
        ),
        Asked("pricing:GetProducts", "*"),
    ],
    "expiry": [
        ec2("CreateTags", "image", has=BAKED, given={tags.EXPIRES: "2"}),
        ec2("DeleteTags", "image", has=BAKED, given={tags.EXPIRES: ""}),
    ],
    "end": [ec2("TerminateInstances", "instance", has=BAKED)],
}


@pytest.mark.parametrize("what", SMOKE)
@pytest.mark.parametrize("who", ["person", "nightly"])
def test_a_smoke_may_do_all_it_does(who: Who, what: str) -> None:
    assert refused_to(who, *SMOKE[what]) == []


@pytest.mark.parametrize("what", BAKE)
@pytest.mark.parametrize("who", ["person", "nightly"])
def test_a_bake_and_its_reaper_may_do_all_they_do(who: Who, what: str) -> None:
    assert refused_to(who, *BAKE[what]) == []


@pytest.mark.parametrize("what", LAUNCH)
def test_a_launch_may_do_all_it_does(what: str) -> None:
    assert refused_to("person", *LAUNCH[what]) == []


@pytest.mark.parametrize("what", PUBLISH)
@pytest.mark.parametrize("who", ["publish", "nightly"])
def test_who_decides_what_is_launched_may_do_all_that_takes(
    who: Who, what: str
) -> None:
    assert refused_to(who, *PUBLISH[what]) == []


@pytest.mark.parametrize("what", NEVER)
@pytest.mark.parametrize("who", ["person", "publish", "nightly"])
def test_what_is_somebody_elses_is_out_of_reach(who: Who, what: str) -> None:
    assert refused_to(who, NEVER[what]) == [NEVER[what]]


def test_nodes_and_schedules_do_one_thing_each() -> None:
    secret = NEVER["read a secret"]
    ends = ec2("TerminateInstances", "instance", has=NODE)
    baked = ec2("TerminateInstances", "instance", has=BAKED)
    assert refused_to("node", secret, ends) == [ends]
    assert refused_to("scheduler", secret, ends, baked) == [secret, baked]
