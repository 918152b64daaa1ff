"""Flags over settings, and the AMI that they mean."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError, FindingsError, Level, UsageError
from annexkit.flows.launch_request import (
    Chosen,
    LaunchRequest,
    check_ami,
    choose,
    effective,
    region_of,
)
from annexkit.flows.site import Site
from annexkit.registry import ImageRecord, Registry, State
from annexkit.registry.model import Channels
from annexkit.settings import Settings
from tests.unit.helpers import AMI, BUILD, NOON, REGION, a_build, in_region

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stocked(site: Site) -> Site:
    """The site with one ready build of debian13 in the registry."""
    for name in ("packer", "provision"):
        (site.root / name).symlink_to(ROOT / name)

    def put(registry: Registry) -> None:
        registry.images["debian13"] = ImageRecord(
            builds={BUILD: a_build({REGION: in_region(State.READY)})},
            channels={"x86_64": {REGION: Channels(current=BUILD)}},
        )

    site.registry.update(put)
    return site


class TestEffective:
    def test_settings_hold_where_no_flag_is_given(self, site: Site) -> None:
        assert effective(site, LaunchRequest()).lease == 7200

    def test_a_flag_goes_over_its_setting(self, site: Site) -> None:
        request = LaunchRequest(
            {"lease": "3h", "instance_types": "c7i.large,c6i.large"}
        )
        found = effective(site, request)
        assert found.lease == 3 * 3600
        assert found.instance_types == ("c7i.large", "c6i.large")

    def test_the_owner_is_whoever_runs_it(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOGNAME", "alice")
        assert effective(site, LaunchRequest()).owner == "alice"
        assert effective(site, LaunchRequest({"owner": "bob"})).owner == "bob"

    def test_every_bad_flag_is_named_at_once(self, site: Site) -> None:
        request = LaunchRequest({"annex_name": "a_b", "count": "0", "lease": "soon"})
        with pytest.raises(FindingsError) as caught:
            effective(site, request)
        where = [f.where for f in caught.value.findings]
        assert where == ["--annex-name", "--count", "--lease"]
        assert all(f.mend for f in caught.value.findings)


class TestRegionOf:
    def test_the_first_region_of_the_settings(self, site: Site) -> None:
        assert region_of(site, "") == "us-west-2"
        assert region_of(site, "eu-west-1") == "eu-west-1"

    def test_an_unknown_one_is_refused(self, site: Site) -> None:
        with pytest.raises(UsageError, match="unknown region"):
            region_of(site, "us-west-22")

    def test_none_at_all_is_refused(self, site: Site) -> None:
        site.settings = Settings.model_validate({"bake": {"regions": ""}})
        with pytest.raises(UsageError, match="no region is named"):
            region_of(site, "")


class TestChoose:
    def test_the_channels_ami(self, stocked: Site) -> None:
        found = choose(stocked, LaunchRequest(), "current", REGION)
        assert (found.ami, found.build_id, found.arch) == (AMI, BUILD, "x86_64")
        assert found.age((NOON + timedelta(hours=2)).timestamp()) == 7200

    @pytest.mark.parametrize(
        ("image", "channel", "region", "says"),
        [
            ("debain13", "current", REGION, "there is no image 'debain13'"),
            ("debian13-c25", "current", REGION, "it knows: debian13"),
            ("debian13", "previous", REGION, "has no previous AMI"),
            ("debian13", "current", "us-west-1", "has one in us-west-2"),
        ],
    )
    def test_what_is_not_there_is_said_with_a_mend(
        self, stocked: Site, image: str, channel: str, region: str, says: str
    ) -> None:
        with pytest.raises(AnnexkitError, match=says) as caught:
            choose(stocked, LaunchRequest(image=image), channel, region)
        assert all(f.mend for f in caught.value.findings)


class TestCheckAmi:
    def chosen(self, site: Site) -> Chosen:
        return choose(site, LaunchRequest(), "current", REGION)

    def test_an_ami_that_is_gone_is_an_error(self, stocked: Site) -> None:
        [found] = check_ami(stocked, self.chosen(stocked))
        assert found.level is Level.ERROR
        assert "does not exist" in found.what
        assert "invoke bake" in found.mend
