"""What moto leaves out of the end of an AMI, put in as AWS documents it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.core.responses import ActionResult
from moto.ec2.responses.amis import AmisResponse

DONE = {"Return": True}


def teach(patch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """Let moto deprecate AMIs, and hide those that are disabled.

    EnableImageDeprecation refuses the past and rounds to a minute; DescribeImages has
    disabled AMIs only when asked (EC2 API reference).
    """

    def begin(self: Any) -> ActionResult:
        image = self.ec2_backend.amis[self._get_param("ImageId")]
        said = self._get_param("DeprecateAt")
        at = datetime.fromisoformat(str(said)) if isinstance(said, str) else said
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        assert at.timestamp() >= now(), "EC2 takes no moment of the past"
        at = datetime.fromtimestamp(round(at.timestamp() / 60) * 60, UTC)
        image.deprecation_time = f"{at:%Y-%m-%dT%H:%M:%S}.000Z"
        return ActionResult(DONE)

    def cancel(self: Any) -> ActionResult:
        self.ec2_backend.amis[self._get_param("ImageId")].deprecation_time = None
        return ActionResult(DONE)

    described = AmisResponse.describe_images

    def describe(self: Any) -> ActionResult:
        found: Any = described(self).result
        if self._get_bool_param("IncludeDisabled"):
            return ActionResult(found)
        shown = [image for image in found["Images"] if image.state != "disabled"]
        return ActionResult({"Images": shown})

    patch.setattr(AmisResponse, "enable_image_deprecation", begin, raising=False)
    patch.setattr(AmisResponse, "disable_image_deprecation", cancel, raising=False)
    patch.setattr(AmisResponse, "describe_images", describe)
