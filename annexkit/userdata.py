"""User data: the files in ``cloud-init/`` with their ``${names}`` filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from annexkit.errors import UsageError

PLACE = re.compile(r"\$\{(\w+)\}")


def render(path: Path, values: Mapping[str, Any]) -> str:
    """Fill a cloud-config file and return it as user data.

    The file is parsed first and filled afterwards, value by value, so that nothing in a
    value can become YAML of its own. A string that is one ``${name}`` only takes the
    value's type. Comment lines before the first key stay: the contract's marker is one.

    :raises UsageError: the file is missing, is no cloud-config, or names a value that
        is not given.
    """
    text, data = read(path)
    body = yaml.safe_dump(_filled(data, values, path), sort_keys=False)
    return "\n".join([*_markers(text), body])


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a cloud-config file: its text, and what it says.

    :raises UsageError: the file is missing, or is no cloud-config.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "strerror", None)
        reason = " ".join(str(said or error).split())
        raise UsageError(
            f"the user data cannot be read: {reason}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            mend=f"correct it, or restore it: git checkout -- {path}",
        ) from error
    if not text.startswith("#cloud-config\n") or not isinstance(data, dict):
        raise UsageError(
            "the file is no cloud-config",
            where=str(path),
            mend="its first line must be #cloud-config, then keys and values",
        )
    return text, data


def annex_json(values: Mapping[str, Any]) -> str:
    """Return the text of ``/etc/annexkit/annex.json``, contract version 1."""
    return json.dumps({"version": 1, **values}, indent=2, sort_keys=True) + "\n"


def _markers(text: str) -> list[str]:
    return ["#cloud-config"] + [
        line for line in text.splitlines() if line.startswith("# annexkit: ")
    ]


def _filled(node: Any, values: Mapping[str, Any], path: Path) -> Any:
    if isinstance(node, dict):
        return {key: _filled(item, values, path) for key, item in node.items()}
    if isinstance(node, list):
        return [_filled(item, values, path) for item in node]
    if not isinstance(node, str):
        return node
    for name in PLACE.findall(node):
        if name not in values:
            raise UsageError(
                f"nothing is known to fill '${{{name}}}'",
                where=str(path),
                mend=f"known are: {', '.join(sorted(values))}",
            )
    if whole := PLACE.fullmatch(node):
        return values[whole[1]]
    return PLACE.sub(lambda match: str(values[match[1]]), node)
