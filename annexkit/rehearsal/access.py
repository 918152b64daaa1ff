"""Who may do what: the roles of instances, judged by their policies as IAM does.

Keys that the metadata service gave out speak for a role; from inside a machine no
other key is taken. From this host every other key is the account's own.
Source: IAM documentation, "Policy evaluation logic".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from annexkit.rehearsal.state import ACCOUNT
from annexkit.rehearsal.wire import ApiError, Call, Moto, text_of

# Allowed whatever the policies say (STS documentation).
ALWAYS = {"sts:GetCallerIdentity"}
UNKNOWN = ("AuthFailure", 401), ("UnrecognizedClientException", 400)
DENIED = ("UnauthorizedOperation", 403), ("AccessDeniedException", 400)
QUERY_UNKNOWN, QUERY_DENIED = ("InvalidClientTokenId", 403), ("AccessDenied", 403)


class Guard:
    """Refuses what a role does not allow.

    :param roles: role names by the access keys that stand for them.
    """

    def __init__(self, moto: Moto, roles: Mapping[str, str]) -> None:
        self._moto = moto
        self._roles = roles

    def check(self, call: Call, key: str, *, inside: bool) -> None:
        """Let a call pass, or not.

        :param inside: whether it comes from a machine.
        :raises ApiError: an unknown key, or an action that the role does not allow.
        """
        role = self._roles.get(key)
        if role is None and not inside:
            return
        if role is None:
            code, status = _words(call, *UNKNOWN, QUERY_UNKNOWN)
            said = "The security token included in the request is invalid."
            raise ApiError(code, said, status)
        self.check_role(call, role)

    def check_role(self, call: Call, role: str) -> None:
        """Let a role's call pass, or not.

        :raises ApiError: the role does not allow it, or there is no such role.
        """
        action = f"{call.service}:{call.action}"
        if action not in ALWAYS and not allows(
            self.statements_of("Role", role), action, resources(call)
        ):
            code, status = _words(call, *DENIED, QUERY_DENIED)
            on = " on resource: ".join(["", *resources(call)][:2])
            said = (
                f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{role} is not authorized "
                f"to perform: {action}{on}"
            )
            raise ApiError(code, said, status)

    def statements_of(self, kind: str, name: str) -> list[Mapping[str, Any]]:
        """Return what the policies of a ``Role``, ``User`` or ``Group`` say.

        :raises ApiError: there is none of that name.
        """
        return [s for text in self._documents(kind, name) for s in statements(text)]

    def groups_of(self, user: str) -> list[str]:
        """Return the names of the groups that a user is in.

        :raises ApiError: there is no such user.
        """
        told = self._ask("ListGroupsForUser", UserName=user)
        return [text_of(one, "GroupName") for one in told.iterfind(".//Groups/member")]

    def _documents(self, kind: str, name: str) -> Iterator[str]:
        """Yield the texts of somebody's policies, their own and the attached ones."""
        who = {f"{kind}Name": name}
        names = self._ask(f"List{kind}Policies", **who)
        for one in names.iterfind(".//PolicyNames/member"):
            got = self._ask(f"Get{kind}Policy", **who, PolicyName=one.text or "")
            yield got.findtext(".//PolicyDocument") or "{}"
        attached = self._ask(f"ListAttached{kind}Policies", **who)
        for member in attached.iterfind(".//AttachedPolicies/member"):
            arn = text_of(member, "PolicyArn")
            policy = self._ask("GetPolicy", PolicyArn=arn)
            version = policy.findtext(".//DefaultVersionId") or "v1"
            got = self._ask("GetPolicyVersion", PolicyArn=arn, VersionId=version)
            yield got.findtext(".//Document") or "{}"

    def _ask(self, action: str, **params: str) -> Any:
        params["Version"] = "2010-05-08"
        return self._moto.ask(Call("iam", "us-east-1", action, params))


def statements(text: str) -> list[Mapping[str, Any]]:
    """Read a policy's statements; IAM answers policies URL-encoded."""
    document = json.loads(unquote(text) if text.startswith("%") else text)
    found = document.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def allows(
    policy: Iterable[Mapping[str, Any]], action: str, wanted: Iterable[str]
) -> bool:
    """Whether *policy* allows an action on each of the wanted resources.

    No wanted resource means that it is not known here what the action is about: then
    the statements' resources are not looked at. Conditions are taken as met.
    """
    about = [s for s in policy if _meets(action.lower(), s.get("Action", []))]
    return all(_allowed(about, resource) for resource in list(wanted) or [""])


def judged(policy: Iterable[Mapping[str, Any]], action: str, resource: str) -> str:
    """Say how *policy* decides, as IAM's simulation words it; conditions are met."""
    effects = {
        s.get("Effect")
        for s in policy
        if _meets(action.lower(), s.get("Action", []))
        and _meets(resource, s.get("Resource", []))
    }
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if effects else "implicitDeny"


def resources(call: Call) -> list[str]:
    """Return the ARNs that a call is about, as far as they are known here."""
    if call.service == "s3":
        return [f"arn:aws:s3:::{call.get('Bucket')}/{call.get('Key')}"]
    if call.service != "ssm":
        return []
    names = [*call.members("Names"), call.get("Name") or call.get("Path")]
    head = f"arn:aws:ssm:{call.region}:{ACCOUNT}:parameter/"
    return [head + name.lstrip("/") for name in names if name]


def _allowed(about: Iterable[Mapping[str, Any]], resource: str) -> bool:
    effects = {
        s.get("Effect")
        for s in about
        if not resource or _meets(resource, s.get("Resource", []))
    }
    return effects == {"Allow"}


def _meets(value: str, patterns: str | list[str]) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns
    lower = value.lower()
    return any(fnmatchcase(lower, p.lower()) for p in listed)


def _words(
    call: Call, ec2: tuple[str, int], told: tuple[str, int], query: tuple[str, int]
) -> tuple[str, int]:
    """Choose the code and status by which the call's service says it."""
    if call.service == "ec2":
        return ec2
    return told if call.json else query
