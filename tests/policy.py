"""The published policies (docs/iam-*.json), held against calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from annexkit.rights.documents import rights_of
from annexkit.rights.words import Who
from tests.stage import ROOT

FILES: dict[Who, str] = {
    "person": "iam-policy.json",
    "publish": "iam-publish.json",
    "setup": "iam-setup.json",
    "administrator": "iam-administrator.json",
}
# What a node calls by its own role, not the person by this policy.
OF_NODES = {"ssm:GetParameter"}


def statements(who: Who = "person") -> list[dict[str, Any]]:
    """Return the statements of a published policy."""
    path = ROOT / "docs" / FILES[who]
    policy = json.loads(path.read_text(encoding="utf-8"))
    return list(policy["Statement"])


def allowed(*who: Who) -> set[str]:
    """Return the actions that the policies allow, as ``service:Action``.

    Those of a policy that is not published are the source's.
    """
    return {action for one in who or ("person",) for action in _actions(one)}


def _actions(who: Who) -> set[str]:
    if who not in FILES:
        return {right.action for right in rights_of(who)}
    return {action for said in statements(who) for action in said["Action"]}


def not_allowed(calls: Iterable[Mapping[str, Any]], *who: Who) -> list[str]:
    """Return what the policies lack of the calls that a rehearsal recorded, sorted."""
    made = {f"{call['service']}:{call['action']}" for call in calls}
    return sorted(made - allowed(*who) - OF_NODES)


def never_called(actions: Iterable[str], who: Who = "person") -> list[str]:
    """Return the rights that nothing used, but for those with a reason, sorted."""
    recorded = {right.action for right in rights_of(who) if not right.unseen}
    return sorted(recorded - set(actions))
