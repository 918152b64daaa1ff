"""What runs on nodes needs no newer Python than theirs.

3.9 is that of Enterprise Linux 9 and of Amazon Linux 2023. vermin looks at the language
and the standard library; what it cannot tell from arithmetic is looked at here.
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.provision.conftest import PROVISION

OLDEST = "3.9"
CHECKS = PROVISION.parent / "annexkit" / "verify"


def programs() -> list[Path]:
    """All Python that is laid on nodes, or sent to them."""
    laid = [path for path in (PROVISION / "files").rglob("*") if path.is_file()]
    return sorted(
        [path for path in laid if is_python(path)] + list(CHECKS.glob("node_*.py"))
    )


def is_python(path: Path) -> bool:
    if "__pycache__" in path.parts:
        return False
    first = path.read_text().partition("\n")[0]
    return path.suffix == ".py" or (first.startswith("#!") and "python" in first)


def newer(*paths: Path) -> str:
    """Return what in the files needs a newer Python; nothing if nothing does."""
    asked = (f"--target={OLDEST}-", "--violations", "--no-tips", "--processes=1")
    run = "from vermin import main; main()"  # it has no __main__
    command = [sys.executable, "-c", run, *asked, *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr
    return done.stdout if done.returncode else "".join(map(unions, paths))


def unions(path: Path) -> str:
    """Return where ``X | Y`` joins types and is evaluated, which takes 3.10."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):  # "from __future__" leaves annotations alone
        for name in ("annotation", "returns"):
            if getattr(node, name, None):
                setattr(node, name, ast.Constant(None))
    return "".join(
        f"{path}:{node.lineno}: {ast.unparse(node)}\n"
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and (is_type(node.left) or is_type(node.right))
    )


def is_type(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        return is_type(node.value)
    named = isinstance(node, ast.Name) and getattr(builtins, node.id, None)
    return isinstance(named, type) or (
        isinstance(node, ast.Constant) and node.value is None
    )


def test_annotations_are_not_evaluated_on_nodes() -> None:
    for path in programs():
        assert "from __future__ import annotations" in path.read_text() or not any(
            getattr(node, "annotation", None) or getattr(node, "returns", None)
            for node in ast.walk(ast.parse(path.read_text()))
        ), path


def test_nothing_on_nodes_needs_a_newer_python_than_theirs() -> None:
    found = programs()
    names = {path.name for path in found}
    assert names >= {"cfn_init.py", "condor-annex-ec2", "node_check.py"}
    assert newer(*found) == ""


@pytest.mark.parametrize(
    "line",
    [
        "print(list(zip([1], [2], strict=True)))",  # 3.10
        "import datetime; print(datetime.UTC)",  # 3.11
        "from typing import TypeAlias",  # 3.10
        "Shell = str | list[str]",  # 3.10
        "isinstance(1, int | str)",  # 3.10
        "match 1:\n    case _: pass",  # 3.10
        "import tomllib",  # 3.11
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: a: int",
        "Shell = list[str] | None",  # 3.10
    ],
)
def test_what_is_newer_would_be_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(f"from __future__ import annotations\n{line}\n")
    assert newer(path)
