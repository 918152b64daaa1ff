"""What can be wrong with who we are, what we may do, and what time it is."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.flows.ward import (
    UNCHECKED,
    WARNING,
    WRONG,
    Situation,
    Ward,
    assign,
    deny,
    refused,
    tell,
    unreached,
)
from tests.unit.helpers import ACCOUNT


def long_lived(ward: Ward) -> None:
    class Found:
        access_key, method = "AKIA" + "X" * 16, "shared-credentials-file"

    ward.patch.setattr(ward.site.cloud.session, "get_credentials", Found)


def no_profile(ward: Ward) -> None:
    del ward.site.__dict__["cloud"]
    ward.patch.setenv("AWS_PROFILE", "nobody")


def other_account(ward: Ward) -> None:
    path = ward.site.registry.path
    path.write_text(path.read_text().replace(ACCOUNT, "2" * 12))


def dry_run(method: str, code: str) -> Callable[[Ward], None]:
    """Let IAM simulate nothing, and EC2 refuse a dry run."""
    action = "".join(part.capitalize() for part in method.split("_"))

    def spoil(ward: Ward) -> None:
        ward.told["simulate_principal_policy"] = refused("AccessDenied")
        for each in ("run_instances", "create_security_group"):
            ward.told[each] = refused("DryRunOperation", each)
        ward.told[method] = refused(code, action)

    return spoil


BOUNDARY = {
    "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}
}
SCP = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}

SITUATIONS = [
    Situation(
        "no credentials",
        tell("get_caller_identity", unreached("NoCredentialsError")),
        "identity",
        WRONG,
        "no way there",
        "aws sso login",
    ),
    Situation(
        "no such profile",
        no_profile,
        "identity",
        WRONG,
        "nobody",
        "aws configure list-profiles",
    ),
    Situation(
        "expired token",
        tell("get_caller_identity", refused("ExpiredToken")),
        "identity",
        WRONG,
        "ExpiredToken",
        "aws sso login",
    ),
    Situation(
        "no network",
        tell("get_caller_identity", unreached()),
        "identity",
        WRONG,
        "EndpointConnectionError",
        "check the network",
    ),
    Situation(
        "root user",
        tell(
            "get_caller_identity",
            {"Arn": f"arn:aws:iam::{ACCOUNT}:root", "Account": ACCOUNT},
        ),
        "identity",
        WARNING,
        "root user",
        "docs/iam-policy.json",
    ),
    Situation(
        "long-lived key",
        long_lived,
        "identity",
        WARNING,
        "never expires",
        "aws sso login",
    ),
    Situation(
        "another account's registry",
        other_account,
        "account",
        WRONG,
        f"account {'2' * 12}",
        "INVOKE_ANNEXKIT_REGISTRY",
    ),
    Situation(
        "an action no policy allows",
        deny("ec2:RunInstances"),
        "permissions",
        WRONG,
        "no policy of yours allows: ec2:RunInstances",
        "invoke iam",
    ),
    Situation(
        "an action denied",
        deny("iam:PassRole", EvalDecision="explicitDeny"),
        "permissions",
        WRONG,
        "denies: iam:PassRole",
        "docs/iam-policy.json",
    ),
    Situation(
        "an action the organization refuses",
        deny("ssm:PutParameter", **SCP),
        "permissions",
        WRONG,
        "organization's policy (SCP) refuses: ssm:PutParameter",
        "aws organizations",
    ),
    Situation(
        "an action beyond the boundary",
        deny("ec2:CreateImage", **BOUNDARY),
        "permissions",
        WRONG,
        "permissions boundary refuses: ec2:CreateImage",
        "docs/iam-policy.json",
    ),
    Situation(
        "an action that is spared",
        deny("pricing:GetProducts"),
        "permissions",
        WARNING,
        "launch.hourly_price",
        "docs/iam-policy.json",
    ),
    Situation(
        "a dry run that may not launch",
        dry_run("run_instances", "UnauthorizedOperation"),
        "permissions",
        WRONG,
        "you may not launch this",
        "ec2:RunInstances",
    ),
    Situation(
        "a dry run that may not make groups",
        dry_run("create_security_group", "UnauthorizedOperation"),
        "permissions",
        WRONG,
        "you may not ask AWS for this",
        "docs/iam-policy.json",
    ),
    Situation(
        "an account not open yet",
        dry_run("run_instances", "PendingVerification"),
        "permissions",
        WRONG,
        "has not opened this account",
        "AWS Support",
    ),
    Situation(
        "nothing is simulated",
        dry_run("run_instances", "DryRunOperation"),
        "permissions",
        UNCHECKED,
        "AccessDenied",
        "iam:SimulatePrincipalPolicy",
    ),
    Situation(
        "clock far behind",
        assign(ahead=400.0),
        "clock",
        WRONG,
        "400 s behind AWS's",
        "timedatectl set-ntp true",
    ),
    Situation(
        "clock a little ahead",
        assign(ahead=-90.0),
        "clock",
        WARNING,
        "90 s ahead of AWS's",
        "timedatectl set-ntp true",
    ),
]
