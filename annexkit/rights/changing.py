"""What bakes and launches make, change and end in EC2.

What is made must be tagged as ours at once; what is changed or ended must be so tagged.
Making is limited to regions. Ending what is ours is not: the reaper looks everywhere.
The tag keys are ``annexkit.tags``. Which action knows which resources and conditions:
AWS, Service Authorization Reference, "Amazon EC2".
"""

from __future__ import annotations

from annexkit import tags
from annexkit.rights.words import ANNEX, Conditions, Grant, Right

BAKE = ("bake",)
COPY = ("copy",)
MAKE = ("bake", "smoke", "launch")
FRESH = ("bake", "smoke")
RETIRE = ("retire",)
GONE = ("bake", "copy", "reap", "retire")
RULES = ("security-group",)
END_BAKE = ("bake", "reap")
END_FRESH = (*FRESH, "reap")
END_ANNEX = ("launch", "verify", "extend", "terminate", "reap")

INSTANCE = "ec2:*:{account}:instance/*"
VOLUME = "ec2:*:{account}:volume/*"
GROUP = "ec2:*:{account}:security-group/*"
RULE = "ec2:*:{account}:security-group-rule/*"
IMAGE = "ec2:*::image/*"
SNAPSHOT = "ec2:*::snapshot/*"
# AMIs and key pairs are named alike, and of a key pair the name is in the ARN.
KEY_PAIR = "ec2:*:{account}:key-pair/{prefix}-*"
ANY_KEY_PAIR = "ec2:*:{account}:key-pair/*"
# What a new instance is put together from.
PARTS = (
    IMAGE,
    SNAPSHOT,
    GROUP,
    ANY_KEY_PAIR,
    "ec2:*:{account}:network-interface/*",
    "ec2:*:{account}:spot-instances-request/*",
    "ec2:*:{account}:subnet/*",
    "ec2:*:{account}:vpc/*",
)

OURS = (tags.BUILD, tags.LAUNCH)
TAGGED_AS_OURS: Conditions = {"ForAnyValue:StringEquals": {"aws:TagKeys": OURS}}
IN_THE_MAKING: Conditions = {
    "StringEquals": {
        "ec2:CreateAction": (
            "CopyImage",
            "CreateImage",
            "CreateKeyPair",
            "CreateSecurityGroup",
            "RunInstances",
        )
    }
}
NO_CALL = "no call of its own: AWS asks for it when a thing is made with tags"
IN_THE_SETUP: Conditions = {
    "StringEquals": {
        "ec2:CreateAction": ("AuthorizeSecurityGroupIngress", "ImportKeyPair")
    }
}
# Packer tags AMI and snapshot last, and 1.6 its security group never. All of annexkit's
# own have the tag Name, and most of other people's have.
NAMELESS: Conditions = {"Null": {"aws:ResourceTag/Name": "true"}}


def has(tag: str) -> Conditions:
    """Return the condition that a thing carries a tag, whatever its value."""
    return {"Null": {f"aws:ResourceTag/{tag}": "false"}}


LEFT = "only what an interrupted bake or launch left behind"
TIMES = ("registry.promote", "retire")
STAGES = (
    "DisableImage",
    "DisableImageDeprecation",
    "EnableImage",
    "EnableImageDeprecation",
)

