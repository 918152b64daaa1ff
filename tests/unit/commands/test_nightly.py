"""Every flag of the night reaches its flow, as Invoke itself reads it."""

from __future__ import annotations

from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import nightly as commands
from annexkit.flows import nightly
from annexkit.flows.nightly import NightlyRequest


@pytest.mark.parametrize(
    ("line", "request_", "as_json"),
    [
        ("nightly", NightlyRequest(), False),
        (
            "nightly --images a --images b,c/arm64 --regions x,y --resume",
            NightlyRequest(("a", "b,c/arm64"), ("x,y",), resume=True),
            False,
        ),
        ("nightly --dry-run --json", NightlyRequest(dry_run=True), True),
    ],
)
@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_flags_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    request_: NightlyRequest,
    as_json: bool,
    code: int,
) -> None:
    heard: list[Any] = []

    def run(site: Any, request: NightlyRequest) -> int:
        heard.append((site, request))
        return code

    monkeypatch.setattr(commands, "site_of", lambda c, as_json=False: as_json)
    monkeypatch.setattr(nightly, "nightly", run)
    program = Program(namespace=Collection(commands.nightly))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", *line.split(" ")])
        raise SystemExit(0)
    assert int(ended.value.code or 0) == code
    assert heard == [(as_json, request_)]
