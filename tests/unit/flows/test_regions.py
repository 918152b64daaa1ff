"""The matrix of regions as a person or a program meets it."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from annexkit.aws import connect
from annexkit.console import Console
from annexkit.errors import Exit
from annexkit.flows.regions import show_regions
from annexkit.flows.site import Site
from annexkit.settings import Settings
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def told(site: Site, capsys: Captured) -> dict[str, Any]:
    """Run it for a program; return what it printed."""
    site.console = Console(as_json=True)
    assert show_regions(site) is Exit.DONE
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def row(found: dict[str, Any], region: str) -> dict[str, Any]:
    (one,) = (r for r in found["regions"] if r["region"] == region)
    return dict(one)


def configured(site: Site, *names: str, **launch: Any) -> None:
    """Give a site other regions, and other settings of a launch."""
    changes = {"bake": {"regions": names}, "launch": launch}
    site.settings = Settings.model_validate(site.settings.model_dump() | changes)


def test_a_person_sees_each_region_in_a_row_and_who_says_so(
    site: Site, capsys: Captured
) -> None:
    assert show_regions(site) is Exit.DONE
    said = capsys.readouterr()
    (line,) = (x for x in said.out.splitlines() if x.split()[:1] == [REGION])
    assert line.split() == [REGION, *["yes"] * 7, "opt-in-not-required"]
    assert "AWS's public parameters in us-east-1" in said.err
    assert "S3: annex-ec2 and seed-cfn only" in said.err


def test_a_program_is_told_the_same(site: Site, capsys: Captured) -> None:
    found = told(site, capsys)
    assert (found["source"], found["source_reason"]) == ("aws-parameters", "")
    mine = row(found, REGION)
    assert (mine["fit"], mine["configured"], mine["reasons"]) == (True, True, [])
    assert set(mine["services"]) == set(found["needs"])
    assert row(found, "us-east-1")["configured"] is False
    assert found["needs"]["s3"] == ["annex-ec2", "seed-cfn"]


def test_nothing_is_made(site: Site, capsys: Captured) -> None:
    told(site, capsys)
    assert {action for _, action in site.cloud.calls} == {
        "DescribeRegions",
        "GetParametersByPath",
    }


def test_it_works_without_credentials_and_says_what_it_cannot_know(
    site: Site, capsys: Captured, monkeypatch: Patch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    site.cloud = connect()
    found = told(site, capsys)
    assert found["source"] == "botocore"
    assert "NoCredentialsError" in found["source_reason"]
    assert "NoCredentialsError" in found["opt_in_reason"]
    mine = row(found, REGION)
    assert (mine["fit"], mine["opt_in"]) == (None, "unknown")
    assert all(mine["services"].values())
    site.console = Console()
    show_regions(site)
    said = capsys.readouterr()
    assert f"{REGION}" in said.out
    assert "botocore's own list, because" in said.err
    assert "aws sso login" in said.err


def test_without_a_network_it_answers_after_one_try(
    site: Site, capsys: Captured, monkeypatch: Patch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    site.cloud = connect()
    found = told(site, capsys)
    assert found["source"] == "botocore"
    assert "EndpointConnectionError" in found["source_reason"]
    # SSM was not tried after EC2 had not been there.
    assert site.cloud.calls == {(REGION, "DescribeRegions"): 1}


def test_a_configured_region_that_will_not_do_is_warned_of(
    site: Site, capsys: Captured, monkeypatch: Patch
) -> None:
    configured(site, REGION, "eu-south-1")
    real = site.cloud.call

    def call(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        said = real(region, method, **arguments)
        for one in said.get("Regions", []):
            if one["RegionName"] in ("eu-south-1", "ap-east-1"):
                one["OptInStatus"] = "not-opted-in"
        return said

    monkeypatch.setattr(site.cloud, "call", call)
    assert show_regions(site) is Exit.DONE
    said = capsys.readouterr()
    assert said.err.count("will not do") == 1
    assert "warning: bake.regions: eu-south-1 will not do: not enabled" in said.err
    assert "aws account enable-region --region-name eu-south-1" in said.err


def test_a_configured_region_that_nobody_lists_has_a_row_too(
    site: Site, capsys: Captured
) -> None:
    configured(site, "us-wset-2")
    found = told(site, capsys)
    assert row(found, "us-wset-2")["fit"] is False
    assert row(found, "us-wset-2")["configured"] is True


def test_launches_without_the_scheduler_need_none(
    site: Site, capsys: Captured, monkeypatch: Patch
) -> None:
    configured(site, REGION, scheduler=False)
    real = site.cloud.call

    def call(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if "/scheduler/" in arguments.get("Path", ""):
            return {"Parameters": [{"Value": "us-east-1"}]}
        return real(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", call)
    assert row(told(site, capsys), REGION)["fit"] is True
    configured(site, REGION)
    assert row(told(site, capsys), REGION)["fit"] is False