CHANGING: tuple[Grant, ...] = (
    Grant(
        "RunTagged",
        (Right("ec2:RunInstances", "builders, proofs, nodes", MAKE),),
        (INSTANCE, VOLUME),
        TAGGED_AS_OURS,
    ),
    Grant(
        "RunFrom",
        (
            Right("ec2:RunInstances", "their parts", MAKE),
            Right("ec2:CopyImage", "an AMI and its snapshot, both new", COPY),
            Right("ec2:CreateImage", "the AMI and its snapshot", BAKE),
            Right("ec2:CreateSecurityGroup", "who may use SSH", MAKE),
        ),
        PARTS,
    ),
    Grant(
        "TagInTheMaking",
        (Right("ec2:CreateTags", "whose it is, and until when", (*MAKE, *COPY)),),
        conditions=IN_THE_MAKING,
        regional=False,
    ),
    Grant(
        "KeysOfBuilders",
        (
            Right("ec2:CreateKeyPair", "Packer's login", BAKE),
            Right("ec2:DeleteKeyPair", "it goes with the builder", END_BAKE),
        ),
        (KEY_PAIR,),
    ),
    # Of any name, for EC2 overwrites none; but tagged as ours.
    Grant(
        "KeysOfPersons",
        (Right("ec2:ImportKeyPair", "a person's own login", ("keypair",)),),
        (ANY_KEY_PAIR,),
        {"StringEquals": {"aws:RequestTag/annexkit:set": "key-pair"}},
    ),
    Grant(
        "TagInTheSetup",
        (Right("ec2:CreateTags", "whose it is", ("keypair", *RULES), NO_CALL),),
        conditions=IN_THE_SETUP,
        regional=False,
    ),
    Grant(
        "OfBakes",
        (
            Right("ec2:AuthorizeSecurityGroupIngress", "SSH for a proof", FRESH),
            Right("ec2:CreateImage", "of the builder", BAKE),
            Right("ec2:CreateTags", "until when", (*FRESH, *RETIRE)),
            Right("ec2:DeleteSecurityGroup", "the proof's", END_FRESH),
            Right("ec2:DeleteSnapshot", "unproved; retired", GONE, LEFT),
            Right("ec2:DeleteTags", "until when", (*END_FRESH, *TIMES)),
            Right("ec2:DeleteVolume", "a builder's", END_BAKE, LEFT),
            Right("ec2:DeregisterImage", "unproved; retired", GONE, LEFT),
            *(Right(f"ec2:{name}", "stages", RETIRE) for name in STAGES),
            Right("ec2:ModifyImageAttribute", "IMDSv2 only", (*BAKE, *COPY)),
            Right("ec2:StopInstances", "the builder, for its image", BAKE),
            Right("ec2:TerminateInstances", "builders and proofs", END_FRESH),
        ),
        conditions=has(tags.BUILD),
        regional=False,
    ),
    Grant(
        "OfAnnexes",
        (
            Right("ec2:CreateTags", "a lease moves", ("launch", "verify", "extend")),
            Right("ec2:DeleteVolume", "left over", END_ANNEX, LEFT),
            Right("ec2:TerminateInstances", "nodes", END_ANNEX),
        ),
        conditions=has(tags.LAUNCH),
        regional=False,
    ),
    Grant(
        "GroupOfAnnexes",
        (
            Right("ec2:AuthorizeSecurityGroupIngress", "who reaches nodes", ANNEX[:1]),
            Right("ec2:DeleteSecurityGroup", "the shared set ends", ("teardown",)),
        ),
        (GROUP,),
        {"StringEquals": {"aws:ResourceTag/annexkit:set": "annex"}},
        regional=False,
    ),
    # What revokes a rule can be limited by its group only (Service Authorization
    # Reference), so an administrator marks the groups.
    Grant(
        "GroupsOfPersons",
        (
            Right("ec2:AuthorizeSecurityGroupIngress", "the guide's rules", RULES),
            Right("ec2:RevokeSecurityGroupIngress", "--undo", RULES),
        ),
        (GROUP,),
        has(tags.MAY_OPEN),
        regional=False,
    ),
    Grant(
        "TheirRules",
        (Right("ec2:AuthorizeSecurityGroupIngress", "tagged as ours", RULES),),
        (RULE,),
        {"ForAnyValue:StringEquals": {"aws:TagKeys": (tags.RULE,)}},
        regional=False,
    ),
    Grant(
        "NamelessOfPacker",
        (
            Right("ec2:AuthorizeSecurityGroupIngress", "SSH for Packer", BAKE),
            Right("ec2:DeleteSecurityGroup", "Packer's", END_BAKE),
            Right("ec2:DeleteSnapshot", "untagged yet", END_BAKE, LEFT),
            Right("ec2:DeregisterImage", "untagged yet", END_BAKE, LEFT),
            Right("ec2:ModifyImageAttribute", "its description", BAKE),
        ),
        (IMAGE, SNAPSHOT, GROUP),
        NAMELESS,
    ),
    Grant(
        "TagNewImages",
        (Right("ec2:CreateTags", "Packer's last step", BAKE),),
        (IMAGE, SNAPSHOT),
        {**TAGGED_AS_OURS, **NAMELESS},
    ),
    # In China Packer tags its builder only once it runs (packer-plugin-amazon, steps
    # with IsRestricted), so there nothing can be asked of a builder's launch.
    Grant(
        "RunUntaggedInChina",
        (Right("ec2:RunInstances", "builders", BAKE),),
        (INSTANCE, VOLUME),
        partitions=("aws-cn",),
    ),
    Grant(
        "TagBuildersInChina",
        (Right("ec2:CreateTags", "builders", BAKE),),
        (INSTANCE, VOLUME),
        {**TAGGED_AS_OURS, **NAMELESS},
        partitions=("aws-cn",),
    ),
)
