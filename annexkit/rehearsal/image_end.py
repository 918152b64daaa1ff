"""The end of an AMI as EC2 has it: deprecated, disabled; moto knows half of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from annexkit.rehearsal.image_view import AVAILABLE, DISABLED, Image
from annexkit.rehearsal.wire import ApiError, Call, Element, result
from annexkit.waiting import Clock, SystemClock

Find = Callable[[str, str], Image]
MINUTE = 60


class ImageEnd:
    """Deprecates, disables and brings back the AMIs of all regions.

    :param find: returns the image of a region and id, or raises as EC2 would.
    """

    def __init__(self, find: Find, clock: Clock | None = None) -> None:
        self._find = find
        self._clock = clock or SystemClock()

    def deprecate(self, call: Call) -> Element:
        """EnableImageDeprecation: not in the past, to the nearest minute."""
        image = self._of(call)
        try:
            at = datetime.fromisoformat(call.get("DeprecateAt"))
        except ValueError:
            raise _invalid("The date for the DeprecateAt field is invalid") from None
        moment = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        if moment < self._clock.time():
            raise _invalid("The DeprecateAt value must be in the future")
        rounded = datetime.fromtimestamp(round(moment / MINUTE) * MINUTE, UTC)
        image.deprecated = f"{rounded:%Y-%m-%dT%H:%M:%S}.000Z"
        return _done(call)

    def restore(self, call: Call) -> Element:
        """DisableImageDeprecation."""
        self._of(call).deprecated = ""
        return _done(call)

    def disable(self, call: Call) -> Element:
        """DisableImage: nobody can launch it, and few calls show it."""
        image = self._of(call)
        if image.state not in (AVAILABLE, DISABLED):
            raise ApiError("InvalidAMIID.Unavailable", f"{image.id} is {image.state}")
        image.state = DISABLED
        return _done(call)

    def enable(self, call: Call) -> Element:
        """EnableImage."""
        image = self._of(call)
        if image.state == DISABLED:
            image.state = AVAILABLE
        return _done(call)

    def _of(self, call: Call) -> Image:
        image = self._find(call.region, call.get("ImageId"))
        if call.true("DryRun"):
            said = "Request would have succeeded, but DryRun flag is set."
            raise ApiError("DryRunOperation", said, 412)
        return image


def _done(call: Call) -> Element:
    return result(call.action, **{"return": "true"})


def _invalid(said: str) -> ApiError:
    return ApiError("InvalidParameterValue", said)
