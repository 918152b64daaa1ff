"""What to do about each error of RunInstances: one table, one line a rule.

Sources: EC2 API reference, Error codes for the Amazon EC2 API; Ensuring idempotency.
The first line that fits is the answer; an error that none names is fatal when AWS
refused, and lost when nobody can say what became of the call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from annexkit.aws import AwsError


class Answer(StrEnum):
    """What the launcher does next."""

    NEXT_TARGET = "next target"  # and leave this one alone for a while
    STOP_FAMILY = "stop family"  # every type under this quota, in this market
    SKIP_SUBNET = "skip subnet"
    SAME_TOKEN = "same token"  # noqa: S105 - wait, then the same call again
    NEW_TOKEN = "new token"  # noqa: S105 - what this one made is gone
    WAIT_PROFILE = "wait"  # what was just made is not known everywhere yet
    LOST = "lost"  # EC2 may have launched: ask again with the same token
    FATAL = "fatal"


@dataclass(frozen=True)
class Rule:
    """One line: which codes (a pattern), and if need be which messages, mean what."""

    codes: str
    answer: Answer
    says: str
    mend: str = ""
    message: str = ""

    def fits(self, error: AwsError) -> bool:
        """Say whether this is the line for an error."""
        return bool(
            re.fullmatch(self.codes, error.code)
            and re.search(self.message, error.what, re.IGNORECASE)
        )


@dataclass(frozen=True)
class Ruling:
    """What is done about an error, a sentence for people, and what mends it."""

    code: str
    answer: Answer
    says: str
    mend: str


OTHER_TYPES = "name more types (--instance-type), or other zones (launch.subnets)"
QUOTA = "ask for a higher quota: Service Quotas, EC2, "
SPOT_ROLE = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
RULES = (
    Rule(
        "InsufficientFreeAddressesInSubnet",
        Answer.SKIP_SUBNET,
        "the subnet has too few free addresses",
        "name more subnets in launch.subnets",
    ),
    Rule(
        r"InvalidSubnetID\.NotFound|InvalidSubnet",
        Answer.SKIP_SUBNET,
        "the subnet is gone",
        "correct launch.subnets in invoke.yaml",
    ),
    Rule(
        "Insufficient.*Capacity.*|UnfulfillableCapacity|ReservationCapacityExceeded",
        Answer.NEXT_TARGET,
        "AWS has no more of this type in this zone now",
        OTHER_TYPES,
    ),
    Rule(
        "MaxSpotInstanceCountExceeded",
        Answer.NEXT_TARGET,
        "the account's spot quota is used up",
        f"{QUOTA}L-34B43A08; or --market on-demand",
    ),
    Rule(
        "SpotMaxPriceTooLow",
        Answer.NEXT_TARGET,
        "the spot price is above what is offered",
        "use --market spot-then-on-demand",
    ),
    Rule(
        "Unsupported|UnsupportedOperation|InvalidInstanceType",
        Answer.NEXT_TARGET,
        "this zone does not offer this type in this way",
        OTHER_TYPES,
    ),
    Rule(
        "VcpuLimitExceeded|InstanceLimitExceeded",
        Answer.STOP_FAMILY,
        "the account's quota for this kind of instance is used up",
        f"{QUOTA}L-1216C47A (spot: L-34B43A08), or launch fewer",
    ),
    Rule(
        "RequestLimitExceeded|Throttling.*|RequestThrottled.*|EC2ThrottledException",
        Answer.SAME_TOKEN,
        "AWS asks to call more slowly",
        "run the same command again in some minutes",
    ),
    Rule(
        "InvalidParameterValue",
        Answer.WAIT_PROFILE,
        "the instance profile is not known everywhere yet",
        "run the same command again; if it stays: invoke teardown, then again",
        message="instance ?profile",
    ),
    Rule(
        r"InvalidGroup\.NotFound",
        Answer.WAIT_PROFILE,
        "the security group is not known everywhere yet",
        "run the same command again: it makes the group if it is gone",
    ),
    Rule(
        "IdempotentInstanceTerminated",
        Answer.NEW_TOKEN,
        "the instances of this request were ended meanwhile",
        "see who ended them: AWS CloudTrail, TerminateInstances",
    ),
    Rule(
        "IdempotentParameterMismatch",
        Answer.FATAL,
        "a client token was used twice with different arguments",
        "end what this launch made: invoke reap",
    ),
    Rule(
        r"AuthFailure\.ServiceLinkedRoleCreationNotPermitted",
        Answer.FATAL,
        "the account has never used spot instances, and you may not make their role",
        f"an administrator runs: {SPOT_ROLE}",
    ),
    Rule(
        "UnauthorizedOperation|AccessDenied.*",
        Answer.FATAL,
        "you may not tag volumes as they are made",
        "ask for ec2:CreateTags on volume/*; docs/iam-policy.json lists all",
        message=r"ec2:CreateTags on resource: \S*:volume/",
    ),
    Rule(
        "UnauthorizedOperation|AccessDenied.*",
        Answer.FATAL,
        "you may not launch this",
        "ask for ec2:RunInstances, ec2:CreateTags and iam:PassRole as in "
        "docs/iam-policy.json; an organization's own policy may refuse, too",
    ),
    Rule(
        r"InvalidAMIID\..*",
        Answer.FATAL,
        "the AMI is not there any more, or not yours",
        "bake a new one: invoke bake",
    ),
    Rule(
        "PendingVerification|Blocked|OptInRequired",
        Answer.FATAL,
        "AWS has not opened this account, or this region, for launches yet",
        "wait for AWS's mail; after some hours ask AWS Support",
    ),
    Rule(
        "InvalidParameterCombination|InvalidParameterValue",
        Answer.FATAL,
        "the account's free plan does not include this type",
        "use an eligible type (--instance-type), or upgrade the account",
        message="free.tier",
    ),
    Rule(
        r"InvalidKeyPair\.NotFound",
        Answer.FATAL,
        "there is no such key pair",
        "correct launch.key_name in invoke.yaml, or leave it empty",
    ),
    Rule(
        "VolumeLimitExceeded|NetworkInterfaceLimitExceeded|MaxIOPSLimitExceeded",
        Answer.FATAL,
        "an account quota besides the instances' is used up",
        f"{QUOTA}EBS or VPC, or launch fewer",
    ),
)
# Raised before anything was sent, so nothing can have come of the call
# (botocore.exceptions).
NEVER_SENT = re.compile(
    r"\w*Credential\w*|\w*Token\w*Error|ParamValidationError|ProfileNotFound|NoRegion\w*"
    r"|InvalidEndpoint\w*|InvalidRegionError|ConfigParseError|\w*Validation\w*Error"
    r"|UnknownServiceError|MissingParametersError|DataNotFoundError"
)


def ruling(error: AwsError) -> Ruling:
    """Return what to do about an error of RunInstances, and how to say it."""
    for rule in RULES:
        if rule.fits(error):
            mend = rule.mend or error.mend
            return Ruling(error.code, rule.answer, rule.says, mend)
    if error.refused or NEVER_SENT.fullmatch(error.code):
        return Ruling(error.code, Answer.FATAL, error.what, error.mend)
    return Ruling(
        error.code,
        Answer.LOST,
        "AWS did not say whether it launched",
        "see what came of it: invoke status; end it: invoke reap",
    )
