"""The value of an SSM parameter, by the instance's own role.

Source: Systems Manager API reference, GetParameter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from aws_call import PATIENCE, AwsError, Call, ask

TARGET = "AmazonSSM.GetParameter"
CONTENT = "application/x-amz-json-1.1"


def get_parameter(
    name: str,
    region: str,
    *,
    tell: Callable[[AwsError], None] = lambda error: None,
    patience: Mapping[str, float] = PATIENCE,
) -> str:
    """Return the parameter's value; try again as long as it may help.

    :param tell: is told each failure, so that the reason can be read while we wait.
    :raises AwsError: it cannot be had.
    """
    answer = ask(call(name, region), tell=tell, patience=patience)
    try:
        return str(json.loads(answer)["Parameter"]["Value"])
    except (ValueError, KeyError, TypeError):
        raise AwsError(
            "refused", f"SSM's answer (HTTP 200) has no value for {name}"
        ) from None


def call(name: str, region: str) -> Call:
    """Return the call that asks for a parameter."""
    return Call(
        "ssm",
        region,
        f"read {name}",
        f"SSM has no parameter {name}",
        headers={"content-type": CONTENT, "x-amz-target": TARGET},
        body=json.dumps({"Name": name, "WithDecryption": True}).encode(),
    )
