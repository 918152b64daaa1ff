"""The flags of ``invoke security-group`` reach the flow, as Invoke reads them."""

from __future__ import annotations

from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import network
from annexkit.flows import security_group
from annexkit.flows.security_group import GroupRequest

SITE = object()


@pytest.mark.parametrize(
    ("line", "expected", "as_json"),
    [
        ("", GroupRequest(), False),
        ("--undo", GroupRequest(undo=True), False),
        ("--group ", GroupRequest(group=""), False),
        ("--rules ", GroupRequest(rules=""), False),
        (
            "--group sg-1 --cidr a,b --cidr c --world-open --rules ssh --dry-run "
            "--region us-east-1 --json",
            GroupRequest(
                group="sg-1",
                cidrs=("a,b", "c"),
                world_open=True,
                rules="ssh",
                dry_run=True,
                region="us-east-1",
            ),
            True,
        ),
    ],
)
def test_flags_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch, line: str, expected: GroupRequest, as_json: bool
) -> None:
    heard: list[Any] = []

    def site_of(_: Any, as_json: bool = False) -> Any:
        heard.append(as_json)
        return SITE

    def flow(site: Any, request: GroupRequest) -> int:
        assert site is SITE
        heard.append(request)
        return 3

    monkeypatch.setattr(network, "site_of", site_of)
    monkeypatch.setattr(security_group, "open_group", flow)
    program = Program(namespace=Collection.from_module(network))
    words = line.split(" ") if line else []
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", "security-group", *words])
    assert ended.value.code == 3
    assert heard == [as_json, expected]
