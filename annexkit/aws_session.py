"""A session of the AWS SDK that reads what a large annex answers at a bearable price.

Ten thousand described instances are 30 MB of XML. Three quarters of the time to read
them goes into what annexkit never looks at, and into guessing the form of timestamps.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import boto3
import botocore.session
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
    model = session.get_component("data_loader").load_service_model("ec2", "service-2")
    members = model["shapes"]["Instance"]["members"]
    for name in set(members) - READ:
        del members[name]
    return boto3.Session(botocore_session=session)


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
