"""The published policy allows what a bake calls, Packer's own calls included."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Baked
from tests.stage import ROOT

pytestmark = pytest.mark.machines


def test_every_call_of_a_bake_stands_in_the_policy(baked: Baked) -> None:
    policy = json.loads((ROOT / "docs" / "iam-policy.json").read_text(encoding="utf-8"))
    allowed = {
        action.partition(":")[2]
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    assert len(set(baked.called)) > 15  # Packer's are among them
    assert sorted(set(baked.called) - allowed) == []
