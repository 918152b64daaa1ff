"""A session of the AWS SDK that reads what a large annex answers at a bearable price.

Ten thousand described instances are 30 MB of XML. Three quarters of the time to read
them goes into what annexkit never looks at, and into guessing the form of timestamps.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.utils import parse_timestamp

# What annexkit reads of a described instance (instances, sweep); the SDK passes over
# what its model does not name.
READ = {
    *("ClientToken", "ImageId", "InstanceId", "InstanceLifecycle", "InstanceType"),
    *("LaunchTime", "NetworkInterfaces", "Placement", "PrivateIpAddress"),
    *("PublicIpAddress", "SecurityGroups", "State", "StateReason", "SubnetId", "Tags"),
}


def new_session() -> boto3.Session:
    """Return a session with botocore's own way to credentials and configuration."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=moment
    )
    loader = session.get_component("data_loader")
    session.register_component("data_loader", _Loader(loader))
    return boto3.Session(botocore_session=session)


def profiles() -> list[str]:
    """Return the names of the profiles that this machine has, whichever is chosen.

    Empty where their files cannot be read; who opens a session is told why.
    """
    try:
        return sorted(botocore.session.Session().available_profiles)
    except BotoCoreError:
        return []


class _Loader:
    """botocore's own loader of service models, but for one model."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Any:
        model = self._loader.load_service_model(service_name, type_name, api_version)
        if (service_name, type_name) == ("ec2", "service-2"):
            return _trimmed(model)
        return model


def _trimmed(model: dict[str, Any]) -> dict[str, Any]:
    """Return EC2's model with less of an instance; every session shares the given one.

    So only what changes is copied.
    """
    shapes = dict(model["shapes"])
    shape = dict(shapes["Instance"])
    shape["members"] = {
        name: member for name, member in shape["members"].items() if name in READ
    }
    shapes["Instance"] = shape
    return {**model, "shapes": shapes}


def moment(said: Any) -> datetime:
    """Read a timestamp of a protocol, a text or a number.

    The form that EC2 writes (ISO 8601, with a zone) at once, all others as botocore.
    """
    if isinstance(said, str) and len(said) >= 20 and said[10] == "T":
        try:
            found = datetime.fromisoformat(said)
        except ValueError:
            return parse_timestamp(said)
        if found.tzinfo is not None:
            return found
    return parse_timestamp(said)
