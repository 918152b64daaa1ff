"""Every flag of export, retire and smoke reaches its flow, as Invoke reads it."""

from __future__ import annotations

from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import images
from annexkit.flows import registry_export, retire_report, smoke_report
from annexkit.flows.publish_request import PublishRequest
from annexkit.flows.registry_export import ExportRequest
from annexkit.flows.retire_report import RetireRequest


@pytest.mark.parametrize(
    ("line", "request_", "as_json"),
    [
        ("export", ExportRequest(), False),
        (
            "export --format terraform --image a --image b,c --arch arm64 --output f",
            ExportRequest("terraform", ("a", "b", "c"), "arm64", "f"),
            False,
        ),
        ("export --check --json", ExportRequest(check=True), True),
        ("export --image=", ExportRequest("condor", ("",)), False),
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_the_flags_of_the_export_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    request_: ExportRequest,
    as_json: bool,
    code: int,
) -> None:
    heard: list[Any] = []

    def export(site: Any, request: ExportRequest) -> int:
        heard.append((site, request))
        return code

    monkeypatch.setattr(images, "site_of", lambda c, as_json=False: as_json)
    monkeypatch.setattr(registry_export, "export_amis", export)
    program = Program(namespace=Collection(images.registry_export))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", *line.split(" ")])
        raise SystemExit(0)
    assert int(ended.value.code or 0) == code
    assert heard == [(as_json, request_)]


@pytest.mark.parametrize(
    ("line", "request_", "as_json"),
    [
        ("retire", RetireRequest(), False),
        (
            "retire --region a --region b,c --yes --no-pool",
            RetireRequest(("a", "b,c"), yes=True, no_pool=True),
            False,
        ),
        ("retire --dry-run --json", RetireRequest(dry_run=True), True),
    ],
)
@pytest.mark.parametrize("code", [0, 3])
def test_the_flags_of_retire_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    request_: RetireRequest,
    as_json: bool,
    code: int,
) -> None:
    heard: list[Any] = []

    def retire(site: Any, request: RetireRequest) -> int:
        heard.append((site, request))
        return code

    monkeypatch.setattr(images, "site_of", lambda c, as_json=False: as_json)
    monkeypatch.setattr(retire_report, "retire_and_report", retire)
    program = Program(namespace=Collection(images.retire))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", *line.split(" ")])
        raise SystemExit(0)
    assert int(ended.value.code or 0) == code
    assert heard == [(as_json, request_)]


@pytest.mark.parametrize(
    ("line", "request_", "as_json"),
    [
        ("smoke", PublishRequest(), False),
        (
            "smoke --region a --region b,c --image i --build x --arch arm64",
            PublishRequest("i", "x", "arm64", ("a", "b,c")),
            False,
        ),
        ("smoke --dry-run --json", PublishRequest(dry_run=True), True),
    ],
)
@pytest.mark.parametrize("code", [0, 3])
def test_the_flags_of_smoke_reach_the_flow(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    request_: PublishRequest,
    as_json: bool,
    code: int,
) -> None:
    heard: list[Any] = []

    def smoke(site: Any, request: PublishRequest) -> int:
        heard.append((site, request))
        return code

    monkeypatch.setattr(images, "site_of", lambda c, as_json=False: as_json)
    monkeypatch.setattr(smoke_report, "smoke_and_report", smoke)
    program = Program(namespace=Collection(images.smoke))
    with pytest.raises(SystemExit) as ended:
        program.run(["invoke", *line.split(" ")])
        raise SystemExit(0)
    assert int(ended.value.code or 0) == code
    assert heard == [(as_json, request_)]
