"""An AMI is deprecated, disabled and brought back as EC2's reference says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from annexkit.rehearsal.image_end import ImageEnd
from annexkit.rehearsal.image_view import AVAILABLE, DISABLED, Image, put_right
from annexkit.rehearsal.images import Images
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import ApiError, Call, parse, text_of
from tests.unit.helpers import FakeClock
from tests.unit.rehearsal.samples import BASE, Answers, a_call

REGION, AMI = "us-west-2", "ami-1"
DESCRIBED = (
    "<r><imagesSet><item><imageId>ami-1</imageId><imageState>available</imageState>"
    "</item></imagesSet></r>"
)


@pytest.fixture
def image() -> Image:
    return Image(AMI, REGION, "ref", state=AVAILABLE)


@pytest.fixture
def images(image: Image) -> Images:
    moto = Answers(DescribeImages=DESCRIBED)
    rehearsal = SimpleNamespace(base=BASE, id="01234567")
    found = Images(cast(Site, SimpleNamespace(moto=moto, rehearsal=rehearsal)))
    found._images[REGION, AMI] = image
    return found


@pytest.fixture
def ends(images: Images, clock: FakeClock) -> ImageEnd:
    return ImageEnd(images.made, clock)


def asked(action: str, **params: str) -> Call:
    return a_call(action, ImageId=AMI, **params)


def shown(images: Images, **params: str) -> list[str]:
    root = images.describe(a_call("DescribeImages", **params))
    return [text_of(item, "imageState") for item in root.iterfind("imagesSet/item")]


def test_a_deprecation_is_rounded_to_a_minute_and_shown(
    ends: ImageEnd, image: Image
) -> None:
    ends.deprecate(asked("EnableImageDeprecation", DeprecateAt="2023-11-14T22:14:31Z"))
    item = parse("<item/>")
    put_right(item, image)
    assert text_of(item, "deprecationTime") == "2023-11-14T22:15:00.000Z"
    ends.restore(asked("DisableImageDeprecation"))
    item = parse("<item/>")
    put_right(item, image)
    assert item.find("deprecationTime") is None


@pytest.mark.parametrize("at", ["2023-11-14T22:13:19Z", "soon", ""])
def test_a_deprecation_in_the_past_is_refused(
    ends: ImageEnd, image: Image, at: str
) -> None:
    with pytest.raises(ApiError, match="InvalidParameterValue"):
        ends.deprecate(asked("EnableImageDeprecation", DeprecateAt=at))
    assert not image.deprecated


def test_what_is_disabled_shows_only_when_asked_for_and_cannot_be_launched(
    ends: ImageEnd, images: Images
) -> None:
    ends.disable(asked("DisableImage"))
    assert shown(images) == []
    assert shown(images, IncludeDisabled="true") == [DISABLED]
    with pytest.raises(ApiError, match=r"InvalidAMIID\.Unavailable"):
        images.launchable(REGION, AMI)
    ends.enable(asked("EnableImage"))
    assert shown(images) == [AVAILABLE]
    assert images.launchable(REGION, AMI).id == AMI


def test_what_is_still_being_made_cannot_be_disabled(
    ends: ImageEnd, image: Image
) -> None:
    image.state = "pending"
    with pytest.raises(ApiError, match=r"InvalidAMIID\.Unavailable"):
        ends.disable(asked("DisableImage"))


@pytest.mark.parametrize("step", ["deprecate", "restore", "disable", "enable"])
def test_what_is_gone_or_only_tried_changes_nothing(
    ends: ImageEnd, image: Image, step: str
) -> None:
    take = getattr(ends, step)
    with pytest.raises(ApiError, match="DryRunOperation"):
        take(asked("X", DryRun="true", DeprecateAt="2099-01-01T00:00:00Z"))
    image.gone = True
    with pytest.raises(ApiError, match=r"InvalidAMIID\.NotFound"):
        take(asked("X", DeprecateAt="2099-01-01T00:00:00Z"))
    assert (image.state, image.deprecated) == (AVAILABLE, "")
