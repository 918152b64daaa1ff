"""What the doctor offers instead, as a command that can be typed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from annexkit.aws import AwsError
from annexkit.flows import doctor_instead as instead
from annexkit.flows.doctor_subject import Subject
from annexkit.flows.site import Site
from annexkit.launch.offers import Offers
from annexkit.settings import Settings

TYPES = "export INVOKE_ANNEXKIT_LAUNCH_INSTANCE_TYPES="


def error(code: str) -> AwsError:
    return AwsError("no", code=code, action="A", region="r")


@pytest.mark.parametrize(
    ("there", "code", "begins"),
    [
        (["a"], "NoCredentialsError", "export AWS_PROFILE=a; or log in: aws sso login"),
        (["a", "b"], "ProfileNotFound", "export AWS_PROFILE=a (or b); or choose"),
        ([], "NoCredentialsError", "log in: aws sso login"),
        (["a"], "ExpiredToken", "log in again"),
    ],
)
def test_a_profile_is_named_where_another_may_help(
    monkeypatch: pytest.MonkeyPatch, there: list[str], code: str, begins: str
) -> None:
    monkeypatch.setattr(instead, "profiles", lambda: there)
    assert instead.profile(error(code)).startswith(begins)


def subject(site: Site, region: str = "us-west-2", **bake: Any) -> Subject:
    settings = site.settings.model_dump() | {"bake": bake}
    site.settings = Settings.model_validate(settings)
    return Subject(site, site.settings.launch, region)


def test_a_region_is_corrected_where_it_was_said(site: Site) -> None:
    flag = subject(site, "us-wset-2")
    assert instead.region(flag) == "invoke doctor --region us-west-2"
    setting = subject(site, "eu-wset-1", regions="eu-wset-1")
    assert instead.region(setting) == "export INVOKE_ANNEXKIT_BAKE_REGIONS=eu-west-1"
    assert instead.region(subject(site, "x")) == "invoke doctor --region us-west-2"


@pytest.mark.parametrize(
    ("arch", "types", "zones", "wanted"),
    [
        ("x86_64", ("a.b", "c.d"), {("c.d", "z")}, "c.d"),
        ("x86_64", (), set(), "m7i.large"),
        ("arm64", ("a.b",), set(), "m7g.large"),
    ],
)
def test_types_that_will_do_are_left_or_the_usual_one(
    site: Site, arch: str, types: Any, zones: Any, wanted: str
) -> None:
    found = cast(Offers, SimpleNamespace(types=types, zones=zones))
    assert instead.types(subject(site, arch=arch), found) == f"{TYPES}{wanted}"
