"""The published policy (docs/iam-policy.json), held against calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.stage import ROOT

# What a node calls by its own role, not the person by this policy.
OF_NODES = {"ssm:GetParameter"}


def statements() -> list[dict[str, Any]]:
    """Return the statements of the policy."""
    path = ROOT / "docs" / "iam-policy.json"
    policy = json.loads(path.read_text(encoding="utf-8"))
    return list(policy["Statement"])


def allowed() -> set[str]:
    """Return the actions that the policy allows, as ``service:Action``."""
    return {action for said in statements() for action in said["Action"]}


def not_allowed(calls: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the policy lacks of the calls that a rehearsal recorded, sorted."""
    made = {f"{call['service']}:{call['action']}" for call in calls}
    return sorted(made - allowed() - OF_NODES)
