"""Every flag of the registry's tasks reaches its flow, as Invoke itself reads it."""

from __future__ import annotations

from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import registry
from annexkit.flows import (
    registry_diff,
    registry_promote,
    registry_updates,
    registry_verify,
)
from annexkit.flows.registry_diff import DiffRequest
from annexkit.flows.registry_promote import ChannelRequest
from annexkit.flows.registry_updates import UpdatesRequest
from annexkit.flows.registry_verify import VerifyRequest

FLOWS = {
    "promote": (registry_promote, "promote"),
    "rollback": (registry_promote, "roll_back"),
    "verify": (registry_verify, "verify_registry"),
    "diff": (registry_diff, "show_diff"),
    "updates": (registry_updates, "show_updates"),
}


@pytest.mark.parametrize(
    ("line", "request_", "as_json"),
    [
        ("promote", ChannelRequest(), False),
        (
            "promote --image a --build b --arch arm64 --regions c,d --regions e "
            "--dry-run --no-pool --json",
            ChannelRequest("a", "arm64", ("c,d", "e"), "b", True, True),
            True,
        ),
        ("rollback", ChannelRequest(), False),
        (
            "rollback --image a --arch arm64 --regions c,d --dry-run --no-pool --json",
            ChannelRequest("a", "arm64", ("c,d",), "", True, True),
            True,
        ),
        ("verify", VerifyRequest(), False),
        ("verify --image a --regions b,c --json", VerifyRequest("a", ("b,c",)), True),
        ("diff previous current", DiffRequest("previous", "current"), False),
        (
            "diff a b --image c --arch d --region e --json",
            DiffRequest("a", "b", "c", "d", "e"),
            True,
        ),
        ("updates", UpdatesRequest("current"), False),
        (
            "updates --image a --build b --arch c --region d --json",
            UpdatesRequest("b", "a", "c", "d"),
            True,
        ),
    ],
)
@pytest.mark.parametrize("code", [0, 3])
def test_the_flags_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    request_: Any,
    as_json: bool,
    code: int,
) -> None:
    heard: list[Any] = []

    def flow(site: Any, request: Any) -> int:
        heard.append((site, request))
        return code

    monkeypatch.setattr(registry, "site_of", lambda c, as_json=False: as_json)
    name = line.partition(" ")[0]
    monkeypatch.setattr(*FLOWS[name], flow)
    task = getattr(registry, f"registry_{name}")
    program = Program(namespace=Collection(task))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", *line.split(" ")])
        raise SystemExit(0)
    assert int(ended.value.code or 0) == code
    assert heard == [(as_json, request_)]


def test_the_builds_to_compare_have_to_be_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = Program(namespace=Collection(registry.registry_diff))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", "diff", "current"])
    assert ended.value.code
    assert "new" in capsys.readouterr().err
