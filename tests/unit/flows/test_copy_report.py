"""What `invoke copy` says before and after it, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.errors import Exit, UsageError
from annexkit.flows.copy_report import copy_and_report
from annexkit.flows.publish_request import PublishRequest
from annexkit.flows.site import Site
from tests.unit.flows.copying import (
    EAST,
    WEST,
    a_site,
    an_ec2,
)
from tests.unit.flows.fake_images import FakeImages, refusal
from tests.unit.helpers import (
    REGION,
    FakeClock,
)


@pytest.fixture
def images() -> FakeImages:
    return an_ec2()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, images: FakeImages) -> Site:
    return a_site(tmp_path, clock, images)


@pytest.mark.parametrize(
    ("down", "code"),
    [((), Exit.DONE), ((WEST,), Exit.PARTLY), ((EAST, WEST), Exit.FAILED)],
)
def test_the_exit_code_tells_how_many_regions_failed(
    site: Site, images: FakeImages, down: tuple[str, ...], code: Exit
) -> None:
    for region in down:
        images.errors[region, "copy_image"] = [refusal("X", "CopyImage", region)]
    request = PublishRequest(regions=(EAST, WEST))
    assert copy_and_report(site, request) == code


def test_a_dry_run_changes_nothing(
    site: Site, images: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    before = site.registry.path.read_bytes()
    request = PublishRequest(regions=(EAST, REGION), dry_run=True)
    assert copy_and_report(site, request) == Exit.DONE
    assert {method for _, method in images.calls} == {"describe_images"}
    assert site.registry.path.read_bytes() == before
    said = capsys.readouterr().out
    assert f"{EAST}" in said and "copy" in said


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (PublishRequest(), "no region to copy: none is named"),
        (PublishRequest(regions=(EAST,), build="20200101T000000-000000"), "no build"),
        (PublishRequest(regions=(EAST,), image="other"), "no current build"),
        (PublishRequest(regions=(EAST,), arch="sparc"), "no current build"),
    ],
)
def test_what_cannot_be_copied_is_said(
    site: Site, request_: PublishRequest, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        copy_and_report(site, request_)
