"""Who we are in AWS, whether its clock is ours, and what we may do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annexkit.doctor.lines import PERMIT, Line, ok, warning, wrong

# AWS takes no signature that is older or newer than this (IAM user guide, Signature
# Version 4: "within five minutes of the timestamp in the request").
SIGNED_FOR = 300
TOKENS = 60  # seconds; HTCondor refuses a token from the future
SET_CLOCK = "timedatectl set-ntp true"
LOGIN = "aws configure sso, then aws sso login: keys that end by themselves"
# What goes on without: what is lost instead. All other actions are needed.
SPARED = {
    "pricing:GetProducts": "prices have to be given in launch.hourly_price",
    "iam:CreateServiceLinkedRole": "the account's first spot request fails",
}


def identity(arn: str, key_id: str, method: str, endpoint: str) -> Iterator[Line]:
    """Judge who we are.

    :param arn: as STS says it.
    :param key_id: of the access key; long-lived ones begin with AKIA, those that end
        by themselves with ASIA (IAM user guide, Unique identifiers).
    :param method: where botocore found the credentials.
    :param endpoint: ``aws``, or the URL that stands for it.
    """
    name = "identity"
    root, long_lived = arn.endswith(":root"), key_id.startswith("AKIA")
    if root:
        what = "you are the account's root user: nothing limits what these keys can do"
        yield warning(
            name, what, where=arn, mend="act as a role or user of: docs/iam-policy.json"
        )
    if long_lived:
        what = f"the access key is a long-lived one (from {method}): it never expires"
        yield warning(name, what, where=arn, mend=LOGIN)
    if not (root or long_lived):
        at = "" if endpoint == "aws" else f", at {endpoint}"
        yield ok(name, f"{arn}, by {method or 'unknown means'}{at}")


def clock(ahead: float) -> Line:
    """Judge AWS's clock, *ahead* seconds before this machine's."""
    way = "behind" if ahead > 0 else "ahead of"
    said = f"this machine's clock is {abs(ahead):.0f} s {way} AWS's"
    if abs(ahead) > SIGNED_FOR:
        what = f"{said}: AWS refuses every signature beyond {SIGNED_FOR} s"
        return wrong("clock", what, mend=SET_CLOCK)
    if abs(ahead) > TOKENS:
        what = f"{said}: tokens of the pool may not be valid yet"
        return warning("clock", what, mend=SET_CLOCK)
    return ok("clock", f"within {max(1, round(abs(ahead)))} s of AWS's")


Entry = tuple[str, str, str]  # a context key, its value, and the value's type


@dataclass(frozen=True)
class Question:
    """One simulation: actions on one resource, and the context that they come with."""

    actions: tuple[str, ...]
    resource: str
    context: tuple[Entry, ...]

    def parameters(self, principal: str) -> dict[str, Any]:
        """Return the parameters of SimulatePrincipalPolicy."""
        return {
            "PolicySourceArn": principal,
            "ActionNames": list(self.actions),
            "ResourceArns": [self.resource],
            "ContextEntries": [
                {
                    "ContextKeyName": key,
                    "ContextKeyValues": [value],
                    "ContextKeyType": kind,
                }
                for key, value, kind in self.context
            ],
        }


def questions(
    policy: Mapping[str, Any], *, partition: str, account: str, region: str
) -> list[Question]:
    """Return what to simulate, so that the whole policy is asked for.

    :param policy: as ``annexkit.rights`` renders it.
    :raises KeyError, TypeError: it is no such policy.
    """
    found: dict[tuple[str, tuple[Entry, ...]], list[str]] = {}
    for said in policy["Statement"]:
        listed = said["Resource"]
        arns = [listed] if isinstance(listed, str) else list(listed)
        context = (("aws:RequestedRegion", region, "string"), *_context(said))
        for action in said["Action"]:
            arn = _concrete(_resource_of(action, arns), partition, account, region)
            found.setdefault((arn, context), []).append(action)
    return [
        Question(tuple(dict.fromkeys(actions)), arn, context)
        for (arn, context), actions in found.items()
    ]


def principal(arn: str) -> str:
    """Return whose policies count for a caller: a user's, or those of its role.

    A role's path is not in the caller's ARN; who has one asks IAM for it. Empty for
    what IAM does not simulate: the root user, federated users.

    >>> principal("arn:aws:sts::123456789012:assumed-role/Admin/alice")
    'arn:aws:iam::123456789012:role/Admin'
    """
    head, _, name = arn.partition("/")
    if head.endswith(":user"):
        return arn
    if head.endswith(":assumed-role"):
        partition, account = arn.split(":")[1], arn.split(":")[4]
        return f"arn:{partition}:iam::{account}:role/{name.rpartition('/')[0]}"
    return ""


def rights(results: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    """Judge what a simulation said, action by action; the worst word on each counts."""
    name, refused, asked = "permissions", dict[str, str](), 0
    for said in results:
        asked += 1
        if said["EvalDecision"] != "allowed":
            refused[said["EvalActionName"]] = _cause(said)
    losses: dict[str, list[str]] = {}
    causes: dict[str, list[str]] = {}
    for action, cause in sorted(refused.items()):
        if loss := SPARED.get(action):
            losses.setdefault(loss, []).append(action)
        else:
            causes.setdefault(cause, []).append(action)
    for loss, actions in losses.items():
        what = f"{loss}, for you may not use {', '.join(actions)}"
        yield warning(name, what, mend=PERMIT)
    for cause, actions in causes.items():
        yield wrong(name, f"{cause}: {', '.join(actions)}", mend=CAUSES[cause])
    if not refused:
        yield ok(name, f"IAM's simulation allows all {asked} calls")


ORGANIZATION = "your organization's policy (SCP) refuses"
BOUNDARY = "your permissions boundary refuses"
DENY = "a policy of yours denies"
LACKING = "no policy of yours allows"
CAUSES = {
    ORGANIZATION: "ask who administers the organization: aws organizations "
    "describe-policy shows what it allows",
    BOUNDARY: "have an administrator widen it to the policy of: docs/iam-policy.json",
    DENY: "have an administrator take the Deny away, or act as a role of: "
    "docs/iam-policy.json",
    LACKING: PERMIT,
}


def _cause(said: Mapping[str, Any]) -> str:
    """Say which kind of policy refuses (IAM API reference, EvaluationResult)."""
    scp = said.get("OrganizationsDecisionDetail", {})
    boundary = said.get("PermissionsBoundaryDecisionDetail", {})
    if scp.get("AllowedByOrganizations") is False:
        return ORGANIZATION
    if boundary.get("AllowedByPermissionsBoundary") is False:
        return BOUNDARY
    return DENY if said["EvalDecision"] == "explicitDeny" else LACKING


def _resource_of(action: str, arns: list[str]) -> str:
    """Return the ARN whose kind the action's name holds, the longest such; or one."""
    kinds = {arn: _kind(arn) for arn in arns}
    fitting = [arn for arn, kind in kinds.items() if kind and kind in action]
    return max(fitting, key=lambda arn: len(kinds[arn]), default=arns[0])


def _kind(arn: str) -> str:
    """Return an ARN's kind of resource as actions write it: ``InstanceProfile``."""
    kind = arn.rsplit(":", maxsplit=1)[-1].partition("/")[0]
    return "".join(part.capitalize() for part in kind.split("-"))


def _concrete(arn: str, partition: str, account: str, region: str) -> str:
    """Return one resource that a pattern stands for."""
    if arn == "*":
        return arn
    parts = arn.split(":", 5)
    parts[1] = partition
    parts[3] = region if parts[3] == "*" else parts[3]
    parts[4] = account if parts[4] == "*" else parts[4]
    return ":".join(parts).replace("*", "doctor")


def _context(said: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield values under which a statement's conditions hold."""
    for operator, wanted in said.get("Condition", {}).items():
        several = operator.startswith(("ForAnyValue:", "ForAllValues:"))
        for key, values in wanted.items():
            first = values if isinstance(values, str) else values[0]
            if operator != "Null":
                yield key, first, "stringList" if several else "string"
            elif first == "false":  # it must be there; with "true" it must not
                yield key, "doctor", "string"
