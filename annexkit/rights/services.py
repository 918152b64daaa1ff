"""Secrets, schedules and roles: what is neither looked at nor EC2's."""

from __future__ import annotations

from annexkit import tags
from annexkit.rights.words import (
    ANNEX,
    NIGHTLY,
    NODE,
    POLICIES,
    ROLES,
    SCHEDULER,
    Grant,
    Right,
)

LAUNCH = ("launch",)
SEES = ("launch", "doctor", "teardown")
ENDS = ("launch", "terminate", "teardown", "reap")
ADMIN = ("iam", ROLES)
IAM = ("iam",)
GITHUB = "token.actions.githubusercontent.com"
NO_CALL = "no call has this name: AWS asks for it when "
WITH_TAGS = NO_CALL + "a thing is made with tags"
LEFT = "only what an interrupted launch left behind"
ONCE = "only a role of before sessions of six hours, or changed by hand"

SECRETS = Grant(
    "SecretsOfLaunches",
    (
        Right(
            "ssm:AddTagsToResource", "whose it is, and until when", LAUNCH, WITH_TAGS
        ),
        Right("ssm:DeleteParameter", "nodes have read it", ENDS),
        Right("ssm:ListTagsForResource", "whose is it", ENDS, LEFT),
        Right("ssm:PutParameter", "the token of a launch", LAUNCH),
    ),
    ("ssm:*:{account}:parameter/annexkit/*",),
)
SCHEDULES = Grant(
    "SchedulesOfLaunches",
    (
        Right("scheduler:CreateSchedule", "a node's end", ("launch", "extend")),
        Right("scheduler:CreateScheduleGroup", "the first launch", LAUNCH),
        Right("scheduler:DeleteSchedule", "the node is gone", (*ANNEX, "teardown")),
        Right("scheduler:DeleteScheduleGroup", "the set ends", ("teardown",)),
        Right(
            "scheduler:GetScheduleGroup", "is it there", (*ANNEX, "doctor", "teardown")
        ),
        Right("scheduler:TagResource", "the group", LAUNCH, WITH_TAGS),
        Right("scheduler:UpdateSchedule", "a lease moves", ("launch", "extend")),
    ),
    (
        "scheduler:*:{account}:schedule/annexkit/*",
        "scheduler:*:{account}:schedule-group/annexkit",
    ),
)
EXPORTED = Grant(
    "ExportedAmis",
    (Right("ssm:GetParameters", "launch templates resolve them", ("retire",)),),
    ("ssm:*:{account}:parameter/annexkit-images/*",),
    regional=False,
)
GIVES = ("launch", "extend")
PASS = (Right("iam:PassRole", "names it", GIVES, NO_CALL + "a role is named"),)
SPOT = Right(
    "iam:CreateServiceLinkedRole",
    "an account's first spot request",
    LAUNCH,
    NO_CALL + "an account asks for spot capacity for the first time",
)
READ_ROLES = Grant(
    "RolesOfAnnexes",
    (
        Right("iam:GetInstanceProfile", "is it as wanted", (*SEES, *ADMIN)),
        Right("iam:GetRole", "is it as wanted", (*SEES, *ADMIN)),
        Right("iam:GetRolePolicy", "is it as wanted", (*SEES, *ADMIN)),
    ),
    (
        f"iam::{{account}}:instance-profile/{NODE}",
        f"iam::{{account}}:role/{NODE}",
        f"iam::{{account}}:role/{SCHEDULER}",
    ),
    regional=False,
)
PASSED = (
    Grant(
        "GiveNodesTheirRole",
        PASS,
        (f"iam::{{account}}:role/{NODE}",),
        {"StringEquals": {"iam:PassedToService": "{ec2}"}},
        regional=False,
    ),
    Grant(
        "GiveSchedulesTheirRole",
        PASS,
        (f"iam::{{account}}:role/{SCHEDULER}",),
        {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        regional=False,
    ),
    Grant(
        "TheFirstSpotRequestOfAnAccount",
        (SPOT,),
        ("iam::{account}:role/aws-service-role/spot.amazonaws.com/*",),
        {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        regional=False,
    ),
)
# Equal for all regions: launch in any of them must find its role as wanted.
OF_NODES = Grant(
    "",
    (Right("ssm:GetParameter", "the secret of its launch", ("a node",)),),
    ("ssm:*:{account}:parameter/annexkit/*",),
    regional=False,
)
OF_SCHEDULER = Grant(
    "",
    (Right("ec2:TerminateInstances", "the lease is over", ("a schedule",)),),
    ("ec2:*:{account}:instance/*",),
    {"Null": {f"aws:ResourceTag/{tags.LAUNCH}": "false"}},
    regional=False,
)
ADMINISTRATION = (
    Grant(
        "MakeRoles",
        (
            Right("iam:AddRoleToInstanceProfile", "node", ADMIN),
            Right("iam:CreateInstanceProfile", "node", ADMIN),
            Right("iam:CreateRole", "node, scheduler, nightly", ADMIN),
            Right("iam:PutRolePolicy", "node, scheduler, nightly", ADMIN),
            Right("iam:TagInstanceProfile", "ours", ADMIN, WITH_TAGS),
            Right("iam:TagRole", "ours", ADMIN, WITH_TAGS),
            Right("iam:UpdateAssumeRolePolicy", "another repository", ADMIN),
            Right("iam:UpdateRole", "how long sessions last", ADMIN, ONCE),
            Right("iam:DeleteInstanceProfile", "teardown", (ROLES,)),
            Right("iam:DeleteRole", "teardown", (ROLES,)),
            Right("iam:DeleteRolePolicy", "teardown", (ROLES,)),
            Right("iam:RemoveRoleFromInstanceProfile", "teardown", (ROLES,)),
        ),
        (
            f"iam::{{account}}:instance-profile/{NODE}",
            f"iam::{{account}}:role/{NODE}",
            f"iam::{{account}}:role/{SCHEDULER}",
            f"iam::{{account}}:role/{NIGHTLY}",
        ),
        regional=False,
    ),
    Grant(
        "ReadNightly",
        (
            Right("iam:GetRole", "is it as wanted", IAM),
            Right("iam:GetRolePolicy", "is it as wanted", IAM),
        ),
        (f"iam::{{account}}:role/{NIGHTLY}",),
        regional=False,
    ),
    Grant(
        "PoliciesOfPersons",
        (
            Right("iam:CreatePolicy", "made once", IAM),
            Right("iam:CreatePolicyVersion", "what changed", IAM),
            Right("iam:DeletePolicyVersion", "IAM keeps five", IAM),
            Right("iam:GetPolicy", "is it there, and ours", IAM),
            Right("iam:GetPolicyVersion", "is it as wanted", IAM),
            Right("iam:ListPolicyVersions", "which is the oldest", IAM),
            Right("iam:TagPolicy", "ours", IAM, WITH_TAGS),
        ),
        tuple(f"iam::{{account}}:policy/{name}" for name in POLICIES.values()),
        regional=False,
    ),
    Grant(
        "TrustGitHub",
        (
            Right("iam:CreateOpenIDConnectProvider", "made once", IAM),
            Right("iam:GetOpenIDConnectProvider", "is it there", IAM),
            Right("iam:TagOpenIDConnectProvider", "ours", IAM, WITH_TAGS),
        ),
        (f"iam::{{account}}:oidc-provider/{GITHUB}",),
        regional=False,
    ),
)
SERVICES: tuple[Grant, ...] = (
    READ_ROLES,
    *PASSED,
    SECRETS,
    SCHEDULES,
    EXPORTED,
    OF_NODES,
    OF_SCHEDULER,
    *ADMINISTRATION,
)
