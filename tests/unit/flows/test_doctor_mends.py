"""What the doctor and the rest of annexkit name in their mends exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.flows.mends import TASK, TASKS, unknown, variables

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("mend", "found"),
    [
        ("log in: aws sso login, or aws ec2 describe-vpcs --region x", []),
        ("invoke bake --region x; or INVOKE_ANNEXKIT_BAKE_REGIONS=x", []),
        ("invoke pool.check, invoke keypair", []),
        ("aws ec2 descibe-vpcs", ["aws ec2 descibe-vpcs"]),
        ("see: aws e2 describe-vpcs", ["aws e2"]),
        ("(aws ec2 create-route --rout x --region y)", ["create-route --rout"]),
        ("invoke pool.chek", ["invoke pool.chek"]),
        ("export INVOKE_ANNEXKIT_BAKE_REGION=x", ["INVOKE_ANNEXKIT_BAKE_REGION"]),
    ],
)
def test_what_there_is_not_is_found(mend: str, found: list[str]) -> None:
    assert unknown(mend) == found


def test_the_variables_are_those_of_sections_and_of_single_settings() -> None:
    assert {"INVOKE_ANNEXKIT_REGISTRY", "INVOKE_ANNEXKIT_LAUNCH_COUNT"} <= variables()


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a module, those of an f-string without their values."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_task_that_annexkit_names_exists() -> None:
    named = {
        (path.name, command)
        for path in (ROOT / "annexkit").rglob("*.py")
        for text in strings(path)
        for command in TASK.findall(text)
    }
    assert {command for _, command in named} >= {"regions", "keypair"}
    assert sorted(one for one in named if one[1] not in TASKS) == []
