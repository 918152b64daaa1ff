"""The AWS CLI's words as far as annexkit prints them, made from botocore's models.

``aws SERVICE COMMAND --option VALUE...`` as the AWS CLI reads it (its user guide,
"Command structure" and "Shorthand syntax"): tests run what a mend says, literally, on
machines that have no AWS CLI.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

GLOBAL = {"region", "query", "output"}
RULE = {"protocol", "port", "cidr"}  # the CLI's own, for one rule of a security group


def main(arguments: Sequence[str]) -> int:
    """Make the call that the words mean, and print what ``--query`` picks of it."""
    service, command, *rest = arguments
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    name = next(n for n in model.operation_names if xform_name(n, "-") == command)
    given = dict(_options(rest))
    told = {key: given.pop(key)[0] for key in GLOBAL & given.keys()}
    client = session.create_client(service, region_name=told.get("region"))
    shape = model.operation_model(name).input_shape
    assert shape is not None
    members = {xform_name(m, "-"): (m, s) for m, s in shape.members.items()}
    asked = _one_rule({key: given.pop(key)[0] for key in RULE & given.keys()})
    for key, words in given.items():
        member, wanted = members[key]
        asked[member] = _value(wanted, words)
    said = getattr(client, xform_name(name))(**asked)
    if "query" in told:
        print(reduce(lambda data, key: data[key], told["query"].split("."), said))
    return 0


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    found: list[str] = []
    for word in words:
        if word.startswith("--"):
            found = []
            yield word.removeprefix("--"), found
        else:
            found.append(word)


def _one_rule(words: dict[str, str]) -> dict[str, Any]:
    if not words:
        return {}
    port = int(words["port"])
    rule = {"IpProtocol": words["protocol"], "FromPort": port, "ToPort": port}
    return {"IpPermissions": [{**rule, "IpRanges": [{"CidrIp": words["cidr"]}]}]}


def _value(shape: Any, words: Sequence[str]) -> Any:
    kind = shape.type_name
    if kind == "list":
        return [_value(shape.member, [word]) for word in words]
    if kind == "structure":
        pairs = [pair.partition("=") for pair in re.split(r",(?=\w+=)", words[0])]
        return {name: _value(shape.members[name], [text]) for name, _, text in pairs}
    if kind in ("double", "float"):
        return float(words[0])
    if kind in ("integer", "long"):
        return int(words[0])
    return words[0] if words else True


def install(folder: Path, python: str) -> Path:
    """Write the program ``aws`` into a folder, for a PATH."""
    path = folder / "aws"
    root = Path(__file__).resolve().parents[1]
    path.write_text(
        f"#!{python}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.aws_words import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
