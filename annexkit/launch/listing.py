"""Lists of services other than EC2, whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annexkit.aws import Cloud


def every(
    cloud: Cloud, region: str, service: str, method: str, key: str, **arguments: Any
) -> Iterator[dict[str, Any]]:
    """Yield the items under *key* of every page that ``NextToken`` leads to.

    :raises AwsError: AWS refused, or could not be asked.
    """
    token: dict[str, Any] = {}
    while True:
        said = cloud.call(region, method, service=service, **arguments, **token)
        yield from said.get(key, [])
        if not said.get("NextToken"):
            return
        token = {"NextToken": said["NextToken"]}
