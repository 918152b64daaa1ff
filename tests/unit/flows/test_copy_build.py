"""Copies of a proved build: made once a region, found again, recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.errors import AnnexkitError, UsageError
from annexkit.flows.site import Site
from annexkit.instance_values import from_tags
from annexkit.registry import State
from tests.unit.flows.copying import (
    EAST,
    NORTH,
    WEST,
    a_site,
    an_ec2,
    copied,
    forget,
    prove,
    there,
)
from tests.unit.flows.fake_images import FakeImages, refusal
from tests.unit.helpers import (
    AMI,
    BUILD,
    REGION,
    FakeClock,
    in_region,
)


@pytest.fixture
def images() -> FakeImages:
    return an_ec2()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, images: FakeImages) -> Site:
    return a_site(tmp_path, clock, images)


def test_a_copy_is_a_candidate_that_requires_tokens(
    site: Site, images: FakeImages
) -> None:
    images.looks[EAST] = 3
    (ended,) = copied(site, EAST)
    assert ended.value is not None
    (said,) = images.of(EAST)
    assert said["ImageId"] == ended.value.id
    assert (said["State"], said["ImdsSupport"]) == ("available", "v2.0")
    found = there(site, EAST)
    assert (found.ami, found.state) == (said["ImageId"], State.PENDING)
    assert found.snapshot == f"snap-{said['ImageId'][4:]}"
    names = site.registry.read().channel("debian13", "x86_64", EAST)
    assert (names.candidate, names.current) == (BUILD, None)
    assert site.journal.entries() == []


def test_a_copy_asks_for_what_the_source_has_and_an_expiry(
    site: Site, images: FakeImages, clock: FakeClock
) -> None:
    copied(site, EAST)
    (asked,) = images.asked
    assert asked["SourceImageId"] == AMI and asked["SourceRegion"] == REGION
    assert asked["Name"] == f"name of {AMI}" and asked["Description"] == "about it"
    assert asked["Encrypted"] is True and "KmsKeyId" not in asked
    for spec in asked["TagSpecifications"]:
        own = from_tags(spec["Tags"])
        assert own[tags.BUILD] == BUILD and own[tags.IMAGE] == "debian13"
        assert "aws:internal" not in own
        assert float(own[tags.EXPIRES]) > clock.time() + 7200
    kinds = [spec["ResourceType"] for spec in asked["TagSpecifications"]]
    assert kinds == ["image", "snapshot"]


def test_the_key_of_the_settings_encrypts_every_copy(
    site: Site, images: FakeImages
) -> None:
    publish = site.settings.publish.model_copy(update={"kms_key": "alias/ours"})
    site.settings = site.settings.model_copy(update={"publish": publish})
    images.images[REGION, AMI]["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] = False
    copied(site, EAST)
    assert images.asked[0]["Encrypted"] is True
    assert images.asked[0]["KmsKeyId"] == "alias/ours"


def test_nothing_is_copied_twice(site: Site, images: FakeImages) -> None:
    copied(site, EAST, WEST)
    first = {key: dict(said) for key, said in images.images.items()}
    ended = copied(site, EAST, WEST)
    assert [one.error for one in ended] == [None, None]
    assert images.images == first
    assert len(images.asked) == 2


def test_the_region_it_comes_from_gets_no_copy(site: Site, images: FakeImages) -> None:
    (ended,) = copied(site, REGION)
    assert ended.value is not None and ended.value.id == AMI
    assert images.asked == []
    assert there(site, REGION).state is State.READY


def test_the_copy_of_a_lost_run_is_found_by_its_tags(
    site: Site, images: FakeImages
) -> None:
    copied(site, EAST)
    forget(site, EAST)
    (said,) = images.of(EAST)
    (ended,) = copied(site, EAST)
    assert ended.value is not None and ended.value.id == said["ImageId"]
    assert len(images.asked) == 1
    assert there(site, EAST).ami == said["ImageId"]


def test_a_copy_that_ec2_does_not_show_yet_is_waited_for(
    site: Site, images: FakeImages, clock: FakeClock
) -> None:
    copied(site, EAST)
    (said,) = images.of(EAST)
    forget(site, EAST)
    clock.sleep(60)  # another expiry than the first run's: EC2 refuses the same token
    images.hidden[EAST] = 2
    (ended,) = copied(site, EAST)
    assert ended.value is not None and ended.value.id == said["ImageId"]
    assert len(images.of(EAST)) == 1


def test_a_copy_that_was_taken_away_unseen_is_made_again(
    site: Site, images: FakeImages, clock: FakeClock
) -> None:
    copied(site, EAST)
    forget(site, EAST)
    (gone,) = images.of(EAST)
    del images.images[EAST, gone["ImageId"]]
    clock.sleep(60)
    (ended,) = copied(site, EAST)
    assert ended.value is not None and ended.value.id != gone["ImageId"]
    assert len(images.of(EAST)) == 1


def test_a_failed_copy_is_told_taken_away_and_made_anew(
    site: Site, images: FakeImages
) -> None:
    images.fails[EAST] = 1
    (ended,) = copied(site, EAST)
    assert ended.error is not None and "no such key" in str(ended.error)
    assert there(site, EAST).state is State.FAILED
    assert "no such key" in there(site, EAST).reason
    assert site.registry.read().channel("debian13", "x86_64", EAST).candidate is None
    (failed,) = images.of(EAST)
    (again,) = copied(site, EAST)
    assert again.error is None
    (said,) = images.of(EAST)
    assert said["ImageId"] != failed["ImageId"]
    assert there(site, EAST).state is State.PENDING


def test_one_bad_region_stops_no_other(site: Site, images: FakeImages) -> None:
    down = refusal("EndpointConnectionError", "DescribeImages", WEST, refused=False)
    images.errors[WEST, "describe_images"] = [down] * 9
    east, west, north = copied(site, EAST, WEST, NORTH)
    assert (east.error, north.error) == (None, None)
    assert west.error is not None
    found = there(site, WEST)
    assert (found.state, found.ami) == (State.FAILED, None)
    assert there(site, NORTH).state is State.PENDING
    del images.errors[WEST, "describe_images"]
    assert copied(site, EAST, WEST, NORTH)[1].error is None
    assert len(images.asked) == 3
    assert there(site, WEST).state is State.PENDING


def test_a_region_that_dies_during_the_copy_keeps_it(
    site: Site, images: FakeImages
) -> None:
    images.looks[EAST] = 5
    down = refusal("EndpointConnectionError", "DescribeImages", EAST, refused=False)
    images.errors[EAST, "describe_images"] = [None, None, down]
    (ended,) = copied(site, EAST)
    assert ended.error is not None
    found = there(site, EAST)
    assert (found.state, found.ami) == (State.PENDING, images.of(EAST)[0]["ImageId"])
    assert [entry.kind for entry in site.journal.entries()] == ["copy"]
    assert copied(site, EAST)[0].error is None
    assert len(images.asked) == 1
    assert site.journal.entries() == []


def test_a_copy_that_takes_too_long_is_gone_on_with(
    site: Site, images: FakeImages
) -> None:
    images.looks[EAST] = 10_000
    (ended,) = copied(site, EAST)
    assert ended.error is not None and "not within 7200 s" in str(ended.error)
    assert there(site, EAST).state is State.PENDING
    images.looks[EAST] = 0
    assert copied(site, EAST)[0].error is None
    assert len(images.asked) == 1


def test_the_journal_knows_of_a_copy_before_ec2_does(
    site: Site, images: FakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(region: str, method: str, **asked: Any) -> Any:
        if method == "copy_image":
            seen.extend(site.journal.entries())
        return FakeImages.call(images, region, method, **asked)

    monkeypatch.setattr(images, "call", note)
    copied(site, EAST)
    (entry,) = seen
    assert (entry.kind, entry.region, entry.build) == ("copy", EAST, BUILD)
    assert entry.token == images.asked[0]["ClientToken"]


def test_a_refused_copy_leaves_no_entry(site: Site, images: FakeImages) -> None:
    images.errors[EAST, "copy_image"] = [
        refusal("UnauthorizedOperation", "CopyImage", EAST)
    ]
    assert copied(site, EAST)[0].error is not None
    assert site.journal.entries() == []


def test_a_name_that_somebody_else_took_is_said(site: Site, images: FakeImages) -> None:
    images.put(EAST, "ami-0000000000000beef", Name=f"name of {AMI}")
    (ended,) = copied(site, EAST)
    assert "has the name" in str(ended.error)
    assert "ami-0000000000000beef" in {said["ImageId"] for said in images.of(EAST)}


def test_what_is_not_proved_is_not_copied(site: Site) -> None:
    def unprove(registry: Any) -> None:
        registry.images["debian13"].channels.clear()
        registry.images["debian13"].builds[BUILD].regions[REGION] = in_region()

    site.registry.update(unprove)
    with pytest.raises(UsageError, match="proved in no region"):
        copied(site, EAST)


def test_a_source_that_is_gone_is_said(site: Site, images: FakeImages) -> None:
    images.images.clear()
    with pytest.raises(AnnexkitError, match="nothing to copy"):
        copied(site, EAST)


def test_another_region_serves_when_the_first_lost_its_ami(
    site: Site, images: FakeImages
) -> None:
    copied(site, EAST)
    prove(site, EAST)
    del images.images[REGION, AMI]
    assert copied(site, WEST)[0].error is None
    assert images.asked[-1]["SourceRegion"] == EAST


def test_a_proved_copy_that_is_gone_is_made_anew(
    site: Site, images: FakeImages
) -> None:
    copied(site, EAST)
    prove(site, EAST)
    (gone,) = images.of(EAST)
    del images.images[EAST, gone["ImageId"]]
    assert copied(site, EAST)[0].error is None
    (said,) = images.of(EAST)
    assert said["ImageId"] != gone["ImageId"], "its token still stood for the old one"
    assert there(site, EAST).ami == said["ImageId"]
    assert there(site, EAST).state is State.PENDING
    names = site.registry.read().channel("debian13", "x86_64", EAST)
    assert (names.current, names.candidate) == (None, BUILD)
